"""Brings the records of one topic to a handler, bounded in bytes, and commits only what is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import structlog

from tailrace_shared.dataplane.frontier import Frontier
from tailrace_shared.dataplane.member import LEAVE_S, Member
from tailrace_shared.dataplane.retry import FOREVER, RetrySchedule
from tailrace_shared.dataplane.waits import set_within
from tailrace_shared.dataplane.window import ByteWindow
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TransientError
from tailrace_shared.kafka import Kafka

TICK_S = 0.5
"""``last_poll`` moves at least that often while the event loop turns."""
COMMIT_S = 0.25
"""Commits are gathered: one request per 0.25 s costs nothing, one per batch would."""
REVOKE_GRACE_S = 2.0
"""What runs when partitions are revoked may finish and be committed. Well below the rebalance timeout (the session's)."""

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
    """Bytes of key, value and headers."""


Handle: TypeAlias = Callable[[Delivery], Awaitable[None]]
Weigh: TypeAlias = Callable[[tuple[tuple[str, bytes], ...]], int]
"""Bytes that a delivery takes once it is unpacked, by its headers; it counts in the window when it is more than the record."""
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
    ``last_poll`` moves as long as the event loop turns. Once ``failed`` is set it stands still: the failure is told, and a
    pump that nobody stops then is not alive.
    """

    def __init__(
        self, kafka: Kafka, topic: str, group: str, handle: Handle, *, window_bytes: int, parallel: int = 1,
        retry: RetrySchedule | None = None, on_failure: OnFailure, name: str = "",
        weigh: Weigh | None = None,
    ) -> None:  # fmt: skip
        if parallel < 1:
            raise ValueError("a pump runs at least one handler")
        self._topic, self._group, self._handle = topic, group, handle
        self._parallel, self._on_failure, self._weigh = parallel, on_failure, weigh
        self._retry = retry or RetrySchedule()
        self._window = ByteWindow(window_bytes)
        self._frontier = Frontier()
        self._running: dict[tuple[int, int], asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._wake, self._dirty, self._stopping = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._member = Member(
            kafka, topic, group, surrender=self._surrender, forget=self._frontier.revoke_all,
            forget_partition=lambda partition: self._frontier.revoke([partition]),
            told=lambda error: self._told(error, None), stopping=self._stopping,
        )  # fmt: skip
        self._log = log.bind(pump=name or topic, topic=topic, group=group)
        self.last_poll = time.monotonic()
        """When the loop turned last, monotonic; of a pump that has failed, when it did."""
        self.failed: BaseException | None = None
        """Why nothing is polled any more, or None."""
        self.retries = 0
        """Attempts that failed as transient, since the start."""

    @property
    def in_flight_bytes(self) -> int:
        """What the deliveries that are with the handler count in the window."""
        return self._window.used

    @property
    def in_flight(self) -> int:
        """Deliveries that are with the handler."""
        return len(self._running)

    async def start(self) -> None:
        """Join the group. Raises TransientError (unreachable, topic missing) or TerminalError (forbidden)."""
        await self._member.join()
        self.last_poll = time.monotonic()
        self._loop = asyncio.create_task(self._turn(), name=f"pump-{self._topic}")

    async def stop(self, deadline: Deadline) -> None:
        """Poll nothing more, let the handlers finish until the deadline, commit what is done, leave the group."""
        self._stopping.set()
        self._wake.set()
        work = deadline.within(max(deadline.remaining() / 2, deadline.remaining() - LEAVE_S))
        if self._running:
            await asyncio.wait(self._running.values(), timeout=work.remaining())
        tasks = set(self._running.values()) | ({self._loop} if self._loop is not None else set())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=LEAVE_S)
        leave = Deadline.after(max(LEAVE_S, deadline.remaining()))
        with suppress(TimeoutError):
            async with asyncio.timeout(leave.remaining() / 2):
                await self._commit()
        await self._member.leave(leave)

    # --- polling -----------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        poll: asyncio.Task[None] | None = None
        commits = asyncio.create_task(self._commit_regularly())
        try:
            while not self._stopping.is_set():
                if self.failed is None:
                    self.last_poll = time.monotonic()
                if poll is not None and poll.done():
                    poll.result()
                    poll = None
                if commits.done():
                    commits.result()
                if poll is None and self._has_room():
                    poll = asyncio.create_task(self._poll())
                    poll.add_done_callback(lambda _: self._wake.set())
                await set_within(self._wake, TICK_S)
                self._wake.clear()
        except Exception as error:  # a defect: last_poll stands still from here on, and the service is restarted
            self.failed = error
            self._log.error("the pump has failed", kind=type(error).__name__)
        finally:
            tasks = {commits} if poll is None else {commits, poll}
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _has_room(self) -> bool:
        return (
            self.failed is None
            and not self._stopping.is_set()
            and len(self._running) < self._parallel
            and self._window.room > 0
        )

    async def _poll(self) -> None:
        while self._has_room() and await self._member.take(self._accept):
            pass

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
        weight = size if self._weigh is None else max(size, self._weigh(delivery.headers))
        self._window.add(weight)
        self._running[place] = asyncio.create_task(self._work(place, delivery, weight))

    # --- handling ----------------------------------------------------------------------------------------------------

    async def _work(self, place: tuple[int, int], delivery: Delivery, weight: int) -> None:
        try:
            if await self._handled(delivery):
                self._frontier.done(*place)
                self._dirty.set()
        finally:
            del self._running[place]
            self._window.remove(weight)
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
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Something that the handler waited for was cancelled, not the handler: it must not vanish in silence.
                return await self._told(
                    TransientError("pump.cancelled", "a wait of the handler was cancelled"), delivery
                )
            except Exception as error:
                return await self._told(error, delivery)
            if await set_within(self._stopping, delay):
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
            if await set_within(self._stopping, FOREVER.delay(failures) or 0):
                return False

    # --- commits -----------------------------------------------------------------------------------------------------

    async def _surrender(self) -> None:
        deadline = Deadline.after(REVOKE_GRACE_S)
        if self._running:
            await asyncio.wait(self._running.values(), timeout=deadline.remaining())
        with suppress(TimeoutError):
            async with asyncio.timeout(REVOKE_GRACE_S / 2):
                await self._commit()

    async def _commit_regularly(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await self._commit():
                self._dirty.set()
            await asyncio.sleep(COMMIT_S)

    async def _commit(self) -> bool:
        stored = await self._member.commit(self._frontier.commits)
        if stored:
            self._frontier.confirm(stored)
        return stored is not None
