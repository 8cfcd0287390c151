"""A reader's part in a resync: it holds or joins the snapshot in which tables are loaded anew, while the run streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from tailrace_reader.patience import SourcePatience
from tailrace_reader.session import SnapshotSession
from tailrace_reader.settings import Settings
from tailrace_reader.snapshot import HeldSnapshot, SnapshotGone, SourceServer, join_snapshot
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.messages import RunRecord, SnapshotHeld, SnapshotUnavailable
from tailrace_shared.service.context import ServiceContext

UNHEARD_S = 20.0
"""Work may come before the record that tells of its resync; after so long it is of one that is over, and is passed over."""

log = structlog.get_logger()


class ResyncReading:
    """At most one session at a time: that of the resync which the record says is loading.

    ``offered`` hands over the snapshot that this reader's own capture has made for a number and the digest of the accepted plan.
    """

    def __init__(
        self,
        context: ServiceContext,
        settings: Settings,
        source: SourceServer,
        record: RunRecord,
        offered: Callable[[int, str], HeldSnapshot | None],
    ) -> None:
        self._context = context
        self._settings = settings
        self._source = source
        self._record = record
        self._offered = offered
        self._number = 0
        self._session: SnapshotSession | None = None
        self._joining: asyncio.Task[None] | None = None
        self._heard: dict[int, float] = {}
        """When work of a number first came."""

    async def update(self, record: RunRecord) -> None:
        """Join the snapshot of the resync that loads; let it go when that is over."""
        self._record = record
        resync = record.resync
        if self._number and (resync is None or resync.number != self._number):
            await self.leave()
        if self._session is not None:
            self._session.listed_anew()
        if resync is None:
            self._offered(0, "")
        elif resync.loading and not self._number:
            self._number = resync.number
            self._joining = asyncio.create_task(self._join(resync.number), name=f"resync {record.run}")
            self._joining.add_done_callback(self._ended)

    async def session(self, number: int) -> SnapshotSession | None:
        """The session for a work item of that resync; None where the resync is over. Raises TransientError where nothing is known
        of it yet, or its snapshot is not joined."""
        if number == self._number:
            if self._session is None:
                raise TransientError("reader.no-snapshot", "this reader has not joined the snapshot of the resync yet")
            return self._session
        first = self._heard.setdefault(number, time.monotonic())
        if number < self._number or time.monotonic() - first > UNHEARD_S:
            return None
        raise TransientError("reader.no-snapshot", "this reader has not heard of the resync yet")

    async def leave(self) -> None:
        """Let the snapshot go."""
        joining, self._joining = self._joining, None
        if joining is not None:
            joining.cancel()
            await asyncio.gather(joining, return_exceptions=True)
        session, self._session, self._number = self._session, None, 0
        if session is not None:
            await session.release()

    async def _join(self, number: int) -> None:
        failures = 0
        holder = self._offered(number, self._record.revision)
        while True:
            try:
                if holder is None or not holder.alive:
                    ids = [snapshot.id for snapshot in self._record.snapshots]
                    if not ids:
                        raise TransientError("reader.no-snapshot", "no reader holds the snapshot of the resync yet")
                    holder = await join_snapshot(self._source, ids)
                session = self._session_of(holder, number)
                await session.start()
                self._session = session
                return
            except SnapshotGone as error:
                await self._lost(error.tried)
            except TailraceError as error:
                log.warning("resync.join-retry", run=self._record.run, code=error.code, message=error.message)
            failures += 1
            await asyncio.sleep(FOREVER.delay(failures, self._context.replica) or 0)

    def _session_of(self, holder: HeldSnapshot, number: int) -> SnapshotSession:
        async def held(snapshot: str) -> None:
            await self._context.control.fact(
                SnapshotHeld(
                    run=self._record.run,
                    attempt=self._record.attempt,
                    replica=self._context.replica,
                    snapshot=snapshot,
                    resync=number,
                )
            )

        return SnapshotSession(
            self._source,
            holder,
            listed=lambda: [s.id for s in self._record.snapshots],
            held=held,
            lost=self._lost,
            ping_s=self._settings.source_ping_s,
            patience=SourcePatience(self._settings.source_patience_s),
        )

    async def _lost(self, tried: tuple[str, ...]) -> None:
        with contextlib.suppress(TailraceError):
            await self._context.control.fact(
                SnapshotUnavailable(
                    run=self._record.run, attempt=self._record.attempt, replica=self._context.replica, tried=tried
                )
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        """An error that joining does not handle itself is a defect: the process says so and ends."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)
