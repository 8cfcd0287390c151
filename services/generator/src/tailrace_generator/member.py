"""A generator's part in one attempt of one run: raw batches in, masked batches out, partition by partition."""

from __future__ import annotations

import asyncio
import time

from tailrace_generator.fingerprints import fingerprints, mask_secret
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.lane import LaneMasker
from tailrace_generator.masking import TableMasker
from tailrace_generator.orders import Orders, makes_rows
from tailrace_generator.parts import part_limit, split
from tailrace_generator.pooling import PoolMasker
from tailrace_generator.settings import Settings
from tailrace_generator.workshop import Workshop
from tailrace_shared import topics
from tailrace_shared.batch import BatchHead, associated_data, comparison_of, decoded_bytes, head_of, headers_of
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane import ipc
from tailrace_shared.dataplane.pump import Delivery, Pump
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher, TransportKey
from tailrace_shared.errors import TailraceError, TerminalError, TransientError, UsageError
from tailrace_shared.messages import ComparisonFailed, Failure, ResyncFailed, RunRecord, StageFailed
from tailrace_shared.plan.model import Plan
from tailrace_shared.plan.sealing import open_seeds
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.lineage import Lineage
from tailrace_shared.service.membership import Progress, ReplicaDiffers
from tailrace_shared.settings import secret_setting

STEPS = ("open", "mask", "encode", "send")
_KERNEL_TRIES = 3


class GeneratorMember:
    """Masks every raw batch of the attempt that this replica's partitions hold. Order within a partition is kept by the commit."""

    def __init__(self, context: ServiceContext, settings: Settings, record: RunRecord, plan: Plan) -> None:
        self._context = context
        self._plan = plan
        self._digest = record.digest
        self._run = record.run
        self._secret: MaskSecret = mask_secret(record.job)
        transport = _transport_key()
        self._cipher = DataCipher(transport.unwrap(plan.key.wrapped, f"{plan.run}/{plan.attempt}"))
        self._maskers: dict[tuple[str, int], TableMasker] = {}
        """By plan and table."""
        self._lineage = Lineage(context.kafka, settings.namespace, plan, record.digest)
        self._workshop = Workshop(plan, self._secret, open_seeds(plan, transport))
        self._masked = topics.of_run(settings.namespace, record.run, "masked")
        raw = topics.of_run(settings.namespace, record.run, "raw")
        self._sender = Sender(context.kafka, plan.message_bytes)
        self._pools = PoolMasker(context, settings.namespace, plan, self._secret, self._workshop, self._sender)
        self._pump = Pump(
            context.kafka,
            raw,
            topics.group(settings.namespace, "generator", raw),
            self._handle,
            window_bytes=settings.run_window_bytes,
            weigh=decoded_bytes,
            parallel=settings.parallel,
            retry=FOREVER,
            on_failure=self._failed,
            name=f"raw {record.run}",
        )
        self._lane = (
            LaneMasker(context, settings, plan, record.digest, self._secret, self._cipher, self._failed)
            if plan.continuous is not None
            else None
        )
        self._orders = (
            Orders(context, settings, plan, record.digest, self._workshop, self._sender, self._failed)
            if makes_rows(plan)
            else None
        )
        self._rows = 0
        self._bytes = 0

    async def start(self) -> None:
        """Connect and join the groups."""
        await self._sender.start()
        await self._pump.start()
        if self._lane is not None:
            await self._lane.start()
        if self._orders is not None:
            await self._orders.start()

    async def update(self, record: RunRecord) -> None:
        """Nothing changes for a generator while the attempt lasts."""
        lane = self._lane.in_flight_bytes if self._lane is not None else 0
        self._context.metrics.inflight.labels(self._run).set(self._pump.in_flight_bytes + lane)

    async def leave(self, deadline: Deadline) -> None:
        """Finish what is in hand, commit, leave the groups."""
        await asyncio.gather(
            *(pump.stop(deadline) for pump in (self._pump, self._lane, self._orders) if pump is not None)
        )
        await self._sender.stop(deadline)

    def progress(self) -> Progress:
        """Rows and changes masked, rows made, and bytes sent."""
        more = [part for part in (self._lane, self._orders) if part is not None]
        return Progress(self._rows + sum(part.rows for part in more), self._bytes + sum(part.bytes for part in more))

    def last_progress(self) -> float:
        """When the slowest pump last turned."""
        more = [part.last_progress() for part in (self._lane, self._orders) if part is not None]
        return min(self._pump.last_poll, *more)

    async def _handle(self, delivery: Delivery) -> None:
        head = head_of(delivery.headers)
        metrics = self._context.metrics
        if head.id.attempt > self._plan.attempt:  # this member is about to leave; the next one masks it
            raise TransientError("batch.newer-attempt", f"run {self._run} is on a newer attempt", "It is tried again.")
        plan = await self._planned(head)
        if plan is None:  # of an attempt that has ended
            metrics.batches.labels(self._run, "discarded").inc()
            return
        metrics.bytes.labels(self._run, "in").inc(delivery.size)
        if head.kind == "pool":
            data = self._cipher.open(delivery.value, associated_data(delivery.headers))
            await self._pools.publish(head, ipc.decode(data))
            return
        bodies = self._tried(plan, head, delivery)
        started = time.perf_counter()
        acks = [
            await self._sender.enqueue(self._masked, body, partition=delivery.partition, headers=headers_of(part))
            for part, body in bodies
        ]
        await asyncio.gather(*acks)
        crash_point("generator.after-send-before-commit")
        metrics.batch_seconds.labels(self._run, "send").observe(time.perf_counter() - started)
        sent = sum(len(body) for _, body in bodies)
        self._rows += head.rows
        self._bytes += sent
        metrics.rows.labels(self._run).inc(head.rows)
        metrics.batch_rows.labels(self._run).observe(head.rows)
        metrics.bytes.labels(self._run, "out").inc(sent)
        metrics.batches.labels(self._run, "done").inc()
        metrics.last_commit.labels(self._run).set_to_current_time()

    async def _planned(self, head: BatchHead) -> Plan | None:
        """The plan by which a batch was read: the attempt's, or a revision of it."""
        if head.id.attempt != self._plan.attempt:
            return None
        return self._plan if head.plan == self._digest else await self._lineage.of(head.plan)

    def _tried(self, plan: Plan, head: BatchHead, delivery: Delivery) -> list[tuple[BatchHead, bytes]]:
        """Mask; a kernel's failure is tried again at once, then it is terminal. (Sending is tried for as long as it takes.)"""
        for left in reversed(range(_KERNEL_TRIES)):
            try:
                return self._mask(plan, head, delivery)
            except TransientError as error:
                self._context.metrics.retries.labels(self._run).inc()
                if left == 0:
                    raise TerminalError(error.code, error.message, error.remedy) from None
        raise AssertionError("unreachable")

    def _mask(self, plan: Plan, head: BatchHead, delivery: Delivery) -> list[tuple[BatchHead, bytes]]:
        """Decrypt, mask, encode; synchronous: about 10 ms per batch."""
        observe = self._context.metrics.batch_seconds.labels
        clock = [time.perf_counter()]
        data = self._cipher.open(delivery.value, associated_data(delivery.headers))
        masker = self._masker(plan, head.plan, head.id.table)
        masked = head._replace(kind="masked", key="")
        if masker.passes:
            return [(masked, data)]
        batch = ipc.decode(data)
        clock.append(time.perf_counter())
        made = masker(batch)
        clock.append(time.perf_counter())
        where = f"batch {head.id.batch} of range {head.id.range} of {plan.table(head.id.table).name}"
        parts = split(made, part_limit(self._plan.message_bytes), where)
        bodies = [
            (masked._replace(id=head.id._replace(part=number), parts=len(parts), rows=part.num_rows), ipc.encode(part))
            for number, part in enumerate(parts)
        ]
        clock.append(time.perf_counter())
        for step, begin, end in zip(STEPS, clock, clock[1:], strict=False):
            observe(self._run, step).observe(end - begin)
        return bodies

    def _masker(self, plan: Plan, digest: str, table: int) -> TableMasker:
        if (digest, table) not in self._maskers:
            self._maskers[digest, table] = TableMasker(plan.table(table), self._secret, self._workshop)
        return self._maskers[digest, table]

    async def _failed(self, error: BaseException, delivery: Delivery | None) -> bool:
        if isinstance(error, TailraceError):
            failure = Failure(code=error.code, message=error.message, remedy=error.remedy)
        else:
            failure = Failure(
                code="generator.unexpected",
                message=f"unexpected {type(error).__name__} while masking",
                remedy="See the generator's log.",
            )
        self._context.log.error("batch.failed", run=self._run, code=failure.code, exc_info=error)
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
                    service="generator",
                    replica=self._context.replica,
                    failure=failure,
                )
            )
            return True  # it is given up; the run goes on
        await self._context.control.fact(
            StageFailed(
                run=self._run,
                attempt=self._plan.attempt,
                service="generator",
                replica=self._context.replica,
                failure=failure,
            )
        )
        return False  # uncommitted: nothing behind it is taken for done


def _transport_key() -> TransportKey:
    key = secret_setting("TAILRACE_TRANSPORT_KEY")
    if key is None:
        raise UsageError(
            "transport-key.missing",
            "TAILRACE_TRANSPORT_KEY is not set",
            "Give reader, generator and trainer the same TAILRACE_TRANSPORT_KEY (or TAILRACE_TRANSPORT_KEY_FILE).",
        )
    return TransportKey.of(key)


async def join(context: ServiceContext, settings: Settings, record: RunRecord, plan: Plan) -> GeneratorMember:
    """Check that this replica masks as planned, then take part. Raises ReplicaDiffers when it would not."""
    mine = fingerprints(record.job)
    for what, own, planned, remedy in (
        ("mask secret", mine.mask_secret, plan.fingerprints.mask_secret, "Give all generators the same mask secret."),
        ("generator catalogue", mine.catalogue, plan.fingerprints.catalogue, "Run the same version of all generators."),
        ("mock pools", mine.pools, plan.fingerprints.pools, "Run the same version of Faker in all generators."),
        (
            "arithmetic",
            mine.numeric,
            plan.fingerprints.numeric,
            "Run all generators on the same kind of processor, with the same version of numpy.",
        ),
    ):
        if own != planned:
            raise ReplicaDiffers(
                "replica.differs",
                f"this generator's {what} differs from the one that run {record.run} was planned with",
                remedy,
            )
    member = GeneratorMember(context, settings, record, plan)
    await member.start()
    return member
