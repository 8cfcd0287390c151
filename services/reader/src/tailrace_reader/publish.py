"""Batches of one range to the run's ``raw`` topic: encoded, encrypted under their headers, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from tailrace_reader.assemble import Cut
from tailrace_shared.batch import BatchHead, BatchId, Kind, associated_data, headers_of, partition_of, traceparent_of
from tailrace_shared.dataplane import ipc
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.model import Plan

WINDOW = 6
"""Records in flight per range: enough to cover a broker's round trip, few enough to bound memory (about 1 MB each)."""

Observe = Callable[[str, float], None]
"""Step (``encode``, ``send``) and seconds."""


class RangePublisher:
    """Sends the batches of one range; ``drain`` returns when Kafka has acknowledged all of them."""

    def __init__(
        self,
        sender: Sender,
        topic: str,
        cipher: DataCipher,
        plan: Plan,
        digest: str,
        first: BatchId,
        *,
        correlation: str,
        observe: Observe,
        kind: Kind = "raw",
    ) -> None:
        self._sender = sender
        self._topic = topic
        self._cipher = cipher
        self._plan = plan
        self._digest = digest
        self._first = first
        self._correlation = correlation
        self._observe = observe
        self._kind: Kind = kind
        self._flying: deque[asyncio.Future[None]] = deque()
        self.bytes = 0
        """Message bytes handed to Kafka so far."""

    async def publish(self, cut: Cut) -> None:
        """Encode, encrypt and enqueue a batch; waits while the window is full. Raises the sender's errors."""
        started = time.perf_counter()
        identity = self._first._replace(batch=cut.number)
        headers = headers_of(
            BatchHead(
                id=identity,
                kind=self._kind,
                parts=1,
                last=cut.last,
                rows=cut.batch.num_rows,
                bytes=cut.bytes,
                plan=self._digest,
                schema=ipc.schema_fingerprint(cut.batch.schema),
                key=self._plan.key.id,
                correlation=self._correlation,
                traceparent=traceparent_of(identity),
            )
        )
        value = self._cipher.seal(ipc.encode_view(cut.batch), associated_data(headers))
        self._observe("encode", time.perf_counter() - started)
        while len(self._flying) >= WINDOW:
            await self._oldest()
        try:
            sent = await self._sender.enqueue(
                self._topic,
                value,
                partition=self._partition(identity),
                headers=headers,
            )
        except TerminalError as error:
            if error.code == "kafka.message-too-large":
                raise self._too_large(identity, cut) from None
            raise
        self._flying.append(sent)
        self.bytes += len(value)

    def _partition(self, identity: BatchId) -> int:
        """A model's rows are together: who learns it reads that partition alone."""
        if self._kind == "training":
            return identity.table % self._plan.partitions
        return partition_of(identity.table, identity.range, identity.batch, self._plan.partitions)

    async def drain(self) -> None:
        """Wait for every acknowledgement."""
        while self._flying:
            await self._oldest()

    def abandon(self) -> None:
        """Forget what is in flight after a failure; it may arrive, and then it is what a retry sends again."""
        for sent in self._flying:
            sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._flying.clear()

    async def _oldest(self) -> None:
        started = time.perf_counter()
        await self._flying.popleft()
        self._observe("send", time.perf_counter() - started)

    def _too_large(self, identity: BatchId, cut: Cut) -> TerminalError:
        table = self._plan.table(identity.table).name
        return TerminalError(
            "reader.row-too-large",
            f"batch {cut.number} of range {identity.range} of {table} ({cut.batch.num_rows:,} rows, {cut.bytes:,} bytes of text) "
            f"does not fit a message of {self._plan.message_bytes:,} bytes",
            "Raise limits.message_bytes in the job (up to 64 MiB), or exclude the table or its large column.",
        )
