"""A reader's part in one attempt of one run: it holds the snapshot, reads the ranges that are released, looks up leaks."""

from __future__ import annotations

import asyncio
import time

from pydantic import ValidationError

from tailrace_reader.access import source_of, transport_key
from tailrace_reader.assemble import RangeAssembler
from tailrace_reader.capture.worker import Capture
from tailrace_reader.comparing import ComparisonReader
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.leaks import look_up
from tailrace_reader.parse import Parser
from tailrace_reader.patience import SourcePatience
from tailrace_reader.pools import PoolReader
from tailrace_reader.publish import RangePublisher
from tailrace_reader.ranges import RangeQuery, SourceChanged, read_range
from tailrace_reader.resync_reading import ResyncReading
from tailrace_reader.sampling import SampleReader
from tailrace_reader.session import SnapshotSession
from tailrace_reader.settings import Settings
from tailrace_reader.snapshot import HeldSnapshot
from tailrace_reader.views import ViewQuery, read_view
from tailrace_shared import topics
from tailrace_shared.batch import BatchId
from tailrace_shared.dataplane.pump import Delivery, Pump
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TailraceError
from tailrace_shared.messages import (
    WORK,
    CheckLeaks,
    Failure,
    RangeRead,
    ReadPool,
    ReadRange,
    ReadToCompare,
    ResyncFailed,
    RunRecord,
    SnapshotHeld,
    SnapshotUnavailable,
    SourceRewritten,
    StageFailed,
    State,
)
from tailrace_shared.plan.model import Plan
from tailrace_shared.plan.sealing import open_filters
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.membership import Progress

STEPS = ("decode", "encode", "send")
READING: frozenset[State] = frozenset({"planned", "preparing", "loading"})
"""States in which the snapshot is needed; what comes later looks at the source as it is."""
_RETRY = RetrySchedule(first_s=0.5, limit_s=10.0, attempts=None)
"""Never spent: what ends it is the patience with the source."""


class ReaderMember:
    """Reads up to ``settings.parallel`` ranges at once. A range that fails is read again from its start: its batches have the
    same ids, so what arrives twice is applied once."""

    def __init__(
        self, context: ServiceContext, settings: Settings, record: RunRecord, plan: Plan, holder: HeldSnapshot | None
    ) -> None:
        self._context = context
        self._settings = settings
        self._record = record
        self._plan = plan
        self._digest = record.digest
        self._run = record.run
        self._source = source_of(record.job, context.application_name)
        key = transport_key()
        self._cipher = DataCipher(key.unwrap(plan.key.wrapped, f"{plan.run}/{plan.attempt}"))
        self._filters = open_filters(plan, key)
        self._patience = SourcePatience(settings.source_patience_s)
        self._parsers: dict[tuple[str, int], Parser] = {}
        """By plan and table."""
        self._raw = topics.of_run(settings.namespace, record.run, "raw")
        self._sender = Sender(context.kafka, plan.message_bytes)
        self._session = None if holder is None else self._session_of(holder)
        work = topics.of_run(settings.namespace, record.run, "work")
        self._pump = Pump(
            context.kafka,
            work,
            topics.group(settings.namespace, "reader", work),
            self._handle,
            window_bytes=settings.run_window_bytes,
            parallel=settings.parallel,
            retry=_RETRY,
            on_failure=self._failed,
            name=f"work {record.run}",
        )
        self._capture = None
        if plan.continuous is not None:
            self._capture = Capture(
                context, self._source, record, plan, self._cipher, settings.namespace, settings.stale_s
            )
            self._resync = ResyncReading(context, settings, self._source, record, self._capture.revising.take)
        self._capturing: asyncio.Task[None] | None = None
        self._samples = SampleReader(context, record, plan, self._sender, self._cipher, self._observe)
        self._pools = PoolReader(
            context, record, plan, self._source, self._sender, self._cipher, self._observe, self._filters
        )
        self._comparison = ComparisonReader(context, self._source, record, self._sender, self._cipher, self._observe)
        self._rows = 0
        self._bytes = 0
        self._retries = 0

    async def start(self) -> None:
        """Connect, join the group, report the snapshot. After a failure the snapshot is still held: joining is tried again."""
        try:
            await self._sender.start()
            await self._pump.start()
        except BaseException:
            await self._disconnect(Deadline.after(self._settings.drain_s))
            raise
        if self._session is not None:
            await self._session.start()
        if self._capture is not None:
            self._capturing = asyncio.create_task(self._capture.run(), name=f"capture {self._run}")
            self._capturing.add_done_callback(self._capture_ended)
            await self._resync.update(self._record)

    async def update(self, record: RunRecord) -> None:
        """Learn of other snapshot ids; let the snapshot go when the run has left ``loading``."""
        self._record = record
        self._comparison.update(record)
        if self._capture is not None:
            self._capture.update(record)
            await self._resync.update(record)
        if self._session is not None:
            self._session.listed_anew()
            if record.state not in READING:
                session, self._session = self._session, None
                await session.release()
        metrics = self._context.metrics
        metrics.inflight.labels(self._run).set(self._sender.in_flight_bytes)
        metrics.retries.labels(self._run).inc(self._pump.retries - self._retries)
        self._retries = self._pump.retries

    async def leave(self, deadline: Deadline) -> None:
        """Finish the ranges in hand, leave the group, let the snapshot go."""
        if self._session is not None:
            self._session.refuse()
        if self._capturing is not None:
            self._capturing.cancel()
            await asyncio.gather(self._capturing, return_exceptions=True)
        await self._comparison.stop()
        await self._disconnect(deadline)
        if self._capture is not None:
            await self._resync.leave()
            self._capture.revising.forget()
        if self._session is not None:
            session, self._session = self._session, None
            await session.release()

    def progress(self) -> Progress:
        """Rows read, changes captured, and bytes sent."""
        changes, size = (self._capture.changes, self._capture.bytes) if self._capture is not None else (0, 0)
        return Progress(self._rows + changes, self._bytes + size)

    def last_progress(self) -> float:
        """When the pump last turned, and the capture."""
        if self._capture is not None and self._capturing is not None and not self._capturing.done():
            return min(self._pump.last_poll, self._capture.last_turn)
        return self._pump.last_poll

    def _capture_ended(self, task: asyncio.Task[None]) -> None:
        """An error that it does not handle itself is a defect: the process says so and ends."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _disconnect(self, deadline: Deadline) -> None:
        await self._pump.stop(deadline)
        await self._sender.stop(deadline)

    # --- work --------------------------------------------------------------------------------------------------------

    async def _handle(self, delivery: Delivery) -> None:
        work = WORK.validate_json(delivery.value)
        if work.attempt != self._plan.attempt:  # of an attempt that has ended
            self._context.metrics.batches.labels(self._run, "discarded").inc()
            return
        try:
            if isinstance(work, CheckLeaks):
                limit_s = self._settings.leak_timeout_s
                await self._context.control.fact(
                    await look_up(self._source, await self._newest(), work, limit_s, self._context.replica)
                )
            elif isinstance(work, ReadToCompare):
                await self._comparison.begin(work)
            elif isinstance(work, ReadPool):
                if self._session is not None:
                    await self._pools.read(work, self._session)
            elif (session := await self._snapshot_of(work)) is not None:
                await (self._samples.read if work.sample else self._read)(work, session)
            self._patience.succeeded()
        except SourceChanged as error:
            assert isinstance(work, ReadRange | ReadPool)  # nothing else rests on what was planned
            self._context.log.warning("source.rewritten", run=self._run, message=error.message)
            await self._context.control.fact(
                SourceRewritten(run=self._run, attempt=work.attempt, table=work.table, replica=self._context.replica)
            )
        except TailraceError as error:
            raise self._patience.judge(error, time.monotonic()) from None

    async def _snapshot_of(self, work: ReadRange) -> SnapshotSession | None:
        """Where a range is to be read; None where nobody waits for it any more."""
        if work.resync and self._capture is not None:
            return await self._resync.session(work.resync)
        return self._session

    async def _newest(self) -> Plan:
        """The plan of now: tables may have been planned anew, or added."""
        if self._record.revision and self._capture is not None:
            return await self._capture.lineage.of(self._record.revision) or self._plan
        return self._plan

    async def _planned(self, work: ReadRange) -> tuple[Plan, str]:
        """The plan by which a range is read."""
        if work.plan and self._capture is not None:
            plan = await self._capture.lineage.of(work.plan)
            if plan is not None:
                return plan, work.plan
        return self._plan, self._digest

    async def _read(self, work: ReadRange, session: SnapshotSession) -> None:
        plan, digest = await self._planned(work)
        table = plan.table(work.table)
        layout = Layout.of(table)
        parser = self._parsers.setdefault((digest, table.number), Parser(layout))
        where = f"range {work.range} of {table.name}"
        assembler = RangeAssembler(parser, CutRule.of(self._plan, table.rows_per_batch), where)
        publisher = RangePublisher(
            self._sender,
            self._raw,
            self._cipher,
            plan,
            digest,
            BatchId(self._run, work.attempt, work.table, work.load, work.range, 0, 0),
            correlation=self._run,
            observe=self._observe,
        )
        try:
            async with session.reading() as connection:
                told = self._filters.get(table.number)
                if table.view:
                    view = ViewQuery.of(table, work.low, work.high, told)
                    rest = await read_view(connection, self._source, view, assembler, publisher.publish)
                else:
                    query = RangeQuery.of(table, work.leaf, work.low, work.high, told)
                    rest = await read_range(connection, query, assembler, publisher.publish)
            await publisher.drain()
        except BaseException:
            publisher.abandon()
            raise
        await self._context.control.fact(
            RangeRead(
                run=self._run,
                attempt=work.attempt,
                table=work.table,
                load=work.load,
                range=work.range,
                replica=self._context.replica,
                rows=assembler.rows,
                batches=assembler.batches,
                bytes=assembler.weight,
                rest=rest,
            )
        )
        self._count(assembler, publisher)

    # --- telling -----------------------------------------------------------------------------------------------------

    def _session_of(self, holder: HeldSnapshot) -> SnapshotSession:
        return SnapshotSession(
            self._source,
            holder,
            listed=lambda: [s.id for s in self._record.snapshots],
            held=self._held,
            lost=self._lost,
            ping_s=self._settings.source_ping_s,
            patience=SourcePatience(self._settings.source_patience_s),
        )

    async def _held(self, snapshot: str) -> None:
        await self._context.control.fact(
            SnapshotHeld(run=self._run, attempt=self._plan.attempt, replica=self._context.replica, snapshot=snapshot)
        )

    async def _lost(self, tried: tuple[str, ...]) -> None:
        self._context.log.warning("snapshot.lost", run=self._run, tried=len(tried))
        await self._context.control.fact(
            SnapshotUnavailable(run=self._run, attempt=self._plan.attempt, replica=self._context.replica, tried=tried)
        )

    def _observe(self, step: str, seconds: float) -> None:
        self._context.metrics.batch_seconds.labels(self._run, step).observe(seconds)
        if step == "send":
            self._context.metrics.backpressure.labels(self._run).inc(seconds)

    def _count(self, assembler: RangeAssembler, publisher: RangePublisher) -> None:
        metrics = self._context.metrics
        self._rows += assembler.rows
        self._bytes += publisher.bytes
        metrics.rows.labels(self._run).inc(assembler.rows)
        metrics.bytes.labels(self._run, "in").inc(assembler.weight)
        metrics.bytes.labels(self._run, "out").inc(publisher.bytes)
        metrics.batches.labels(self._run, "done").inc(assembler.batches)
        metrics.last_commit.labels(self._run).set_to_current_time()

    async def _failed(self, error: BaseException, delivery: Delivery | None) -> bool:
        if isinstance(error, TailraceError):
            failure = Failure(code=error.code, message=error.message, remedy=error.remedy, where=self._where(delivery))
        else:
            failure = Failure(
                code="reader.unexpected",
                message=f"unexpected {type(error).__name__} while reading the source",
                remedy="See the reader's log.",
                where=self._where(delivery),
            )
        self._context.log.error("work.failed", run=self._run, code=failure.code, exc_info=error)
        self._context.metrics.failures.labels(self._run).inc()
        if resync := _resync_of(delivery):
            await self._context.control.fact(
                ResyncFailed(
                    run=self._run,
                    attempt=self._plan.attempt,
                    number=resync,
                    service="reader",
                    replica=self._context.replica,
                    failure=failure,
                )
            )
            return True  # it is given up; the run goes on
        await self._context.control.fact(
            StageFailed(
                run=self._run,
                attempt=self._plan.attempt,
                service="reader",
                replica=self._context.replica,
                failure=failure,
            )
        )
        return False  # uncommitted: the run is over, and nothing shall look as if it had been read

    def _where(self, delivery: Delivery | None) -> str:
        """What was being read, in words."""
        if delivery is None:
            return ""
        try:
            work = WORK.validate_json(delivery.value)
            if isinstance(work, ReadToCompare):
                return "a comparison"
            if isinstance(work, CheckLeaks):
                named = dict.fromkeys(str(self._plan.table(sample.table).name) for sample in work.samples)
                return f"the leak scan of {', '.join(list(named)[:3])}{' and others' if len(named) > 3 else ''}"
            table = self._plan.table(work.table).name
        except (ValidationError, IndexError):
            return ""
        return f"keys of {table}" if isinstance(work, ReadPool) else f"{table}, range {work.range}"


def _resync_of(delivery: Delivery | None) -> int:
    """Number of the resync that a work item belongs to; 0: it belongs to none."""
    try:
        work = None if delivery is None else WORK.validate_json(delivery.value)
    except ValidationError:
        return 0
    return work.resync if isinstance(work, ReadRange) else 0
