"""Reading a model's rows from the run's ``training`` topic: its partition from the beginning, until every batch was there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pyarrow as pa
from aiokafka import TopicPartition

from tailrace_shared.batch import BatchId, associated_data, head_of
from tailrace_shared.dataplane import ipc
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TransientError
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import ModelProgress
from tailrace_shared.plan.model import Plan
from tailrace_trainer.collect import RowSample
from tailrace_trainer.collect_pairs import PairSample

SILENT_S = 60.0
"""All batches are acknowledged before a trainer is named: where none comes for so long, something is wrong."""


class Missing:
    """Which batches are still to come."""

    def __init__(self, batches: Mapping[int, int]) -> None:
        self._left = {(number, batch) for number, count in batches.items() for batch in range(count)}

    def take(self, identity: BatchId) -> bool:
        """Note one; False where it was there before, or is none of them."""
        key = (identity.range, identity.batch)
        known = key in self._left
        self._left.discard(key)
        return known

    def __bool__(self) -> bool:
        return bool(self._left)


async def collect(
    kafka: Kafka, topic: str, cipher: DataCipher, plan: Plan, model: ModelProgress, *, rows_max: int, bytes_max: int
) -> pa.Table:
    """At most ``rows_max`` rows: the same ones for the same source and seed, in whatever order batches come.

    Raises TransientError (``trainer.sample``) where batches do not come that should be there.
    """
    learning = plan.table(model.table).learning
    assert learning is not None
    sample = RowSample(rows_max, bytes_max, learning.seed)
    async for identity, batch in _batches(kafka, topic, cipher, plan, model):
        sample.add(f"{identity.range}/{identity.batch}", batch)
    return sample.table()


async def collect_pair(
    kafka: Kafka, topic: str, cipher: DataCipher, plan: Plan, model: ModelProgress, *, rows_max: int, events_max: int,
    bytes_max: int,
) -> tuple[pa.Table, pa.Table]:  # fmt: skip
    """As ``collect``, of entities and their events: at most so many of each, and all events of an entity or none of both."""
    learning = plan.table(model.table).learning
    assert learning is not None
    assert learning.events is not None
    sample = PairSample(
        learning.key, learning.events.foreign_key,
        entities_max=rows_max, events_max=events_max, bytes_max=bytes_max, seed=learning.seed,
    )  # fmt: skip
    first = len(learning.source.ranges)
    async for identity, batch in _batches(kafka, topic, cipher, plan, model):
        sample.add((identity.range, identity.batch), batch, events=identity.range >= first)
    return sample.tables()


async def _batches(
    kafka: Kafka, topic: str, cipher: DataCipher, plan: Plan, model: ModelProgress
) -> AsyncIterator[tuple[BatchId, pa.RecordBatch]]:
    """Every batch of the model's sample, once."""
    missing = Missing(model.batches)
    partition = TopicPartition(topic, model.table % plan.partitions)
    consumer = kafka.consumer(group=None)
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        patience = Deadline.after(SILENT_S)
        while missing:
            if patience.expired:
                raise TransientError("trainer.sample", f"rows of {model.name} that were read do not come from {topic}")
            for message in (await consumer.getmany(partition, timeout_ms=500)).get(partition, ()):
                head = head_of(message.headers)
                identity = head.id
                if (identity.attempt, identity.table) != (plan.attempt, model.table) or not missing.take(identity):
                    continue
                data = cipher.open(message.value, associated_data(message.headers))
                yield identity, await asyncio.to_thread(ipc.decode, data)
                patience = Deadline.after(SILENT_S)
    finally:
        await consumer.stop()
