"""Sends records to Kafka from one task, in call order, bounded in bytes and in time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from functools import partial
from typing import Any

import structlog
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.dataplane.window import ByteWindow
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import Octets
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.kafka import Kafka, map_error
from tailrace_shared.kafka.errors import FOREIGN

WINDOW_BYTES = 8 << 20
"""About eight batches: enough to keep the broker busy, and few to repeat after a failure."""
DEADLINE_S = 60.0
"""Longer than an election or a restart of a broker; after it the caller's retries decide."""
START_S = 20.0
"""For one attempt to connect a producer."""

log = structlog.get_logger(__name__)


class _Record:
    __slots__ = ("handed", "headers", "key", "partition", "result", "size", "timer", "topic", "value")

    def __init__(
        self,
        topic: str,
        value: Octets,
        partition: int | None,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        size: int,
    ) -> None:
        self.topic, self.value, self.partition, self.key, self.headers, self.size = (
            topic,
            value,
            partition,
            key,
            headers,
            size,
        )
        self.result: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.handed = False
        """The producer has it: whatever happens, the broker may store it."""


class Sender:
    """One idempotent producer and the only task that calls it.

    * Records reach a partition in the order of the calls, across a broker's outage too. After a failure later ones go on:
      whoever needs order beyond that awaits each send.
    * At most ``window_bytes`` are on their way; callers wait for room, first come, first served.
    * A record that is too large is refused before the broker sees it. A record that fails takes the producer with it: its
      sequence number is spent, and every later record of that partition would be refused for good. What else was on its way
      fails as transient, and a new producer takes over.
    * A record that is not acknowledged in ``deadline_s`` fails as transient. It may be stored all the same, so its effect
      must not depend on being stored once.

    One sender per run: a topic that is missing delays what waits behind it.
    """

    def __init__(
        self, kafka: Kafka, message_bytes: int, *, window_bytes: int = WINDOW_BYTES, deadline_s: float = DEADLINE_S
    ) -> None:
        self._kafka = kafka
        self._message_bytes = message_bytes
        self._deadline_s = deadline_s
        self._window = ByteWindow(window_bytes)
        self._turn = asyncio.Lock()  # fair, so it is the order of the calls
        self._room = asyncio.Event()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._queue: deque[_Record] = deque()
        self._open = 0
        self._producer: Any = None
        self._task: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[Any] | None = None
        self._lost = False
        self._closed = False
        self._trouble: TailraceError | None = None
        self.last_ack = time.monotonic()
        """When Kafka acknowledged something, monotonic: a stall shows here and nowhere else."""

    @property
    def in_flight_bytes(self) -> int:
        """Bytes waiting for the producer or for the acknowledgement."""
        return self._window.used

    async def start(self) -> None:
        """Connect. Raises TransientError (``kafka.unreachable``) or TerminalError at once when that fails."""
        try:
            self._producer = await self._connected()
        except FOREIGN as error:
            raise map_error(error, self._kafka.settings, "connecting a producer") from error
        self._task = asyncio.create_task(self._run(), name="kafka-sender")
        self._task.add_done_callback(self._ended)

    async def stop(self, deadline: Deadline) -> None:
        """Take nothing new, wait for what is on its way until the deadline, fail the rest as transient, close."""
        self._closed = True
        self._room.set()
        try:
            async with asyncio.timeout(deadline.remaining()):
                await self._idle.wait()
        except TimeoutError:
            log.warning("sends abandoned at stop", records=self._open, bytes=self._window.used)
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait({self._task})
            if self._producer is not None:
                await self._kafka.discard(self._producer)
                self._producer = None
            for record in self._queue:
                self._settle(record, _stopped())
            self._queue.clear()

    async def send(
        self, topic: str, value: Octets, *, partition: int | None = None, key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> None:  # fmt: skip
        """Send and wait until Kafka has acknowledged.

        Raises TerminalError (``kafka.message-too-large``, ``kafka.forbidden``) or TransientError; after the latter the
        record may be stored or not.
        """
        await (await self.enqueue(topic, value, partition=partition, key=key, headers=headers))

    async def enqueue(
        self, topic: str, value: Octets, *, partition: int | None = None, key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> asyncio.Future[None]:  # fmt: skip
        """Wait for room only; the future that is returned is done when Kafka has acknowledged. Errors as in ``send``.

        ``value`` must not change until then. Cancelling the future withdraws a record that the producer does not have yet.
        """
        listed = list(headers)
        size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, listed)
        if size > self._message_bytes:
            raise TerminalError(
                "kafka.message-too-large",
                f"a message of {size} bytes for {topic} is above the limit of {self._message_bytes} bytes",
                "Raise the message limit of the run, or carry less in one row.",
            )
        async with self._turn:
            while not self._closed and not self._window.admits(size):
                self._room.clear()
                await self._room.wait()
            if self._closed:
                raise _stopped()
            record = _Record(topic, value, partition, key, listed, size)
            record.result.add_done_callback(partial(self._release, record))
            record.timer = asyncio.get_running_loop().call_later(self._deadline_s, self._expire, record)
            self._window.add(size)
            self._open += 1
            self._idle.clear()
            self._queue.append(record)
            self._work.set()
        return record.result

    # --- the one task ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            if self._lost:
                await self._replace()
            if not self._queue:
                self._work.clear()
                await self._work.wait()
                continue
            record = self._queue.popleft()
            if record.result.done():  # expired or withdrawn while it waited
                continue
            await self._hand_over(record)

    async def _hand_over(self, record: _Record) -> None:
        producer = self._producer
        sending = asyncio.create_task(
            producer.send(
                record.topic, value=record.value, key=record.key, partition=record.partition, headers=record.headers
            )
        )  # fmt: skip
        self._sending = sending
        try:
            await asyncio.wait({sending})
        except asyncio.CancelledError:
            sending.cancel()
            self._queue.appendleft(record)
            raise
        finally:
            self._sending = None
        error = None if sending.cancelled() else sending.exception()
        if not sending.cancelled() and error is None:
            record.handed = True
            sending.result().add_done_callback(partial(self._acknowledged, record, producer))
        elif error is None or isinstance(error, FOREIGN):
            mapped = None if error is None else map_error(error, self._kafka.settings, f"sending to {record.topic}")
            if isinstance(mapped, TerminalError):
                self._settle(record, mapped)
            else:  # the producer does not have it: it stays first in line until its deadline
                self._trouble = mapped or self._trouble
                self._queue.appendleft(record)
        else:
            unexpected = TerminalError("kafka.send", f"cannot send to {record.topic} ({type(error).__name__})")
            self._settle(record, unexpected)

    async def _replace(self) -> None:
        lost, self._producer = self._producer, None
        await self._kafka.discard(lost)
        failures = 0
        while self._producer is None:
            try:
                self._producer = await self._connected()
            except FOREIGN as error:
                self._trouble = map_error(error, self._kafka.settings, "replacing a producer")
                failures += 1
                await asyncio.sleep(FOREVER.delay(failures, id(self)) or 0)
        self._lost = False
        log.info("producer replaced", failures=failures)

    async def _connected(self) -> Any:
        producer = self._kafka.producer(self._message_bytes)
        try:
            async with asyncio.timeout(START_S):
                await producer.start()
        except BaseException:
            await self._kafka.discard(producer)
            raise
        return producer

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._closed = True
            log.error("the sending task has failed", kind=type(error).__name__)
            for record in self._queue:
                self._settle(record, _stopped())

    # --- what happens to a record ------------------------------------------------------------------------------------

    def _acknowledged(self, record: _Record, producer: Any, stored: asyncio.Future[Any]) -> None:
        error: BaseException | None = asyncio.CancelledError() if stored.cancelled() else stored.exception()
        if error is None:
            self.last_ack = time.monotonic()
            self._trouble = None
            self._settle(record, None)
            return
        self._lose(producer)
        self._settle(record, map_error(error, self._kafka.settings, f"sending to {record.topic}"))

    def _expire(self, record: _Record) -> None:
        if record.result.done():
            return
        state = "it may be stored all the same" if record.handed else "it was not handed over"
        because = f": {self._trouble.message}" if self._trouble is not None else ""
        log.warning("send not acknowledged", topic=record.topic, seconds=self._deadline_s)
        self._settle(
            record,
            TransientError(
                "kafka.send-timeout",
                f"Kafka has not acknowledged a record of {record.topic} in {self._deadline_s:g} s ({state}){because}",
            ),
        )
        if record.handed:
            self._lose(self._producer)  # else the record would stay in its memory for as long as the broker is away
        elif self._sending is not None:
            self._sending.cancel()

    def _lose(self, producer: Any) -> None:
        if producer is None or producer is not self._producer or self._lost:
            return
        self._lost = True
        self._work.set()
        if self._sending is not None:
            self._sending.cancel()

    def _settle(self, record: _Record, error: TailraceError | None) -> None:
        if record.result.done():
            return
        if error is None:
            record.result.set_result(None)
        else:
            record.result.set_exception(error)

    def _release(self, record: _Record, _: asyncio.Future[None]) -> None:
        if record.timer is not None:
            record.timer.cancel()
        self._window.remove(record.size)
        self._room.set()
        self._open -= 1
        if not self._open:
            self._idle.set()


def _stopped() -> TransientError:
    return TransientError("kafka.sender-stopped", "the sender is stopping and takes no more records")
