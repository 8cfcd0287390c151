"""Capturing a run's changes: stand for the lease, find the lane's tail, stream, send, confirm. One reader at a time.

The lease is a session lock in the source; a slot serves one session anyway. What is confirmed to the source is what Kafka has
acknowledged: a destination that is down never holds the source's WAL, up to the disk budget.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import asyncpg
import structlog

from tailrace_reader.capture.cutting import CutRule
from tailrace_reader.capture.errors import PublicationMissing, SlotLost
from tailrace_reader.capture.lease import STAND_S, Lease
from tailrace_reader.capture.meeting import LostChanges, check_meeting, reached
from tailrace_reader.capture.resyncing import Revising
from tailrace_reader.capture.session import CaptureSession
from tailrace_reader.capture.slots import slot_state, source_position
from tailrace_reader.capture.stream import ChangeStream, StreamOptions
from tailrace_reader.capture.tail import LaneEnd, lane_end
from tailrace_reader.capture.timelines import timeline_ends
from tailrace_reader.capture.watch import Watch
from tailrace_reader.lane_opening import drop_lane, lsn_of, lsn_text
from tailrace_reader.snapshot import SourceServer
from tailrace_shared import topics
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.messages import (
    Failure,
    LaneBroken,
    LaneEnded,
    RunRecord,
    StageFailed,
)
from tailrace_shared.plan.model import Plan
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.lineage import Lineage

LEAVE_S = 3.0
RECORD_SHARE = 4
"""A record takes a quarter of the largest message: masking may grow what is in it, and compression seldom."""
_RETRY = RetrySchedule(first_s=0.3, limit_s=10.0, attempts=None)

log = structlog.get_logger()


class Capture:
    """One reader's candidature for a run's capture, and its work while it has the lease. ``run`` ends when the lane has ended."""

    def __init__(
        self,
        context: ServiceContext,
        source: SourceServer,
        record: RunRecord,
        plan: Plan,
        cipher: DataCipher,
        namespace: str,
        stale_s: float,
    ) -> None:
        assert plan.continuous is not None
        self._stale_s = stale_s
        self.context = context
        self._source = source
        self.plan = plan
        self.follow = plan.continuous
        self.digest = record.digest
        """Of ``plan``: the newest of the attempt that this capture knows of."""
        self.lineage = Lineage(context.kafka, namespace, plan, record.digest)
        self.record = record
        self.cipher = cipher
        self.topic = topics.of_run(namespace, plan.run, "changes")
        self.revising = Revising(context, source, namespace, plan)
        self.watch = Watch()
        self._log = log.bind(run=plan.run, slot=self.follow.slot)
        self.changes = 0
        self.bytes = 0
        self.last_turn = time.monotonic()

    def turn(self) -> None:
        """It lives, if only to wait for something outside."""
        self.last_turn = time.monotonic()

    def update(self, record: RunRecord) -> None:
        """A newer record: how far the destination is, and whether the run shall end."""
        self.record = record

    async def know(self, digest: str) -> bool:
        """Go by this plan from now on, if it is newer than the one at hand. Raises TransientError while it cannot be fetched."""
        plan = await self.lineage.of(digest)
        if plan is None or plan.revision <= self.plan.revision:
            return False
        self.plan, self.digest = plan, digest
        return True

    @property
    def applied(self) -> int:
        """Up to which commit the destination holds the lane, as it was last published."""
        lanes = self.record.lanes
        return lsn_of(lanes[0].position) if lanes else 0

    @property
    def ends(self) -> bool:
        """The lane is to be brought to its end."""
        return self.record.state == "stopping" and self.record.stop_requested and not self.record.cancel_requested

    async def run(self) -> None:
        """Stand and capture, again and again, until the lane has ended or is lost."""
        failures = 0
        while True:
            self.turn()
            before = self.changes
            try:
                await self._serve()
                return
            except (SlotLost, PublicationMissing) as error:
                await self._broken("slot-lost", error.message)
            except LostChanges as lost:
                await self._broken(lost.code, lost.why)
            except TransientError as error:
                failures = 1 if self.changes > before else failures + 1
                self.context.metrics.retries.labels(self.plan.run).inc()
                self._log.warning("capture.retry", code=error.code, message=error.message)
                await asyncio.sleep(_RETRY.delay(failures, self.context.replica) or STAND_S)
                continue
            except TailraceError as error:
                await self._failed(error)
            # Nothing that a retry helps; a new attempt ends this, or somebody puts right what failed.
            await asyncio.sleep(_RETRY.limit_s)

    async def _serve(self) -> None:
        connection = await connect(
            self._source.url,
            self._source.application_name,
            variable=self._source.variable,
            timeout_s=CONNECT_TIMEOUT_S,
            statement_timeout="0",
            idle_session_timeout="0",
        )
        lease = Lease(connection, self.follow.slot, self._stale_s)
        try:
            await lease.take(self.turn)
            self._log.info("capture.leads")
            if self.ends and await slot_state(connection, self.follow.slot) is None:
                return  # the lane has ended under another's lease, and its slot is dropped
            tail = await self._capture(lease)
            # Said before the slot goes: whoever dies in between leaves a slot whose lane is ended once more.
            await self.context.control.fact(
                LaneEnded(
                    run=self.plan.run,
                    attempt=self.plan.attempt,
                    lane=self.follow.lane,
                    replica=self.context.replica,
                    at=lsn_text(tail),
                )
            )
            self._log.info("capture.ended", at=lsn_text(tail))
            await drop_lane(self._source, self.follow.slot, self.follow.publication if self.follow.managed else None)
        finally:
            await lease.leave()
            connection.terminate()

    async def _capture(self, lease: Lease) -> int:
        """Under the lease, until the lane is to end; where it does."""
        end = await lane_end(self.context.kafka, self.topic, self.plan.key.id, lsn_of(self.follow.start))
        for digest in filter(None, (self.record.revision, end.plan)):
            await self.know(digest)
        async with lease.asking() as connection:
            timeline = await self._check(connection, end)
        sender = Sender(self.context.kafka, self.plan.message_bytes)
        await sender.start()
        try:
            async with await ChangeStream.open(self._source, self._options(), end.tail.end) as stream:
                session = CaptureSession(self, stream, sender, lease, end, timeline)
                await session.work()
                return session.recorder.tail.last
        finally:
            await sender.stop(Deadline.after(LEAVE_S))

    def _options(self) -> StreamOptions:
        limit = self.plan.message_bytes
        rule = CutRule(bytes=min(CutRule.bytes, limit // RECORD_SHARE))
        return StreamOptions(self.follow.slot, self.follow.publication, rule, frame_bytes=2 * limit)

    async def _check(self, connection: asyncpg.Connection, end: LaneEnd) -> int:
        """Whether the stream goes on where the lane ends; the source's timeline. Raises SlotLost and LostChanges."""
        if await connection.fetchval("SELECT pg_catalog.pg_is_in_recovery()"):
            raise TransientError(
                "capture.standby",
                "the source is a standby",
                "The stream goes on when it is promoted or the primary is back.",
            )
        state = await slot_state(connection, self.follow.slot)
        source = await source_position(connection)
        before: Mapping[int, int] = {}
        if source[1] > reached(self.follow, end):
            before = await timeline_ends(self._source, source[1])
        check_meeting(self.follow, state, source, end, before)
        if before:
            self._log.warning("capture.promoted", timeline=source[1])
        return source[1]

    async def _broken(self, code: str, why: str) -> None:
        self._log.error("lane.broken", code=code, why=why)
        await self.context.control.fact(
            LaneBroken(
                run=self.plan.run,
                attempt=self.plan.attempt,
                lane=self.follow.lane,
                replica=self.context.replica,
                code=code,
                why=why,
            )
        )

    async def _failed(self, error: TailraceError) -> None:
        self._log.error("capture.failed", code=error.code, message=error.message)
        await self.context.control.fact(
            StageFailed(
                run=self.plan.run,
                attempt=self.plan.attempt,
                service="reader",
                replica=self.context.replica,
                failure=Failure(code=error.code, message=error.message, remedy=error.remedy, where="capture"),
            )
        )
