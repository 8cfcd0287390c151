"""A member of a consumer group that heals itself: it joins, finds its positions, commits, and is replaced when it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka import errors as kafka_errors

from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.dataplane.waits import set_within
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError, TerminalError
from tailrace_shared.kafka import Kafka, map_error, translated
from tailrace_shared.kafka.errors import FOREIGN

POLL_MS = 1000
"""A poll waits that long when there is nothing; a record ends the wait."""
JOIN_S = 60.0
"""To join the group: a rebalance of slow members is in it."""
LEAVE_S = 3.0
"""To leave the group when its coordinator does not answer."""

log = structlog.get_logger(__name__)


class Member:
    """One member of a group on one topic.

    * ``surrender()`` is awaited before partitions are revoked (all of them: rebalancing is eager), ``forget()`` is called
      when whatever was delivered no longer counts: after a rebalance, or when the consumer was replaced.
    * ``forget_partition(partition)``: its position moves back to the commit.
    * ``told(error)`` hears what trying again cannot help; False ends ``take``.

    Positions: the commit; the beginning where the group has none. A commit that Kafka does not hold any more is terminal
    (``kafka.records-missing``): records are gone, and jumping over them would lose them silently.
    """

    def __init__(
        self, kafka: Kafka, topic: str, group: str, *, surrender: Callable[[], Awaitable[None]],
        forget: Callable[[], None], forget_partition: Callable[[int], None], told: Callable[[BaseException], Awaitable[bool]],
        stopping: asyncio.Event,
    ) -> None:  # fmt: skip
        self._kafka, self._topic, self._group = kafka, topic, group
        self._surrender, self._forget, self._forget_partition, self._told = surrender, forget, forget_partition, told
        self._stopping = stopping
        self._consumer: Any = None
        self._begun: set[TopicPartition] = set()
        self._committing = asyncio.Lock()
        self._log = log.bind(topic=topic, group=group)

    async def join(self) -> None:
        """Join. Raises TransientError (unreachable, topic missing) or TerminalError (forbidden)."""
        consumer = self._kafka.consumer(group=self._group, auto_offset_reset="none")
        try:
            consumer.subscribe([self._topic], listener=_Listener(self))
            with translated(self._kafka.settings, f"joining group {self._group} on {self._topic}"):
                async with asyncio.timeout(JOIN_S):
                    self._consumer = consumer
                    await consumer.start()
        except BaseException:
            self._consumer = None
            await self._kafka.release(consumer, Deadline.after(LEAVE_S))
            raise

    async def leave(self, deadline: Deadline) -> None:
        """Leave the group, or just close the connections when that takes longer."""
        if self._consumer is not None:
            await self._kafka.release(self._consumer, deadline)
            self._consumer = None

    async def take(self, accept: Callable[[Any], None]) -> bool:
        """Wait for one record and hand it over. False when there was none, or when the member cannot go on.

        ``accept`` runs before anything else can: no rebalance comes between the consumer's giving and its return.
        """
        try:
            # One: its size is known only when it is here, and the window may be exceeded by one.
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=1)
            for records in polled.values():
                for record in records:
                    accept(record)
            return bool(polled)
        except FOREIGN as error:
            try:
                if isinstance(error, kafka_errors.NoOffsetForPartitionError):
                    await self._begin()
                    return True
                if isinstance(error, kafka_errors.OffsetOutOfRangeError):
                    return await self._mend(error)
            except FOREIGN as another:
                return await self._recover(another)
            return await self._recover(error)

    async def commit(self, offsets: Callable[[], Mapping[int, int]]) -> Mapping[int, int] | None:
        """Commit what ``offsets`` says when it is this commit's turn; what was stored, or None when Kafka refused it."""
        async with self._committing:  # an older commit must not land after a newer one
            commits = offsets()
            if not commits or self._consumer is None:
                return {}
            try:
                await self._consumer.commit({TopicPartition(self._topic, p): offset for p, offset in commits.items()})
            except FOREIGN as error:  # most likely a rebalance: what is delivered no longer counts
                self._log.info("commit refused", kind=type(error).__name__)
                return None
            return commits

    # --- positions ---------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Partitions of which the group has no commit start at their beginning."""
        consumer = self._consumer
        fresh = sorted(consumer.assignment() - self._begun)
        self._begun.update(fresh)
        with suppress(kafka_errors.IllegalStateError):  # revoked meanwhile: the next owner comes here
            committed = await asyncio.gather(*(consumer.committed(place) for place in fresh))
            unread = [place for place, offset in zip(fresh, committed, strict=True) if offset is None]
            if unread and self._begun.issuperset(unread):  # else a rebalance came in between, with positions of its own
                await consumer.seek_to_beginning(*unread)

    async def _mend(self, error: kafka_errors.OffsetOutOfRangeError) -> bool:
        """A position that Kafka does not have: stale if the commit is in range, else records are gone."""
        consumer = self._consumer
        for place, position in error.args[0].items():
            with suppress(kafka_errors.IllegalStateError):
                committed = await consumer.committed(place)
                first = (await consumer.beginning_offsets([place]))[place]
                last = (await consumer.end_offsets([place]))[place]
                if place not in consumer.assignment():
                    continue
                if committed is not None and first <= committed <= last:
                    self._log.warning(
                        "back to the commit", partition=place.partition, position=position, commit=committed
                    )
                    self._forget_partition(place.partition)
                    consumer.seek(place, committed)
                    continue
                gone = TerminalError(
                    "kafka.records-missing",
                    f"{self._topic}, partition {place.partition}: {self._group} has read up to {committed or position}, "
                    f"Kafka holds {first} to {last}: records are gone",
                    "Let nothing but Tailrace delete records of its topics; start the run again.",
                )
                if not await self._told(gone):
                    return False
                consumer.seek(place, first)
        return True

    async def _recover(self, error: BaseException) -> bool:
        """The consumer cannot go on: tell what is terminal, else replace it until it works."""
        failures = 0
        while not self._stopping.is_set():
            mapped = map_error(error, self._kafka.settings, f"reading {self._topic} as {self._group}")
            if isinstance(mapped, TerminalError) and not await self._told(mapped):
                return False
            failures += 1
            self._log.warning("the consumer is replaced", code=mapped.code, failures=failures)
            if await set_within(self._stopping, FOREVER.delay(failures, self._group) or 0):
                return False
            try:
                await self.leave(Deadline.after(LEAVE_S))
                self.reset()
                await self.join()
                return True
            except TailraceError as again:
                error = again
        return False

    def reset(self) -> None:
        """Nothing delivered so far counts any more."""
        self._forget()
        self._begun.clear()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, member: Member) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._member._surrender()
        self._member.reset()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._member.reset()
        self._member._log.debug("partitions assigned", partitions=sorted(place.partition for place in assigned))
