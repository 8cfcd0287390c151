"""Capturing a run's changes: stand for the lease, find the lane's tail, stream, send, confirm. One reader at a time.

The lease is a session lock in the source; a slot serves one session anyway. What is confirmed to the source is what Kafka has
acknowledged: a destination that is down never holds the source's WAL, up to the disk budget.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable

import asyncpg
import structlog
from aiokafka import TopicPartition

from tailrace_reader.capture.cutting import CutRule
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.errors import PublicationMissing, SlotLost
from tailrace_reader.capture.record import Lane, Record, Recorder, Tail
from tailrace_reader.capture.relations import Relation, RelationColumn
from tailrace_reader.capture.slots import slot_state, source_position
from tailrace_reader.capture.stream import ChangeStream, StreamOptions
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.lane_opening import drop_lane, lsn_text
from tailrace_reader.snapshot import SourceServer
from tailrace_shared import topics
from tailrace_shared.changes.head import change_head_of
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.kafka import map_error as map_kafka_error
from tailrace_shared.kafka.errors import FOREIGN
from tailrace_shared.messages import (
    CaptureSeen,
    Fact,
    Failure,
    LaneBroken,
    LaneEnded,
    RunRecord,
    SlotState,
    StageFailed,
)
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, translated
from tailrace_shared.service.context import ServiceContext

STAND_S = 1.0
SEEN_S = 2.0
ASK_S = 30.0
"""A source that takes longer to say how its slot is does not answer any more."""
CUT_S = 0.5
"""The loop looks around this often while nothing comes."""
LOOK_BACK = 256
"""Records that are looked through for the lane's last one: others are of attempts that have ended."""
LEAVE_S = 3.0
RECORD_SHARE = 4
"""A record takes a quarter of the largest message: masking may grow what is in it, and compression seldom."""
_RETRY = RetrySchedule(first_s=0.3, limit_s=10.0, attempts=None)

log = structlog.get_logger()

Tell = Callable[[Fact], Awaitable[None]]


class LostChanges(Exception):
    """The lane and the source do not meet any more."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


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
    ) -> None:
        assert plan.continuous is not None
        self._context = context
        self._source = source
        self._plan = plan
        self._follow = plan.continuous
        self._digest = record.digest
        self._record = record
        self._cipher = cipher
        self._topic = topics.of_run(namespace, plan.run, "changes")
        self._told: set[str] = set()
        self._log = log.bind(run=plan.run, slot=self._follow.slot)
        self.changes = 0
        self.bytes = 0
        self.last_turn = time.monotonic()

    def update(self, record: RunRecord) -> None:
        """A newer record: how far the destination is, and whether the run shall end."""
        self._record = record

    @property
    def ends(self) -> bool:
        """The lane is to be brought to its end."""
        return self._record.state == "stopping" and self._record.stop_requested and not self._record.cancel_requested

    async def run(self) -> None:
        """Stand and capture, again and again, until the lane has ended or is lost."""
        failures = 0
        while True:
            self.last_turn = time.monotonic()
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
                self._context.metrics.retries.labels(self._plan.run).inc()
                self._log.warning("capture.retry", code=error.code, message=error.message)
                await asyncio.sleep(_RETRY.delay(failures, self._context.replica) or STAND_S)
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
        try:
            if not await self._take_lease(connection):
                return
            tail = await self._tail()
            await self._check(connection, tail)
            sender = Sender(self._context.kafka, self._plan.message_bytes)
            await sender.start()
            try:
                async with await ChangeStream.open(self._source, self._options(), tail.end) as stream:
                    session = _Session(self, stream, sender, connection, tail)
                    await session.work()
            finally:
                await sender.stop(Deadline.after(LEAVE_S))
            await drop_lane(self._source, self._follow.slot, self._follow.publication if self._follow.managed else None)
            await self._context.control.fact(
                LaneEnded(
                    run=self._plan.run,
                    attempt=self._plan.attempt,
                    lane=self._follow.lane,
                    replica=self._context.replica,
                    at=lsn_text(session.recorder.tail.last),
                )
            )
            self._log.info("capture.ended", at=lsn_text(session.recorder.tail.last))
        finally:
            connection.terminate()

    async def _take_lease(self, connection: asyncpg.Connection) -> bool:
        """False when the lane has ended meanwhile, under another's lease."""
        key = int.from_bytes(hashlib.blake2b(self._follow.slot.encode(), digest_size=8).digest(), "big", signed=True)
        with translated():
            while not await connection.fetchval("SELECT pg_catalog.pg_try_advisory_lock($1)", key):
                self.last_turn = time.monotonic()
                await asyncio.sleep(STAND_S)
            if self.ends and await slot_state(connection, self._follow.slot) is None:
                return False
        self._log.info("capture.leads")
        return True

    def _options(self) -> StreamOptions:
        limit = self._plan.message_bytes
        rule = CutRule(bytes=min(CutRule.bytes, limit // RECORD_SHARE))
        return StreamOptions(self._follow.slot, self._follow.publication, rule, frame_bytes=2 * limit)

    async def _tail(self) -> Tail:
        """How far the lane goes, by what Kafka holds; the slot's beginning where it holds nothing of this attempt."""
        place = TopicPartition(self._topic, 0)
        consumer = self._context.kafka.consumer(group=None, auto_offset_reset="earliest")
        consumer.assign([place])
        try:
            await consumer.start()
            begin = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            newest: Tail | None = None
            at = max(begin, end - LOOK_BACK)
            consumer.seek(place, at)
            while at < end:
                polled = await consumer.getmany(place, timeout_ms=1000)
                for record in [r for records in polled.values() for r in records]:
                    at = record.offset + 1
                    head = change_head_of(record.headers)
                    if head.plan == self._digest:
                        last = head.last if head.final else head.previous
                        newest = Tail(head.sequence + 1, last, head.end)
        except FOREIGN as error:
            raise map_kafka_error(error, self._context.kafka.settings, f"reading {self._topic}") from None
        finally:
            await self._context.kafka.release(consumer, Deadline.after(LEAVE_S))
        start = _lsn(self._follow.start)
        return newest if newest is not None else Tail(0, start, start)

    async def _check(self, connection: asyncpg.Connection, tail: Tail) -> None:
        """Whether the stream goes on where the lane ends. Raises SlotLost and LostChanges."""
        state = await slot_state(connection, self._follow.slot)
        if state is None or state.lost:
            raise SlotLost(self._follow.slot, "it does not exist" if state is None else state.reason or "invalidated")
        system, timeline, _ = await source_position(connection)
        if system != self._follow.system:
            raise LostChanges("timeline", "the source is another server than the one that was loaded from")
        if timeline != self._follow.timeline:
            raise LostChanges("timeline", "the source has been promoted: WAL positions may have been used twice")
        if (state.confirmed_lsn or 0) > tail.end:
            raise LostChanges("tail-lost", "Kafka has lost changes that the source has let go")

    async def _broken(self, code: str, why: str) -> None:
        self._log.error("lane.broken", code=code, why=why)
        await self._context.control.fact(
            LaneBroken(
                run=self._plan.run,
                attempt=self._plan.attempt,
                lane=self._follow.lane,
                replica=self._context.replica,
                code=code,
                why=why,
            )
        )

    async def _failed(self, error: TailraceError) -> None:
        self._log.error("capture.failed", code=error.code, message=error.message)
        await self._context.control.fact(
            StageFailed(
                run=self._plan.run,
                attempt=self._plan.attempt,
                service="reader",
                replica=self._context.replica,
                failure=Failure(code=error.code, message=error.message, remedy=error.remedy, where="capture"),
            )
        )


class _Session:
    """One stream's work under the lease."""

    def __init__(
        self, capture: Capture, stream: ChangeStream, sender: Sender, connection: asyncpg.Connection, tail: Tail
    ) -> None:
        self._of = capture
        plan, follow = capture._plan, capture._follow
        self._stream = stream
        self._sender = sender
        self._connection = connection
        self._asking = asyncio.Lock()
        self._decoder = Decoder([captured(t) for t in plan.tables if t.relation is not None], tail.last)
        lane = Lane(plan.run, follow.lane, follow.system, follow.timeline, capture._digest, plan.key.id)
        self.recorder = Recorder(lane, capture._cipher, tail)
        self._kept: deque[tuple[int, int]] = deque()
        """(commit LSN, bytes) of records that the destination does not hold yet."""
        self._kept_bytes = 0
        self._budget = capture._record.job.continuous.disk_bytes
        self._heartbeat_s = capture._record.job.continuous.heartbeat_s
        self._idle_since = time.monotonic()
        self._held_back = False
        self._ends_at: int | None = None

    async def work(self) -> None:
        """Until the lane has ended. Raises what streaming and sending raise."""
        seen = asyncio.create_task(self._say_seen(), name=f"capture seen {self._of._plan.run}")
        try:
            while not await self._ended():
                self._of.last_turn = time.monotonic()
                if seen.done():
                    seen.result()
                if self._over_budget():
                    await asyncio.sleep(CUT_S)
                    continue
                frames = await self._stream.cut(self._decoder.inside, CUT_S)
                if frames is None:
                    await self._idle()
                    continue
                segment = await asyncio.to_thread(self._decoder.decode, frames)
                record = await asyncio.to_thread(self.recorder.record, segment)
                if record is not None:
                    await self._send(record)
                self._stream.drop(segment.frames)
                self._stream.confirm(self.recorder.tail.end)
        finally:
            seen.cancel()
            await asyncio.gather(seen, return_exceptions=True)

    async def _send(self, record: Record) -> None:
        crash_point("reader.before-changes")
        await self._sender.send(self._of._topic, record.value, partition=0, headers=record.headers)
        crash_point("reader.after-changes-before-confirm")
        self._idle_since = time.monotonic()
        size, head, run = len(record.value), record.head, self._of._plan.run
        self._kept.append((head.last, size))
        self._kept_bytes += size
        self._of.changes += head.changes
        self._of.bytes += size
        metrics = self._of._context.metrics
        metrics.rows.labels(run).inc(head.changes)
        metrics.bytes.labels(run, "out").inc(size)
        metrics.batches.labels(run, "done").inc()
        metrics.last_commit.labels(run).set_to_current_time()

    async def _idle(self) -> None:
        """Now and then say how far the source is although nothing comes: its WAL is let go, and the lag is known to be none."""
        due = time.monotonic() - self._idle_since >= self._heartbeat_s
        if not due and self._ends_at is None:
            return
        self._stream.report(reply=True)
        if not self._decoder.inside and (lsn := self._stream.idle_lsn) and (record := self.recorder.position(lsn)):
            await self._send(record)
            self._stream.confirm(self.recorder.tail.end)

    async def _ended(self) -> bool:
        """Whether everything is in the lane that was committed before the run was asked to stop."""
        if not self._of.ends:
            return False
        if self._ends_at is None:
            async with self._asking:
                _, _, self._ends_at = await source_position(self._connection)
        return not self._decoder.inside and self.recorder.tail.end >= self._ends_at

    def _over_budget(self) -> bool:
        """More waits on Kafka than the job allows. Looked at between transactions: half of one helps nobody."""
        lanes = self._of._record.lanes
        applied = _lsn(lanes[0].position) if lanes else 0
        while self._kept and self._kept[0][0] <= applied:
            self._kept_bytes -= self._kept.popleft()[1]
        self._held_back = not self._decoder.inside and self._kept_bytes > self._budget
        return self._held_back

    async def _say_seen(self) -> None:
        """How slot and lane are, by the lease's session."""
        of = self._of
        while True:
            async with asyncio.timeout(ASK_S), self._asking:
                state = await slot_state(self._connection, of._follow.slot)
                _, _, end = await source_position(self._connection)
            if state is not None:
                slot = SlotState(
                    name=state.name,
                    status=state.wal_status or "",
                    confirmed=lsn_text(state.confirmed_lsn or 0),
                    retained_bytes=max(0, state.retained_bytes or 0),
                    safe_bytes=state.safe_wal_size,
                )
                await of._context.control.fact(
                    CaptureSeen(
                        run=of._plan.run,
                        attempt=of._plan.attempt,
                        lane=of._follow.lane,
                        replica=of._context.replica,
                        slot=slot,
                        tail=lsn_text(self.recorder.tail.last),
                        source_end=lsn_text(end),
                        changes=of.changes,
                        bytes=of.bytes,
                        held_back=self._held_back,
                    )
                )
            await asyncio.sleep(SEEN_S)


def captured(table: PlannedTable) -> CapturedTable:
    """A planned table as capture knows it."""
    given = table.relation
    assert given is not None
    relation = Relation(
        given.oid,
        table.name.schema_name,
        table.name.name,
        given.identity,
        tuple(RelationColumn(c.name, c.type_oid, c.typmod, c.key) for c in given.columns),
    )
    return CapturedTable.of(table, relation, key=table.identity if given.identity == "f" else ())


def _lsn(text: str) -> int:
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)
