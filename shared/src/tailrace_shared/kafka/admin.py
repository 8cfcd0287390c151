"""Topics, offsets and groups as the leader and the janitor need them.

aiokafka returns errors of most administrative requests instead of raising them: every code is checked here. Nothing here
alters a topic's configuration, since its ``alter_configs`` resets every setting that it is not given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.protocol.commit import OffsetFetchRequest

from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.errors import TransientError
from tailrace_shared.kafka.errors import translated
from tailrace_shared.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from tailrace_shared.kafka.clients import Kafka

MAX_REPLICATION = 3
TOPIC_EXISTS = 36
TOPIC_UNKNOWN = 3
PATIENCE = RetrySchedule(first_s=0.1, factor=2, limit_s=2, attempts=8)
"""About 8 s: an election, the first use of a group, a topic that the brokers do not all know yet."""

Place = tuple[str, int]
"""Topic and partition."""
Result = TypeVar("Result")


class Admin:
    """Administration of one cluster. All calls may be repeated and are, when a broker is not ready.

    Raises TransientError when that does not help, TerminalError when Kafka refuses.
    """

    def __init__(self, settings: KafkaSettings, options: Mapping[str, Any], kafka: Kafka) -> None:
        self._settings = settings
        self._kafka = kafka
        self._client = AIOKafkaAdminClient(**options)
        self._reader: AIOKafkaConsumer | None = None
        self._reader_lock = asyncio.Lock()
        self._coordinators: dict[str, int] = {}

    async def start(self) -> None:
        """Connect. Raises TransientError (``kafka.unreachable``) at once when no broker answers."""
        try:
            with translated(self._settings, "connecting"):
                await self._client.start()
        except BaseException:
            await self._client.close()
            raise

    async def stop(self) -> None:
        """Close the connections."""
        if self._reader is not None:
            await self._reader.stop()
        await self._client.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.stop()

    # --- topics ------------------------------------------------------------------------------------------------------

    async def create_topics(self, topics: Mapping[str, tuple[int, Mapping[str, str]]]) -> None:
        """Create topics: name → (partitions, settings). One that exists is left as it is.

        Replication is min(3, brokers); above one, ``min.insync.replicas`` is 2, so that an acknowledged record survives the
        loss of any one broker.
        """

        async def create() -> None:
            replication, durable = durability(len((await self._client.describe_cluster())["brokers"]))
            response = await self._client.create_topics(
                [NewTopic(name, parts, replication, topic_configs=durable | dict(given)) for name, (parts, given) in topics.items()]
            )  # fmt: skip
            for _, code, *_ in response.topic_errors:
                _check(code, TOPIC_EXISTS)

        if topics:
            await self._persist(f"creating {_names(topics)}", create)

    async def delete_topics(self, names: Iterable[str]) -> None:
        """Delete topics; one that is not there is fine. Their consumers must have left before."""
        wanted = sorted(names)

        async def delete() -> None:
            response = await self._client.delete_topics(wanted)
            for _, code, *_ in response.topic_error_codes:
                _check(code, TOPIC_UNKNOWN)

        if wanted:
            await self._persist(f"deleting {_names(wanted)}", delete)

    async def topics(self) -> set[str]:
        """Names of all topics that this service may see."""
        return set(await self._persist("listing topics", self._client.list_topics))

    async def partitions(self, topic: str) -> int:
        """Number of partitions. Raises TransientError (``kafka.topic-missing``) if the topic is not there."""
        return len(await self._places([topic]))

    # --- offsets -----------------------------------------------------------------------------------------------------

    async def committed(self, group: str) -> dict[Place, int]:
        """What a group has committed, next offset to read; partitions without a commit are absent."""

        async def fetch() -> dict[Place, int]:
            try:
                response = await self._client._send_request(
                    OffsetFetchRequest(group, None), await self._coordinator(group)
                )
                _check(
                    response.error_code
                )  # the public call ignores it: a loading coordinator looks like an empty group
                for _, partitions in response.topics:
                    for _, _, _, code in partitions:
                        _check(code)
            except kafka.KafkaError:
                self._coordinators.pop(group, None)
                raise
            return {
                (topic, partition): offset
                for topic, partitions in response.topics
                for partition, offset, _, _ in partitions
                if offset >= 0
            }

        return await self._persist(f"reading the offsets of group {group}", fetch)

    async def begin_offsets(self, topics: Iterable[str]) -> dict[Place, int]:
        """First offset that is still stored, per partition."""
        return await self._offsets(topics, "beginning_offsets")

    async def end_offsets(self, topics: Iterable[str]) -> dict[Place, int]:
        """Offset of the next record, per partition."""
        return await self._offsets(topics, "end_offsets")

    async def delete_records(self, before: Mapping[Place, int]) -> None:
        """Delete everything below an offset per partition. Disk is freed segment by segment, by the broker's next pass.

        An offset that is deleted already is fine; one beyond the end is refused.
        """
        if before:
            wanted = {TopicPartition(*place): RecordsToDelete(offset) for place, offset in before.items()}
            topics = _names({topic for topic, _ in before})
            await self._persist(f"deleting records of {topics}", lambda: self._client.delete_records(wanted))

    # --- groups ------------------------------------------------------------------------------------------------------

    async def group_members(self, group: str) -> int:
        """How many members a group has now; 0 for one that does not exist."""

        async def describe() -> int:
            try:
                coordinator = await self._coordinator(group)
                (response,) = await self._client.describe_consumer_groups([group], group_coordinator_id=coordinator)
                (found,) = response.groups
                _check(found[0])
            except kafka.KafkaError:
                self._coordinators.pop(group, None)
                raise
            return len(found[5])

        return await self._persist(f"describing group {group}", describe)

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _coordinator(self, group: str) -> int:
        if group not in self._coordinators:
            self._coordinators[group] = await self._client.find_coordinator(group)
        return self._coordinators[group]

    async def _places(self, topics: Iterable[str]) -> list[TopicPartition]:
        wanted = sorted(set(topics))

        async def describe() -> list[TopicPartition]:
            places = []
            for found in await self._client.describe_topics(wanted):
                _check(found["error_code"])
                places += [TopicPartition(found["topic"], part["partition"]) for part in found["partitions"]]
            return places

        return await self._persist(f"looking up {_names(wanted)}", describe) if wanted else []

    async def _offsets(self, topics: Iterable[str], method: str) -> dict[Place, int]:
        places = await self._places(topics)
        if not places:
            return {}
        async with self._reader_lock:
            if (
                self._reader is None
            ):  # without group and assignment: one that fetches would make this wait half a second
                reader = self._kafka.consumer(group=None)
                try:
                    with translated(self._settings, "connecting"):
                        await reader.start()
                except BaseException:
                    await reader.stop()
                    raise
                self._reader = reader
        found = await self._persist("looking up offsets", lambda: getattr(self._reader, method)(places))
        return {(place.topic, place.partition): offset for place, offset in found.items()}

    async def _persist(self, doing: str, call: Callable[[], Awaitable[Result]]) -> Result:
        failures = 0
        while True:
            try:
                with translated(self._settings, doing):
                    return await call()
            except TransientError:
                failures += 1
                delay = PATIENCE.delay(failures, doing)
                if delay is None:
                    raise
                await asyncio.sleep(delay)


def durability(brokers: int) -> tuple[int, dict[str, str]]:
    """Replication, and the settings that go with it, of topics on so many brokers."""
    replication = max(1, min(MAX_REPLICATION, brokers))
    return replication, {"min.insync.replicas": "2"} if replication > 1 else {}


def _check(code: int, *fine: int) -> None:
    if code and code not in fine:
        raise kafka.for_code(code)()


def _names(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
