"""Publishing control messages: durable when the call returns, keyed by run, correlated by run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka.errors import ProducerClosed
from faststream.kafka import KafkaBroker
from pydantic import BaseModel

from tailrace_shared import topics
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.errors import TailraceError, TerminalError
from tailrace_shared.formats import CONTROL_FORMAT, HEADER
from tailrace_shared.kafka import Admin, Kafka, KafkaSettings, map_error
from tailrace_shared.kafka.errors import FOREIGN
from tailrace_shared.messages import Fact, RunRecord, Task

_FACT_PARTITIONS = 12
"""More than the writers and readers of most installations; a run's facts stay in one partition."""
_HEADERS = {"content-type": "application/json", HEADER: str(CONTROL_FORMAT)}
_SAY_S = 5.0
"""A broker that is away is worth a line in the log now and then, not one per message and attempt."""

log = structlog.get_logger(__name__)


class Control:
    """Publishes facts, tasks and run records. Every message may arrive twice: receivers are idempotent.

    A broker that is away is waited for without end, and said in the log. What waiting cannot help is raised: TerminalError
    (``kafka.forbidden``, ``kafka.message-too-large`` and others), or TransientError (``kafka.producer-lost``) when the broker
    refuses the producer's sequence or epoch. No later message of this producer would pass, and FastStream cannot replace it alone:
    ``lost`` is told first, and a service then ends, to be started again.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        namespace: str,
        settings: KafkaSettings,
        *,
        lost: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._broker = broker
        self._namespace = namespace
        self._settings = settings
        self._lost = lost
        self._said = -_SAY_S
        """When the log had a line last, monotonic."""

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
                await self._broker.publish(body, topic, key=run.encode(), correlation_id=run, headers=_HEADERS)
                return
            except FOREIGN as error:
                mapped = map_error(error, self._settings, f"publishing to {topic}")
                if isinstance(mapped, TerminalError):
                    raise mapped from error
                if mapped.code == "kafka.producer-lost":
                    if not isinstance(error, ProducerClosed):  # by ourselves: the service is stopping
                        self._lost(mapped)
                    raise mapped from error
                failures += 1
                self._say(mapped, topic, failures)
                await asyncio.sleep(FOREVER.delay(failures) or 0)

    def _say(self, error: TailraceError, topic: str, failures: int) -> None:
        now = time.monotonic()
        if now - self._said >= _SAY_S:
            self._said = now
            log.warning("control.waiting", topic=topic, failures=failures, code=error.code, message=error.message)


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
        yield Control(broker, namespace, kafka.settings)
    finally:
        await broker.stop()
