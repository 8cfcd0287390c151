"""Brings the records of one topic to a handler, bounded in bytes, and commits only what is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka import errors as kafka_errors

from tailrace_shared.dataplane.frontier import Frontier
from tailrace_shared.dataplane.retry import FOREVER, RetrySchedule
from tailrace_shared.dataplane.window import ByteWindow
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.kafka import Kafka, map_error, translated
from tailrace_shared.kafka.errors import FOREIGN

POLL_MS = 1000
"""A poll waits that long when there is nothing; a record ends the wait."""
TICK_S = 0.5
"""``last_poll`` moves at least that often while the event loop turns."""
COMMIT_S = 0.25
"""Commits are gathered: one request per 0.25 s costs nothing, one per batch would."""
REVOKE_GRACE_S = 2.0
"""What runs when partitions are revoked may finish and be committed. Well below the rebalance timeout (the session's)."""
JOIN_S = 60.0
"""To join the group for the first time: a rebalance of slow members is in it."""
LEAVE_S = 3.0
"""To leave the group, out of a stop's deadline."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One record. At least once: the same record comes again after a rebalance, a crash or a failed commit."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    size: int
    """Bytes that count in the window: key, value and headers."""


Handle: TypeAlias = Callable[[Delivery], Awaitable[None]]
OnFailure: TypeAlias = Callable[[BaseException, Delivery | None], Awaitable[bool | None]]


class Pump:
    """One member of a consumer group on one topic.

    ``handle`` gets a delivery; when it returns, the delivery's effect must be in place. Up to ``parallel`` run at once, in
    no order among each other; 1 keeps a partition's order. A TransientError is tried again in place by ``retry``. When its
    attempts are spent, or for any other error, ``on_failure(error, delivery)`` decides: True counts the delivery as done;
    otherwise it stays uncommitted, ``failed`` is set and nothing more is polled: the owner is expected to stop the pump.
    ``on_failure`` is called with None for a failure of the topic itself (a forbidden group, records that are gone), and is
    called again while it raises TransientError: a failure has to be told.

    The pump never waits for the handlers to poll the group: heartbeats go on while the window is full for hours, and
    ``last_poll`` moves as long as the event loop turns.
    """

    def __init__(
        self, kafka: Kafka, topic: str, group: str, handle: Handle, *, window_bytes: int, parallel: int = 1,
        retry: RetrySchedule | None = None, on_failure: OnFailure, message_bytes: int = 8 << 20, name: str = "",
    ) -> None:  # fmt: skip
        if parallel < 1:
            raise ValueError("a pump runs at least one handler")
        self._kafka, self._topic, self._group, self._handle = kafka, topic, group, handle
        self._parallel, self._on_failure, self._message_bytes = parallel, on_failure, message_bytes
        self._retry = retry or RetrySchedule()
        self._window = ByteWindow(window_bytes)
        self._frontier = Frontier()
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._consumer: Any = None
        self._begun: set[TopicPartition] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._wake, self._dirty, self._stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._committing = asyncio.Lock()
        self._log = log.bind(pump=name or topic, topic=topic, group=group)
        self.last_poll = time.monotonic()
        """When the loop turned last, monotonic."""
        self.failed: BaseException | None = None
        """Why nothing is polled any more, or None."""
        self.retries = 0
        """Attempts that failed as transient, since the start."""

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of the deliveries that are with the handler."""
        return self._window.used

    @property
    def in_flight(self) -> int:
        """Deliveries that are with the handler."""
        return len(self._running)

    async def start(self) -> None:
        """Join the group. Raises TransientError (unreachable, topic missing) or TerminalError (forbidden)."""
        await self._join()
        self.last_poll = time.monotonic()
        self._tasks = [
            asyncio.create_task(self._turn(), name=f"pump-{self._topic}"),
            asyncio.create_task(self._commit_regularly(), name=f"pump-commit-{self._topic}"),
        ]

    async def stop(self, deadline: Deadline) -> None:
        """Poll nothing more, let the handlers finish until the deadline, commit what is done, leave the group."""
        self._stopping.set()
        self._wake.set()
        work = Deadline.after(max(0.0, deadline.remaining() - LEAVE_S))
        if self._running:
            await asyncio.wait(self._running.values(), timeout=work.remaining())
        for task in (*self._tasks, *self._running.values()):
            task.cancel()
        if waiting := {*self._tasks, *self._running.values()}:
            await asyncio.wait(waiting, timeout=LEAVE_S)
        if self._consumer is not None:
            leave = Deadline.after(max(LEAVE_S, deadline.remaining()))
            with suppress(TimeoutError):
                async with asyncio.timeout(leave.remaining() / 2):
                    await self._commit()
            await self._kafka.release(self._consumer, leave)
            self._consumer = None

    # --- polling -----------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        poll: asyncio.Task[None] | None = None
        try:
            while not self._stopping.is_set():
                self.last_poll = time.monotonic()
                if poll is not None and poll.done():
                    poll.result()
                    poll = None
                if poll is None and self._has_room():
                    poll = asyncio.create_task(self._poll())
                    poll.add_done_callback(lambda _: self._wake.set())
                await _wait(self._wake, TICK_S)
                self._wake.clear()
        except Exception as error:  # a defect: last_poll stands still from here on, and the service is restarted
            self.failed = error
            self._log.error("the pump has failed", kind=type(error).__name__)
        finally:
            if poll is not None:
                poll.cancel()
                await asyncio.wait({poll})

    def _has_room(self) -> bool:
        return (
            self.failed is None
            and not self._stopping.is_set()
            and len(self._running) < self._parallel
            and self._window.room > 0
        )

    async def _poll(self) -> None:
        while self._has_room():
            try:
                if not await self._take():
                    return
            except FOREIGN as error:
                await self._recover(error)

    async def _take(self) -> bool:
        try:
            # One record: its size is known only when it is here, and the window may be exceeded by one.
            polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=1)
        except kafka_errors.NoOffsetForPartitionError:
            await self._begin()
            return True
        except kafka_errors.OffsetOutOfRangeError as error:
            await self._mend(error)
            return True
        for records in polled.values():  # no await since the consumer gave them: no rebalance in between
            for record in records:
                self._accept(record)
        return bool(polled)

    def _accept(self, record: Any) -> None:
        self._frontier.add(record.partition, record.offset)
        place = (record.partition, record.offset)
        if place in self._running:  # delivered again after a rebalance: the handler that still runs does it
            return
        value = record.value or b""
        size = len(value) + len(record.key or b"") + sum(len(name) + len(text) for name, text in record.headers)
        delivery = Delivery(
            record.topic, record.partition, record.offset, record.key, value, tuple(record.headers), size
        )
        self._window.add(size)
        self._running[place] = asyncio.create_task(self._work(place, delivery))

    # --- handling ----------------------------------------------------------------------------------------------------

    async def _work(self, place: tuple[int, int], delivery: Delivery) -> None:
        try:
            if await self._handled(delivery):
                self._frontier.done(*place)
                self._dirty.set()
        finally:
            del self._running[place]
            self._window.remove(delivery.size)
            self._wake.set()

    async def _handled(self, delivery: Delivery) -> bool:
        failures = 0
        while True:
            try:
                await self._handle(delivery)
                return True
            except TransientError as error:
                failures += 1
                self.retries += 1
                delay = self._retry.delay(failures, f"{self._group}/{delivery.partition}/{delivery.offset}")
                if delay is None:
                    return await self._told(error, delivery)
                self._log.info(
                    "tried again", partition=delivery.partition, offset=delivery.offset, code=error.code, delay_s=delay
                )
            except Exception as error:
                return await self._told(error, delivery)
            if await _wait(self._stopping, delay):
                return False

    async def _told(self, error: BaseException, delivery: Delivery | None) -> bool:
        failures = 0
        while True:
            try:
                if await self._on_failure(error, delivery):
                    return True
                self.failed = self.failed or error
                return False
            except TransientError:
                failures += 1
            except Exception as unexpected:
                self.failed = unexpected
                self._log.error("a failure could not be told", kind=type(unexpected).__name__)
                return False
            if await _wait(self._stopping, FOREVER.delay(failures) or 0):
                return False

    # --- the group ---------------------------------------------------------------------------------------------------

    async def _join(self) -> None:
        consumer = self._kafka.consumer(group=self._group, message_bytes=self._message_bytes, auto_offset_reset="none")
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

    async def _recover(self, error: BaseException) -> None:
        """The consumer cannot go on: tell what is terminal, else replace it until it works."""
        failures = 0
        while not self._stopping.is_set():
            mapped = map_error(error, self._kafka.settings, f"reading {self._topic} as {self._group}")
            if isinstance(mapped, TerminalError) and not await self._told(mapped, None):
                return
            failures += 1
            self._log.warning("the consumer is replaced", code=mapped.code, failures=failures)
            if await _wait(self._stopping, FOREVER.delay(failures, self._group) or 0):
                return
            try:
                if self._consumer is not None:
                    await self._kafka.release(self._consumer, Deadline.after(LEAVE_S))
                self._revoked()
                await self._join()
                return
            except Exception as again:
                error = again

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

    async def _mend(self, error: kafka_errors.OffsetOutOfRangeError) -> None:
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
                    self._frontier.revoke([place.partition])
                    consumer.seek(place, committed)
                    continue
                gone = TerminalError(
                    "kafka.records-missing",
                    f"{self._topic}, partition {place.partition}: {self._group} has read up to {committed or position}, "
                    f"Kafka holds {first} to {last}: records are gone",
                    "Let nothing but Tailrace delete records of its topics; start the run again.",
                )
                if not await self._told(gone, None):
                    return
                consumer.seek(place, first)

    def _assigned(self, partitions: Iterable[TopicPartition]) -> None:
        self._revoked()
        self._log.debug("partitions assigned", partitions=sorted(place.partition for place in partitions))
        self._wake.set()

    def _revoked(self) -> None:
        self._frontier.revoke_all()
        self._begun.clear()

    async def _surrender(self) -> None:
        """Partitions are about to be revoked (all of them: rebalancing is eager)."""
        deadline = Deadline.after(REVOKE_GRACE_S)
        if self._running:
            await asyncio.wait(self._running.values(), timeout=deadline.remaining())
        with suppress(TimeoutError):
            async with asyncio.timeout(REVOKE_GRACE_S / 2):
                await self._commit()
        self._revoked()

    # --- commits -----------------------------------------------------------------------------------------------------

    async def _commit_regularly(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._commit()
            await asyncio.sleep(COMMIT_S)

    async def _commit(self) -> None:
        async with self._committing:  # an older commit must not land after a newer one
            commits = self._frontier.commits()
            if not commits or self._consumer is None:
                return
            try:
                await self._consumer.commit({TopicPartition(self._topic, p): offset for p, offset in commits.items()})
            except FOREIGN as error:  # after a rebalance: the frontier is forgotten and there is nothing to try again
                self._log.info("commit refused", kind=type(error).__name__)
                self._dirty.set()
            else:
                self._frontier.confirm(commits)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, pump: Pump) -> None:
        self._pump = pump

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._pump._surrender()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._pump._assigned(assigned)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """True when the event is set within the time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
