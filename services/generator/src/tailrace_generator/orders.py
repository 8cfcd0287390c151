"""Orders: rows that are made, not read. Any replica may make any order; it makes the same batches as any other."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import NamedTuple

import pyarrow as pa
from pydantic import ValidationError

from tailrace_generator.making import TableMaker
from tailrace_generator.parts import part_limit, split
from tailrace_generator.pool import Pool
from tailrace_generator.settings import Settings
from tailrace_generator.workshop import Workshop
from tailrace_shared import topics
from tailrace_shared.batch import BatchHead, BatchId, headers_of, partition_of, traceparent_of
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane import ipc
from tailrace_shared.dataplane.pump import Delivery, OnFailure, Pump
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.messages import ORDER, MakeRows, RangeRead
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.models import Models

WINDOW = 6
"""Records in flight per order: enough to cover a broker's round trip, few enough to bound memory (a few MB each)."""
_KERNEL_TRIES = 3


class Made(NamedTuple):
    """What an order has come to so far."""

    batches: int = 0
    rows: int = 0
    bytes: int = 0


class Orders:
    """A generator's part in one attempt's orders."""

    def __init__(
        self, context: ServiceContext, settings: Settings, plan: Plan, digest: str, workshop: Workshop, sender: Sender,
        on_failure: OnFailure,
    ) -> None:  # fmt: skip
        self._context = context
        self._plan = plan
        self._digest = digest
        self._run = plan.run
        self._sender = sender
        self._workshop = workshop
        self._makers: dict[int, TableMaker] = {}
        self._models = Models(context.kafka, settings.namespace)
        self._masked = topics.of_run(settings.namespace, plan.run, "masked")
        orders = topics.of_run(settings.namespace, plan.run, "orders")
        self._pump = Pump(
            context.kafka,
            orders,
            topics.group(settings.namespace, "generator", orders),
            self._handle,
            window_bytes=settings.run_window_bytes,
            parallel=1,
            retry=FOREVER,
            on_failure=on_failure,
            name=f"orders {plan.run}",
        )
        self.rows = 0
        self.bytes = 0

    async def start(self) -> None:
        """Join the group."""
        await self._pump.start()

    async def stop(self, deadline: Deadline) -> None:
        """Finish what is in hand if the deadline allows, leave the group; what is not finished is made by another replica."""
        await self._pump.stop(deadline)

    def last_progress(self) -> float:
        """When the pump last turned."""
        return self._pump.last_poll

    async def _handle(self, delivery: Delivery) -> None:
        order = _order(delivery.value)
        if order.attempt > self._plan.attempt:  # this member is about to leave; the next one makes it
            raise TransientError("order.newer-attempt", f"run {self._run} is on a newer attempt", "It is tried again.")
        if order.run != self._run or order.attempt != self._plan.attempt:
            return  # of an attempt that has ended
        if order.model and not self._workshop.has(order.table, order.model):
            self._workshop.take(order.table, await self._models.fetch(self._run, order.model))
        before = self._workshop.rejected(order.table)
        for table, digest in order.pools.items():
            if not self._workshop.has_pool(table, digest):
                self._workshop.take_pool(table, Pool(digest, await self._models.document(self._run, digest)))
        flying: deque[asyncio.Future[None]] = deque()
        sent, waiting = Made(), None
        try:
            async for made in self._batches(order):
                if waiting is not None:
                    sent = await self._send(order, sent, waiting, flying, last=False)
                waiting = made
            if waiting is not None:
                sent = await self._send(order, sent, waiting, flying, last=True)
            while flying:
                await flying.popleft()
        except BaseException:
            for flown in flying:  # it may arrive, and then it is what a retry sends again
                flown.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise
        after = self._workshop.rejected(order.table)
        drawn, rejected = after[0] - before[0], after[1] - before[1]
        if drawn:
            self._context.metrics.learning.rejected.labels(self._run, str(self._plan.table(order.table).name)).inc(
                rejected
            )
        await self._context.control.fact(
            RangeRead(
                run=self._run,
                attempt=order.attempt,
                table=order.table,
                load=order.load,
                range=order.range,
                replica=self._context.replica,
                rows=sent.rows,
                batches=sent.batches,
                bytes=sent.bytes,
                drawn=drawn,
                rejected=rejected,
            )
        )

    async def _batches(self, order: MakeRows) -> AsyncIterator[pa.RecordBatch]:
        """An order's rows, a batch at a time."""
        table = self._plan.table(order.table)
        if table.events_of is None:
            for first, rows in cut(order.first, order.rows, table.rows_per_batch):
                yield await self._make(order, first, rows)
            return
        spans = self._workshop.events(order.table).spans(order.first, order.rows)
        while (span := await asyncio.to_thread(next, spans, None)) is not None:
            for first, rows in cut(*span, table.rows_per_batch):
                yield await self._make(order, first, rows)

    async def _make(self, order: MakeRows, first: int, rows: int) -> pa.RecordBatch:
        started = time.perf_counter()
        make = partial(self._tried, order.table, first, rows)
        made = (
            await asyncio.to_thread(make) if order.model else make()
        )  # drawing takes a second where masking takes 10 ms
        self._context.metrics.batch_seconds.labels(self._run, "mask").observe(time.perf_counter() - started)
        return made

    async def _send(
        self, order: MakeRows, sent: Made, made: pa.RecordBatch, flying: deque[asyncio.Future[None]], *, last: bool
    ) -> Made:
        """Enqueue one batch; what is sent with it."""
        metrics, number, rows = self._context.metrics, sent.batches, made.num_rows
        where = f"batch {number} of order {order.range} of {self._plan.table(order.table).name}"
        parts = split(made, part_limit(self._plan.message_bytes), where)
        identity = BatchId(self._run, order.attempt, order.table, order.load, order.range, number, 0)
        size: int = sum(part.nbytes for part in parts)
        head = BatchHead(
            id=identity, kind="masked", parts=len(parts), last=last, rows=rows, bytes=size, plan=self._digest,
            schema=ipc.schema_fingerprint(made.schema), key="", correlation=self._run, traceparent=traceparent_of(identity),
        )  # fmt: skip
        partition = partition_of(order.table, order.range, number, self._plan.partitions)
        for place, part in enumerate(parts):
            headers = headers_of(head._replace(id=identity._replace(part=place), rows=part.num_rows))
            while len(flying) >= WINDOW:
                await flying.popleft()
            body = ipc.encode(part)
            flying.append(await self._sender.enqueue(self._masked, body, partition=partition, headers=headers))
            self.bytes += len(body)
            metrics.bytes.labels(self._run, "out").inc(len(body))
        crash_point("generator.in-order")
        self.rows += rows
        metrics.rows.labels(self._run).inc(rows)
        metrics.batch_rows.labels(self._run).observe(rows)
        metrics.batches.labels(self._run, "done").inc()
        metrics.last_commit.labels(self._run).set_to_current_time()
        return Made(sent.batches + 1, sent.rows + rows, sent.bytes + size)

    def _tried(self, table: int, first: int, rows: int) -> pa.RecordBatch:
        """A maker's failure is tried again at once, then it is terminal."""
        for left in reversed(range(_KERNEL_TRIES)):
            try:
                if table not in self._makers:
                    self._makers[table] = TableMaker(self._plan.table(table), self._workshop)
                return self._makers[table](first, rows)
            except TransientError as error:
                self._context.metrics.retries.labels(self._run).inc()
                if left == 0:
                    raise TerminalError(error.code, error.message, error.remedy) from None
        raise AssertionError("unreachable")


def cut(first: int, rows: int, step: int) -> Iterator[tuple[int, int]]:
    """First ordinal and rows of each batch."""
    for at in range(first, first + rows, step):
        yield at, min(step, first + rows - at)


def _order(value: bytes) -> MakeRows:
    try:
        return ORDER.validate_json(value)
    except ValidationError:
        raise TerminalError(
            "order.malformed", "a message on the orders topic is none that Tailrace wrote",
            "Let nothing but Tailrace write to its topics; check the topic's ACLs.",
        ) from None  # fmt: skip


def makes_rows(plan: Plan) -> bool:
    """Whether any table's rows are made."""
    return any(table.mode == "generate" for table in plan.tables)
