"""A writer's part in one attempt of one run: masked batches in, rows and ledger out."""

from __future__ import annotations

import asyncio
import time

from tailrace_shared import topics
from tailrace_shared.batch import BatchHead, comparison_of, decoded_bytes, head_of
from tailrace_shared.dataplane import ipc
from tailrace_shared.dataplane.pump import Delivery, Pump
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.messages import ComparisonFailed, Failure, LaneBroken, ResyncFailed, RunRecord, StageFailed
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.lineage import Lineage
from tailrace_shared.service.membership import Progress
from tailrace_writer.apply import Applier
from tailrace_writer.comparison.sink import ComparisonSink
from tailrace_writer.destinations import Destination
from tailrace_writer.encode import Encoded, TableEncoder
from tailrace_writer.hindrance import Hindrance
from tailrace_writer.lane.owner import LaneOwner
from tailrace_writer.lane.position import Gap
from tailrace_writer.sessions import Sessions
from tailrace_writer.settings import Settings
from tailrace_writer.staging import placed

STEPS = ("decode", "encode", "apply")
RETRY = RetrySchedule(attempts=None, limit_s=5.0)
"""A destination may be away for hours; once it is back, nobody waits long."""


class WriterMember:
    """Applies every batch of the attempt that this replica's partitions hold."""

    def __init__(
        self, context: ServiceContext, settings: Settings, destination: Destination, record: RunRecord, plan: Plan
    ) -> None:
        self._context = context
        self._plan = plan
        self._run = record.run
        self._digest = record.digest
        self._lineage = Lineage(context.kafka, settings.namespace, plan, record.digest)
        self._encoders: dict[tuple[str, int], TableEncoder] = {}
        """By plan and table."""
        self._hindrance = Hindrance(record.run, context.replica, destination)
        self._sessions = Sessions(destination, settings.connections)
        self._applier = Applier(
            self._sessions,
            lock_timeout_s=settings.lock_timeout_s,
            stale_s=settings.stale_s,
            replica_role=plan.replica_role and plan.mode != "append",
            resync_silent=plan.continuous is not None and plan.continuous.apply == "replica-role",
        )
        self._sink = ComparisonSink(destination)
        masked = topics.of_run(settings.namespace, record.run, "masked")
        self._pump = Pump(
            context.kafka,
            masked,
            topics.group(settings.namespace, "writer", masked),
            self.handle,
            window_bytes=settings.run_window_bytes,
            weigh=decoded_bytes,
            parallel=settings.batches_in_hand,
            retry=RETRY,
            on_failure=self._failed,
            name=f"masked {record.run}",
        )
        self._lane = None
        if plan.continuous is not None:
            self._lane = LaneOwner(context, settings, destination, plan, record.digest, self._broken)
        self._following: asyncio.Task[None] | None = None
        self._rows = 0
        self._bytes = 0

    async def start(self) -> None:
        """Join the group."""
        await self._pump.start()

    async def update(self, record: RunRecord) -> None:
        """Batches: nothing changes while the attempt lasts, the run's row says what may be applied. A lane is stood for while it
        is to be followed."""
        if self._lane is not None:
            if follows(record) and self._following is None:
                self._following = asyncio.create_task(self._lane.run(), name=f"lane {record.run}")
                self._following.add_done_callback(self._ended)
            elif not follows(record):
                await self._stand_down()
        self._context.metrics.inflight.labels(self._run).set(self._pump.in_flight_bytes)

    async def leave(self, deadline: Deadline) -> None:
        """Finish what is in hand, commit, leave the group, close the sessions."""
        await self._stand_down()
        await self._pump.stop(deadline)
        self._sessions.close()
        self._sink.close()

    def progress(self) -> Progress:
        """Rows and changes applied, and message bytes taken."""
        changes, size = (self._lane.changes, self._lane.bytes) if self._lane is not None else (0, 0)
        return Progress(self._rows + changes, self._bytes + size)

    def last_progress(self) -> float:
        """When the pump last turned, and the lane while it is followed."""
        if self._lane is not None and self._following is not None:
            return min(self._pump.last_poll, self._lane.last_turn)
        return self._pump.last_poll

    # --- the lane ----------------------------------------------------------------------------------------------------

    async def _stand_down(self) -> None:
        """Follow the lane no more; a transaction in hand is rolled back, and comes again."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """An error that following does not handle itself is a defect: the process says so and ends."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _broken(self, gap: Gap) -> None:
        assert self._plan.continuous is not None
        await self._context.control.fact(
            LaneBroken(
                run=self._run,
                attempt=self._plan.attempt,
                lane=self._plan.continuous.lane,
                replica=self._context.replica,
                code=gap.code,
                why=gap.why,
            )
        )

    # --- batches -----------------------------------------------------------------------------------------------------

    async def handle(self, delivery: Delivery) -> None:
        """Apply one delivery, or see that it was or may not be. Returning lets its offset be committed."""
        try:
            await self._apply(delivery)
        except TransientError as error:
            self._context.metrics.retries.labels(self._run).inc()
            await self._hindrance.failed(error)
            raise
        await self._hindrance.passed()

    async def _apply(self, delivery: Delivery) -> None:
        metrics, run = self._context.metrics, self._run
        head = head_of(delivery.headers)
        plan = await self._ours(head)
        if plan is None:
            metrics.batches.labels(run, "discarded").inc()
            return
        metrics.bytes.labels(run, "in").inc(delivery.size)
        encoder, data = self._encode(plan, head, delivery.value)
        if head.id.load < 0:
            metrics.batches.labels(run, await self._sink.take(head, encoder.table, data)).inc()
            return
        outcome, seconds = await self._applier.apply(head, encoder.table, encoder.columns, data)
        metrics.batch_seconds.labels(run, "apply").observe(seconds)
        metrics.batches.labels(run, outcome).inc()
        if outcome == "done":
            self._rows += head.rows
            self._bytes += delivery.size
            metrics.rows.labels(run).inc(head.rows)
            metrics.batch_rows.labels(run).observe(head.rows)
            metrics.bytes.labels(run, "out").inc(sum(map(len, data.pieces)))
            metrics.last_commit.labels(run).set_to_current_time()
        else:
            self._context.log.info("batch.skipped", outcome=outcome, **head.id._asdict())

    async def _ours(self, head: BatchHead) -> Plan | None:
        """The plan by which it was read, if the batch is of this attempt. One of a later attempt is for the member that this
        replica is about to become."""
        if head.id.run != self._run:
            raise TerminalError(
                "batch.foreign",
                "a batch of another run is on this run's topic",
                "Let nothing but Tailrace write to it.",
            )
        if head.id.attempt > self._plan.attempt:
            raise TransientError("batch.ahead", f"a batch of attempt {head.id.attempt} came before its plan")
        if head.id.attempt != self._plan.attempt:
            return None
        return self._plan if head.plan == self._digest else await self._lineage.of(head.plan)

    def _encode(self, plan: Plan, head: BatchHead, value: bytes) -> tuple[TableEncoder, Encoded]:
        """Decode and encode; synchronous, about 10 ms per batch: threads gain nothing on the cores that a replica has."""
        observe = self._context.metrics.batch_seconds.labels
        started = time.perf_counter()
        batch = ipc.decode(value)
        if batch.num_rows != head.rows:
            raise TerminalError(
                "batch.rows",
                f"a batch of {batch.num_rows} rows says that it has {head.rows}",
                "Let nothing but Tailrace write to its topics.",
            )
        decoded = time.perf_counter()
        encoder = self._encoders.get((head.plan, head.id.table))
        if encoder is None:
            encoder = TableEncoder(placed(plan, plan.table(head.id.table)))
            self._encoders[head.plan, head.id.table] = encoder
        data = encoder.encode(batch)
        observe(self._run, "decode").observe(decoded - started)
        observe(self._run, "encode").observe(time.perf_counter() - decoded)
        return encoder, data

    async def _failed(self, error: BaseException, delivery: Delivery | None) -> bool:
        failure = failure_of(error, self._where(delivery))
        self._context.log.error("batch.failed", run=self._run, code=failure.code, where=failure.where, exc_info=error)
        self._context.metrics.batches.labels(self._run, "failed").inc()
        self._context.metrics.failures.labels(self._run).inc()
        if delivery is not None and (comparison := comparison_of(delivery.headers)):
            await self._context.control.fact(
                ComparisonFailed(
                    run=self._run,
                    attempt=self._plan.attempt,
                    number=comparison,
                    replica=self._context.replica,
                    failure=failure,
                )
            )
            return True  # nothing else suffers
        if resync := self._lineage.resync_of(delivery):
            await self._context.control.fact(
                ResyncFailed(
                    run=self._run,
                    attempt=self._plan.attempt,
                    number=resync,
                    service="writer",
                    replica=self._context.replica,
                    failure=failure,
                )
            )
            return True  # it is given up; the run goes on
        await self._context.control.fact(
            StageFailed(
                run=self._run,
                attempt=self._plan.attempt,
                service="writer",
                replica=self._context.replica,
                failure=failure,
            )
        )
        return False  # uncommitted: nothing behind it is taken for done

    def _where(self, delivery: Delivery | None) -> str:
        if delivery is None:
            return ""
        try:
            head = head_of(delivery.headers)
            return f"{self._plan.table(head.id.table).name}, range {head.id.range}, batch {head.id.batch}"
        except (TailraceError, IndexError):
            return ""


def follows(record: RunRecord) -> bool:
    """Whether the run's lane is to be followed now: while it streams, and to its end when it was asked to stop."""
    ends_well = record.state == "stopping" and record.stop_requested and not record.cancel_requested
    return record.state == "streaming" or ends_well


def failure_of(error: BaseException, where: str = "") -> Failure:
    """What may be said of an error: our own words, or the type alone."""
    if isinstance(error, TailraceError):
        return Failure(code=error.code, message=error.message, remedy=error.remedy, where=where)
    return Failure(
        code="writer.unexpected",
        message=f"unexpected {type(error).__name__} in the writer",
        remedy="See the writer's log; please report this.",
        where=where,
    )
