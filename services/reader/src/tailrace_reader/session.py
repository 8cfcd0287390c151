"""A reader's stay in one attempt's snapshot: one session holds it, others read in it, and a lost one is joined anew."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from tailrace_reader.patience import SourcePatience
from tailrace_reader.snapshot import HeldSnapshot, SnapshotGone, SourceServer, join_snapshot, reading_connection
from tailrace_shared.dataplane.retry import FOREVER, RetrySchedule
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.postgres import map_error

_PING_LIMIT_S = 60.0
"""A server that takes longer to say 1 is taken for gone."""

Report = Callable[[str], Awaitable[None]]
Lost = Callable[[tuple[str, ...]], Awaitable[None]]


class SnapshotSession:
    """Holds the snapshot until ``release``.

    - ``reading`` hands out connections inside the snapshot and waits while there is none.
    - When the holding session dies, the ids that ``listed`` gives are tried in turn; ``held`` reports the new id, ``lost`` that
      none could be imported. Then it waits for other ids to be listed.
    """

    def __init__(
        self,
        server: SourceServer,
        holder: HeldSnapshot,
        *,
        listed: Callable[[], Sequence[str]],
        held: Report,
        lost: Lost,
        ping_s: float,
        patience: SourcePatience,
        retry: RetrySchedule = FOREVER,
    ) -> None:
        self._server = server
        self._holder = holder
        self._listed = listed
        self._held = held
        self._lost = lost
        self._ping_s = ping_s
        self._patience = patience
        self._retry = retry
        self._ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._idle: list[asyncpg.Connection] = []
        self._released = False
        self._keeper: asyncio.Task[None] | None = None
        self._dead: tuple[str, ...] = ()
        """Ids that were tried in vain and reported."""
        self.failure: TailraceError | None = None
        """Why the snapshot cannot be had again, for good."""

    @property
    def id(self) -> str:
        """The id under which this reader exports the snapshot."""
        return self._holder.id

    async def start(self) -> None:
        """Report the snapshot and watch over it."""
        self._adopt(self._holder)
        await self._held(self._holder.id)
        self._keeper = asyncio.create_task(self._keep(), name="snapshot keeper")

    def listed_anew(self) -> None:
        """Other ids may be listed now."""
        self._changed.set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection inside the snapshot; closed after an error, kept for the next range otherwise.

        Raises what connecting raises, and for good what the keeper met.
        """
        connection = await self._take()
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        if self._released or connection.is_closed():
            connection.terminate()
        else:
            self._idle.append(connection)

    def refuse(self) -> None:
        """Hand out no connection any more; who waits for one gets a TransientError."""
        self._released = True
        self._ready.set()

    async def release(self) -> None:
        """Let the snapshot go and close every session that no range is using."""
        self.refuse()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._close_idle()
        self._holder.release()

    async def _take(self) -> asyncpg.Connection:
        while True:
            await self._ready.wait()
            if self.failure is not None:
                raise self.failure
            if self._released:
                raise TransientError("reader.released", "this reader has let the attempt's snapshot go")
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed():
                    return connection
            try:
                return await reading_connection(self._server, self._holder)
            except SnapshotGone:
                self._ready.clear()
                self._holder.release()  # its end wakes the keeper
                self._changed.set()

    def _adopt(self, holder: HeldSnapshot) -> None:
        self._holder = holder
        self._dead = ()
        holder.connection.add_termination_listener(self._terminated)
        self._ready.set()

    def _terminated(self, _: object) -> None:
        self._ready.clear()
        self._changed.set()

    def _close_idle(self) -> None:
        for connection in self._idle:
            connection.terminate()
        self._idle.clear()

    async def _keep(self) -> None:
        failures = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._ping_s):  # wait_for could swallow a cancellation
                    await self._changed.wait()
            self._changed.clear()
            try:
                if self._holder.alive:
                    await self._holder.ping(_PING_LIMIT_S)
                else:
                    self._ready.clear()
                    await self._join()
                failures = 0
                self._patience.succeeded()
            except TransientError as error:
                judged = self._patience.judge(error, time.monotonic())
                if not isinstance(judged, TransientError):
                    self.failure = judged
                    self._ready.set()
                    return
                failures += 1
                delay = self._retry.delay(failures)
                await asyncio.sleep(self._ping_s if delay is None else delay)
                self._changed.set()
            except Exception as error:  # the server refuses us, or a defect: ranges that wait fail with it
                self.failure = map_error(error)
                self._ready.set()
                return

    async def _join(self) -> None:
        """Try what is listed; report once per set of ids that none works."""
        self._close_idle()
        ids = tuple(dict.fromkeys([*self._listed(), self._holder.id]))
        try:
            holder = await join_snapshot(self._server, ids)
        except SnapshotGone:
            if set(ids) - set(self._dead):
                await self._lost(ids)
                self._dead = tuple({*self._dead, *ids})
            return
        self._adopt(holder)
        await self._held(holder.id)
