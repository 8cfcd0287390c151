"""The sender without a broker: order, window, deadline, replacement of a producer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    TopicAuthorizationFailedError,
)

from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.kafka import KafkaSettings


class FakeProducer:
    """Remembers what it was given; acknowledges by itself, with an error, or when it is told to."""

    def __init__(self, acks: bool = True, start_error: Exception | None = None) -> None:
        self.acks, self.start_error = acks, start_error
        self.sent: list[bytes] = []
        self.open: list[asyncio.Future[None]] = []
        self.errors: dict[bytes, Exception] = {}
        self.blocked: asyncio.Event | None = None
        self.discarded = False

    def __repr__(self) -> str:
        return f"FakeProducer({len(self.sent)} sent, {len(self.open)} open)"

    async def start(self) -> None:
        if self.start_error:
            raise self.start_error

    async def send(self, topic: str, value: bytes, **_: Any) -> asyncio.Future[None]:
        if self.blocked is not None:
            await self.blocked.wait()
        await asyncio.sleep(0)
        self.sent.append(value)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if value in self.errors:
            future.set_exception(self.errors[value])
        elif self.acks:
            future.set_result(None)
        else:
            self.open.append(future)
        return future


class FakeKafka:
    """Hands out prepared producers in turn."""

    def __init__(self, *producers: FakeProducer) -> None:
        self.settings = KafkaSettings(brokers="broker:9092")
        self.producers = deque(producers)

    def producer(self, message_bytes: int) -> FakeProducer:
        return self.producers.popleft()

    async def discard(self, producer: FakeProducer) -> None:
        producer.discarded = True
        for future in producer.open:
            if not future.done():
                future.set_exception(ProducerClosed())


def make(*producers: FakeProducer, **options: Any) -> Sender:
    return Sender(FakeKafka(*producers), 10_000, **options)  # type: ignore[arg-type]


async def until(holds: Callable[[], bool], seconds: float = 5) -> None:
    deadline = Deadline.after(seconds)
    while not holds():
        assert not deadline.expired, "not in time"
        await asyncio.sleep(0.005)


async def test_records_leave_in_the_order_of_the_calls_whoever_calls() -> None:
    producer = FakeProducer()
    sender = make(producer, window_bytes=2000)
    await sender.start()
    values = [b"%03d" % n + bytes(500) for n in range(60)]
    await asyncio.gather(*(sender.send("topic", value) for value in values))
    assert producer.sent == values
    await sender.stop(Deadline.after(1))
    assert sender.in_flight_bytes == 0
    assert producer.discarded


async def test_the_window_bounds_what_is_on_its_way() -> None:
    producer = FakeProducer(acks=False)
    sender = make(producer, window_bytes=3000)
    await sender.start()
    waits = [asyncio.create_task(sender.send("topic", bytes(1000))) for _ in range(9)]
    await until(lambda: len(producer.sent) == 2)
    await asyncio.sleep(0.05)
    assert len(producer.sent) == 2
    assert sender.in_flight_bytes <= 3000
    producer.open[0].set_result(None)
    await until(lambda: len(producer.sent) == 3)
    producer.acks = True
    for future in producer.open[1:]:
        future.set_result(None)
    await asyncio.gather(*waits)
    await sender.stop(Deadline.after(1))


async def test_an_oversize_record_never_reaches_the_producer() -> None:
    producer = FakeProducer()
    sender = make(producer)
    await sender.start()
    with pytest.raises(TerminalError) as caught:
        await sender.send("topic", bytes(10_001))
    assert caught.value.code == "kafka.message-too-large"
    assert producer.sent == []
    await sender.stop(Deadline.after(1))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfOrderSequenceNumber(), TransientError),
        (MessageSizeTooLargeError(), TerminalError),
        (TopicAuthorizationFailedError("topic"), TerminalError),
    ],
)
async def test_a_record_that_fails_takes_its_producer_with_it(error: Exception, kind: type[Exception]) -> None:
    lost, sound = FakeProducer(), FakeProducer()
    lost.errors[b"bad"] = error
    sender = make(lost, sound)
    await sender.start()
    with pytest.raises(kind):
        await sender.send("topic", b"bad")
    await sender.send("topic", b"good")
    assert lost.discarded
    assert sound.sent == [b"good"]
    await sender.stop(Deadline.after(1))


async def test_what_was_on_its_way_with_a_lost_producer_is_transient() -> None:
    lost, sound = FakeProducer(acks=False), FakeProducer()
    lost.errors[b"bad"] = OutOfOrderSequenceNumber()
    sender = make(lost, sound)
    await sender.start()
    waiting = await sender.enqueue("topic", b"waiting")
    bad = await sender.enqueue("topic", b"bad")
    later = await sender.enqueue("topic", b"later")
    results = await asyncio.gather(waiting, bad, later, return_exceptions=True)
    assert isinstance(results[0], TransientError)
    assert isinstance(results[1], TransientError)
    assert results[2] is None or isinstance(results[2], TransientError)
    await sender.stop(Deadline.after(1))


async def test_a_record_without_acknowledgement_fails_as_perhaps_stored() -> None:
    mute, sound = FakeProducer(acks=False), FakeProducer()
    sender = make(mute, sound, deadline_s=0.05)
    await sender.start()
    with pytest.raises(TransientError, match="may be stored"):
        await sender.send("topic", b"x")
    await sender.send("topic", b"y")
    assert mute.discarded
    assert sound.sent == [b"y"]
    await sender.stop(Deadline.after(1))


async def test_a_record_that_was_never_handed_over_leaves_the_producer_alone() -> None:
    producer = FakeProducer()
    producer.blocked = asyncio.Event()
    sender = make(producer, deadline_s=0.05)
    await sender.start()
    with pytest.raises(TransientError, match="not handed over"):
        await sender.send("topic", b"x")
    producer.blocked.set()
    await sender.send("topic", b"y")
    assert producer.sent == [b"y"]
    assert not producer.discarded
    await sender.stop(Deadline.after(1))


async def test_a_producer_is_replaced_until_one_connects() -> None:
    lost, sound = FakeProducer(), FakeProducer()
    lost.errors[b"bad"] = OutOfOrderSequenceNumber()
    away = [FakeProducer(start_error=KafkaConnectionError("away")) for _ in range(2)]
    sender = make(lost, *away, sound)
    await sender.start()
    with pytest.raises(TransientError):
        await sender.send("topic", b"bad")
    await sender.send("topic", b"good")
    assert sound.sent == [b"good"]
    assert all(producer.discarded for producer in away)
    await sender.stop(Deadline.after(1))


async def test_a_broker_that_is_away_at_start_is_told_at_once() -> None:
    sender = make(FakeProducer(start_error=KafkaConnectionError("away")))
    with pytest.raises(TransientError) as caught:
        await sender.start()
    assert caught.value.code == "kafka.unreachable"
    assert "broker:9092" in caught.value.message
    await sender.stop(Deadline.after(1))


async def test_stop_waits_then_fails_what_is_left_and_takes_nothing_new() -> None:
    producer = FakeProducer(acks=False)
    sender = make(producer, window_bytes=1500)
    await sender.start()
    late = await sender.enqueue("topic", bytes(1000))
    outside = asyncio.create_task(sender.send("topic", bytes(1000)))
    await until(lambda: len(producer.sent) == 1)
    await sender.stop(Deadline.after(0.05))
    for wait in (late, outside):
        with pytest.raises(TransientError):
            await wait
    with pytest.raises(TransientError):
        await sender.send("topic", b"x")


async def test_a_withdrawn_record_is_not_sent() -> None:
    producer = FakeProducer()
    producer.blocked = asyncio.Event()
    sender = make(producer)
    await sender.start()
    first = await sender.enqueue("topic", b"first")
    second = await sender.enqueue("topic", b"second")
    third = await sender.enqueue("topic", b"third")
    second.cancel()
    producer.blocked.set()
    await asyncio.gather(first, third)
    assert producer.sent == [b"first", b"third"]
    await sender.stop(Deadline.after(1))
    assert sender.in_flight_bytes == 0
