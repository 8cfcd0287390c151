"""Every batch leaves with its identity and its place in the run's trace, the same whenever it is read again."""

from __future__ import annotations

import asyncio
from typing import Any

import pyarrow as pa

from tailrace_reader.assemble import Cut
from tailrace_reader.publish import RangePublisher
from tailrace_shared.batch import BatchHead, BatchId, head_of, traceparent_of
from tailrace_shared.envelope import DataCipher
from tailrace_shared.plan.model import DataKey, Plan

FIRST = BatchId("01KA0000000000000000000001", 1, 2, 0, 3, 0, 0)
PLAN = Plan.model_construct(key=DataKey(id="k", wrapped=""), partitions=3, message_bytes=1 << 20)


class KeptSender:
    """Keeps the heads of what it is given, acknowledged at once."""

    def __init__(self) -> None:
        self.heads: list[BatchHead] = []

    async def enqueue(
        self, _topic: str, _value: Any, *, partition: int, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[None]:
        self.heads.append(head_of(headers))
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent


async def read_once() -> list[BatchHead]:
    sender: Any = KeptSender()
    publisher = RangePublisher(
        sender, "raw", DataCipher(bytes(32)), PLAN, "digest", FIRST, correlation=FIRST.run, observe=lambda *_: None
    )
    for number in range(3):
        batch = pa.record_batch({"name": ["Ann"]})
        await publisher.publish(Cut(number=number, last=number == 2, batch=batch, bytes=3))
    await publisher.drain()
    heads: list[BatchHead] = sender.heads
    return heads


async def test_batches_carry_their_trace_context_the_same_on_every_reading() -> None:
    heads = await read_once()
    assert [head.id.batch for head in heads] == [0, 1, 2]
    assert [head.traceparent for head in heads] == [traceparent_of(head.id) for head in heads]
    assert len({head.traceparent for head in heads}) == 3
    assert await read_once() == heads
