"""Plans by digest: published once on the run's ``plan`` topic, fetched by every replica that joins."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from aiokafka import TopicPartition
from pydantic import BaseModel, ConfigDict, ValidationError

from tailrace_shared import topics
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.kafka import Kafka
from tailrace_shared.plan.model import PLAN_VERSION, Plan

_KEPT = 16
_FETCH_S = 20.0


class _Version(BaseModel):
    """What of a plan can be read whatever else is in it."""

    model_config = ConfigDict(extra="ignore")
    version: int


def read_plan(run: str, data: bytes) -> Plan:
    """The plan of these bytes. Raises TerminalError (``plan.version``) for one of another release, whatever it has."""
    text = Plan.text_of(data)
    remedy = "Run the same version of all services; what is refused now goes on when this replica is of that version."
    try:
        spoken = _Version.model_validate_json(text).version
        if spoken == PLAN_VERSION:
            return Plan.model_validate_json(text)
    except ValidationError:  # never its text: it may repeat what it has read
        raise TerminalError(
            "plan.version", f"run {run} was planned by a release that this replica does not understand", remedy
        ) from None
    raise TerminalError(
        "plan.version", f"run {run} was planned in plan format {spoken}, this replica speaks {PLAN_VERSION}", remedy
    )


class Plans:
    """Fetches and keeps plans. Content-addressed: what does not hash to its name is not looked at."""

    def __init__(self, kafka: Kafka, namespace: str) -> None:
        self._kafka = kafka
        self._namespace = namespace
        self._known: OrderedDict[str, Plan] = OrderedDict()

    async def fetch(self, run: str, digest: str) -> Plan:
        """The plan of that digest. Raises TransientError when it is not there yet, TerminalError for another format."""
        if digest in self._known:
            self._known.move_to_end(digest)
            return self._known[digest]
        data = await self.document(run, digest)
        plan = await asyncio.to_thread(read_plan, run, data)
        self._known[digest] = plan
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return plan

    async def document(self, run: str, digest: str) -> bytes:
        """Any document of the topic, by its digest. Raises TransientError when it is not there yet."""
        partition = TopicPartition(topics.of_run(self._namespace, run, "plan"), 0)
        consumer = self._kafka.consumer(group=None)
        await consumer.start()
        try:
            if partition.topic not in await consumer.topics():  # seeking in a topic that is gone would spin, not fail
                raise _absent(run)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            deadline = Deadline.after(_FETCH_S)
            while not deadline.expired:
                for message in (await consumer.getmany(partition, timeout_ms=200)).get(partition, ()):
                    if Plan.digest_of(message.value) == digest:
                        return bytes(message.value)
        finally:
            await consumer.stop()
        raise _absent(run)


def _absent(run: str) -> TransientError:
    return TransientError("plan.absent", f"the plan of run {run} is not on its topic yet", "It is tried again.")
