"""A generator's part in a lane: change records in, masked records out, in the same order.

A record is masked while the one before it is sent; it is sent when that is acknowledged, and its offset is committed after that. So
what a former owner of the partition has sent as well comes again, whole and in order, and the writer knows by the records' chain
what it has had.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from tailrace_generator.changes import ChangeMasker
from tailrace_generator.kernels import MaskSecret
from tailrace_generator.settings import Settings
from tailrace_generator.succession import Succession
from tailrace_shared import topics
from tailrace_shared.batch import associated_data
from tailrace_shared.changes.body import decode_body, encode_body
from tailrace_shared.changes.head import ChangeHead, change_head_of, headers_of_change
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane.pump import Delivery, Pump
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TailraceError
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.lineage import Lineage

_KERNEL_TRIES = 3
_WINDOW_RECORDS_BYTES = 32 << 20
"""Records taken at once are handled one by one: what waits costs memory and saves a fetch."""

RECORDS_MISSING = "kafka.records-missing"
"""What a member of a group says of a position that Kafka does not hold."""
_IN_HAND = 2
"""One that is sent, one that is masked."""
_THREAD_CHANGES = 2_048
"""Smaller records are masked on the spot: handing them to a thread and back takes as long."""

Failed = Callable[[BaseException, Delivery | None], Awaitable[bool]]


class LaneMasker:
    """Masks the changes of one attempt, as long as this replica has the lane's partition."""

    def __init__(
        self,
        context: ServiceContext,
        settings: Settings,
        plan: Plan,
        digest: str,
        secret: MaskSecret,
        cipher: DataCipher,
        failed: Failed,
    ) -> None:
        self._context = context
        self._plan = plan
        self._lineage = Lineage(context.kafka, settings.namespace, plan, digest)
        self._secret = secret
        self._cipher = cipher
        self._maskers: dict[str, ChangeMasker] = {}
        """By digest: of every plan by which records were made."""
        self._masked = topics.of_run(settings.namespace, plan.run, "masked-changes")
        # Of its own: what fails there must not take other batches' sends with it.
        self._sender = Sender(context.kafka, plan.message_bytes)
        changes = topics.of_run(settings.namespace, plan.run, "changes")
        self._pump = Pump(
            context.kafka,
            changes,
            topics.group(settings.namespace, "generator", changes),
            self._handle,
            window_bytes=min(settings.run_window_bytes, _WINDOW_RECORDS_BYTES),
            parallel=_IN_HAND,
            retry=FOREVER,
            on_failure=self._told,
            name=f"changes {plan.run}",
        )
        self._failed = failed
        self._succession = Succession()
        self._one_at_a_time = asyncio.Lock()
        self.rows = 0
        self.bytes = 0

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of records in hand."""
        return self._pump.in_flight_bytes

    async def start(self) -> None:
        """Connect and join the group."""
        await self._sender.start()
        await self._pump.start()

    async def stop(self, deadline: Deadline) -> None:
        """Finish the records in hand, commit, leave."""
        await self._pump.stop(deadline)
        await self._sender.stop(deadline)

    def last_progress(self) -> float:
        """When the pump last turned."""
        return self._pump.last_poll

    async def _told(self, error: BaseException, delivery: Delivery | None) -> bool:
        """Where nobody goes on without it, nothing behind it may be sent."""
        if isinstance(error, TailraceError) and error.code == RECORDS_MISSING:
            # Of this attempt or of one before: what is missing in the chain, the writer sees at the next record.
            self._context.log.error("lane.records-missing", run=self._plan.run, message=error.message)
            return True
        given_up = await self._failed(error, delivery)
        if delivery is not None:
            self._succession.leave(delivery.offset, done=given_up)
        return given_up

    async def _handle(self, delivery: Delivery) -> None:
        self._succession.enter(delivery.offset)
        await self._pass_on(delivery)
        self._succession.leave(delivery.offset)

    async def _pass_on(self, delivery: Delivery) -> None:
        head = change_head_of(delivery.headers)
        metrics, run = self._context.metrics, self._plan.run
        plan = await self._lineage.of(head.plan)
        if plan is None:  # of an attempt that has ended
            metrics.batches.labels(run, "discarded").inc()
            return
        if (masker := self._maskers.get(head.plan)) is None:
            masker = self._maskers[head.plan] = ChangeMasker(plan, self._secret)
        async with self._one_at_a_time:
            started = time.perf_counter()
            if head.changes < _THREAD_CHANGES:
                masked, data = self._mask(masker, head, delivery)
            else:
                masked, data = await asyncio.to_thread(self._mask, masker, head, delivery)
            made = time.perf_counter()
        await self._succession.turn(delivery.offset)
        await self._sender.send(self._masked, data, partition=0, headers=headers_of_change(masked))
        crash_point("generator.after-changes-before-commit")
        metrics.batch_seconds.labels(run, "mask").observe(made - started)
        metrics.batch_seconds.labels(run, "send").observe(time.perf_counter() - made)
        self.rows += head.changes
        self.bytes += len(data)
        metrics.rows.labels(run).inc(head.changes)
        metrics.lane.changes.labels(run, head.lane).inc(head.changes)
        metrics.bytes.labels(run, "in").inc(delivery.size)
        metrics.bytes.labels(run, "out").inc(len(data))
        metrics.batches.labels(run, "done").inc()
        metrics.last_commit.labels(run).set_to_current_time()

    def _mask(self, masker: ChangeMasker, head: ChangeHead, delivery: Delivery) -> tuple[ChangeHead, bytes]:
        data = self._cipher.open(delivery.value, associated_data(delivery.headers))
        made = masker.mask(decode_body(data, head.tables), _KERNEL_TRIES)
        encoded = encode_body(made.controls, [rows for _, rows in made.tables])
        masked = head._replace(
            kind="masked-changes",
            key="",
            tables=tuple(number for number, _ in made.tables),
            changes=sum(len(rows) for _, rows in made.tables),
            schema=encoded.schema,
            bytes=encoded.bytes,
        )
        return masked, encoded.data
