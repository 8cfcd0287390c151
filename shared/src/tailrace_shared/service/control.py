"""Publishing control messages: durable when the call returns, keyed by run, correlated by run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker
from pydantic import BaseModel

from tailrace_shared import topics
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.errors import TerminalError
from tailrace_shared.kafka import Admin, Kafka
from tailrace_shared.messages import Fact, RunRecord, Task

_FACT_PARTITIONS = 12
"""More than the writers and readers of most installations; a run's facts stay in one partition."""


class Control:
    """Publishes facts, tasks and run records. Every message may arrive twice: receivers are idempotent."""

    def __init__(self, broker: KafkaBroker, namespace: str) -> None:
        self._broker = broker
        self._namespace = namespace

    async def fact(self, fact: Fact) -> None:
        """Tell the deciders what happened."""
        await self._publish(fact, topics.facts(self._namespace), fact.run)

    async def task(self, task: Task) -> None:
        """Ask a reader or trainer for something."""
        await self._publish(task, topics.tasks(self._namespace), task.run)

    async def record(self, record: RunRecord) -> None:
        """Publish the copy of a run's row."""
        await self._publish(record, topics.jobs(self._namespace), record.run)

    async def _publish(self, message: BaseModel, topic: str, run: str) -> None:
        body = message.model_dump_json().encode()
        if len(body) > topics.CONTROL_MESSAGE_BYTES - 4096:
            raise TerminalError(
                "control.too-large",
                f"a message of {len(body):,} bytes for topic {topic} is above its limit of {topics.CONTROL_MESSAGE_BYTES:,}",
                "Carry fewer schemas or tables per job.",
            )
        failures = 0
        while True:
            try:
                await self._broker.publish(
                    body, topic, key=run.encode(), correlation_id=run, headers={"content-type": "application/json"}
                )
                return
            except KafkaError:
                failures += 1
                await asyncio.sleep(FOREVER.delay(failures) or 0)


def control_broker(kafka: Kafka, **options: Any) -> KafkaBroker:
    """The FastStream broker of the control plane, with the settings that keep its promises."""
    return KafkaBroker(**kafka.faststream_options(), max_request_size=topics.CONTROL_MESSAGE_BYTES, **options)


async def ensure_control_topics(admin: Admin, namespace: str) -> None:
    """Make the control topics where they are missing."""
    await admin.create_topics(
        {
            topics.jobs(namespace): (1, topics.control_settings("jobs")),
            topics.facts(namespace): (_FACT_PARTITIONS, topics.control_settings("facts")),
            topics.tasks(namespace): (_FACT_PARTITIONS, topics.control_settings("tasks")),
        }
    )


@asynccontextmanager
async def control_session(kafka: Kafka, namespace: str) -> AsyncIterator[Control]:
    """A Control for a command that is no service: makes the topics, connects, and disconnects at the end."""
    async with kafka.admin() as admin:
        await ensure_control_topics(admin, namespace)
    broker = control_broker(kafka, logger=None)
    await broker.start()
    try:
        yield Control(broker, namespace)
    finally:
        await broker.stop()
