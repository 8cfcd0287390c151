"""Models of a run by digest: published once on its topic ``models``, fetched by whoever draws from one or keeps it."""

from __future__ import annotations

import asyncio
import hashlib

from aiokafka import TopicPartition

from tailrace_shared import topics
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TransientError
from tailrace_shared.kafka import Kafka
from tailrace_shared.synthesis import Artefact, SequenceArtefact, load_model

FETCH_S = 20.0


class Models:
    """Content-addressed: what does not hash to its name is not looked at."""

    def __init__(self, kafka: Kafka, namespace: str) -> None:
        self._kafka = kafka
        self._namespace = namespace

    async def fetch(self, run: str, digest: str) -> Artefact | SequenceArtefact:
        """The model of that digest. Raises TransientError while it is not there, TerminalError for one of another format."""
        return await asyncio.to_thread(load_model, await self.document(run, digest))

    async def document(self, run: str, digest: str) -> bytes:
        """Its byte string. Raises TransientError while it is not there."""
        partition = TopicPartition(topics.of_run(self._namespace, run, "models"), 0)
        consumer = self._kafka.consumer(group=None)
        await consumer.start()
        try:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            deadline = Deadline.after(FETCH_S)
            while not deadline.expired:
                for message in (await consumer.getmany(partition, timeout_ms=200)).get(partition, ()):
                    if message.value and hashlib.sha256(message.value).hexdigest() == digest:
                        return bytes(message.value)
        finally:
            await consumer.stop()
        raise TransientError("model.absent", f"the model {digest[:12]} of run {run} is not on its topic yet")
