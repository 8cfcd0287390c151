"""Pump, sender and administration against a real broker: rebalances, gaps, limits, a broker that dies."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from ulid import ULID

from tailrace.embedded.kafka import EmbeddedKafka
from tailrace_shared.dataplane.pump import Delivery, Pump
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.kafka import Admin, Kafka, KafkaSettings
from tailrace_shared.topics import run_settings

LIMIT = 2 << 20
SOON = RetrySchedule(first_s=0.05, limit_s=0.2, attempts=3)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    made = EmbeddedKafka(None, tmp_path_factory.mktemp("dataplane-kafka"), {"auto.create.topics.enable": "true"})
    made.start()
    yield made
    made.stop()


@pytest.fixture
def kafka(broker: EmbeddedKafka) -> Kafka:
    return Kafka(KafkaSettings(brokers=broker.bootstrap, session_s=3, heartbeat_s=0.3))


@pytest.fixture
async def admin(kafka: Kafka) -> AsyncIterator[Admin]:
    async with kafka.admin() as made:
        yield made


@pytest.fixture
async def topic(admin: Admin) -> AsyncIterator[str]:
    name = f"t.{ULID()}".lower()
    await admin.create_topics({name: (4, run_settings(LIMIT))})
    yield name
    await admin.delete_topics([name])


@pytest.fixture
async def sender(kafka: Kafka) -> AsyncIterator[Sender]:
    made = Sender(kafka, LIMIT, deadline_s=20)
    await made.start()
    yield made
    await made.stop(Deadline.after(5))


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    deadline = Deadline.after(seconds)
    while not deadline.expired:
        answer = holds()
        if await answer if isinstance(answer, Awaitable) else answer:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


class Handler:
    """Counts what it handled, by value."""

    def __init__(self, seconds: float = 0) -> None:
        self.seen: Counter[bytes] = Counter()
        self.failures: list[tuple[BaseException, Delivery | None]] = []
        self.seconds = seconds

    async def handle(self, delivery: Delivery) -> None:
        await asyncio.sleep(self.seconds * random.random() * 2)
        self.seen[delivery.value] += 1

    async def fail(self, error: BaseException, delivery: Delivery | None) -> bool:
        self.failures.append((error, delivery))
        return False

    def pump(self, kafka: Kafka, topic: str, group: str = "g", parallel: int = 4, window: int = 4 << 20) -> Pump:
        return Pump(
            kafka, topic, f"{topic}.{group}", self.handle, window_bytes=window, parallel=parallel, retry=SOON,
            on_failure=self.fail,
        )  # fmt: skip


async def fill(sender: Sender, topic: str, count: int, first: int = 0, size: int = 1000) -> set[bytes]:
    values = [b"%06d" % n + bytes(size) for n in range(first, first + count)]
    waits = [await sender.enqueue(topic, value, partition=n % 4) for n, value in enumerate(values)]
    await asyncio.gather(*waits)
    return set(values)


async def test_everything_sent_is_handled_once_and_committed(
    kafka: Kafka, admin: Admin, topic: str, sender: Sender
) -> None:
    handler = Handler()
    pump = handler.pump(kafka, topic)
    await pump.start()
    values = await fill(sender, topic, 200)
    await until(lambda: set(handler.seen) == values)
    await pump.stop(Deadline.after(10))
    assert set(handler.seen.values()) == {1}
    assert await admin.committed(f"{topic}.g") == await admin.end_offsets([topic])
    assert await admin.group_members(f"{topic}.g") == 0
    assert pump.in_flight_bytes == 0
    assert not handler.failures


async def test_members_that_come_go_and_die_lose_nothing(
    kafka: Kafka, admin: Admin, topic: str, sender: Sender
) -> None:
    handler = Handler(seconds=0.05)
    first, second, third = (handler.pump(kafka, topic) for _ in range(3))
    await first.start()
    await second.start()
    values = await fill(sender, topic, 200)
    await until(lambda: len(handler.seen) > 20)
    # A crash: nothing is said to the group, what ran is cut off.
    assert second._loop is not None
    for task in (second._loop, *second._running.values()):
        task.cancel()
    await second._member._consumer._client.close()
    second._member._consumer._coordinator._heartbeat_task.cancel()
    await third.start()
    values |= await fill(sender, topic, 100, first=1000)
    await first.stop(Deadline.after(10))
    await until(lambda: set(handler.seen) == values, 60)
    ends = await admin.end_offsets([topic])

    async def committed() -> bool:
        return await admin.committed(f"{topic}.g") == ends

    await until(committed)
    await third.stop(Deadline.after(10))
    assert not handler.failures
    assert max(handler.seen.values()) <= 4  # the crash and each rebalance may repeat what was in flight, no more


async def test_a_transient_failure_is_tried_again_in_place(kafka: Kafka, topic: str, sender: Sender) -> None:
    handler = Handler()
    attempts: list[int] = []

    async def twice(delivery: Delivery) -> None:
        attempts.append(delivery.offset)
        if len(attempts) < 3:
            raise TransientError("test.busy", "busy")

    handler.handle = twice  # type: ignore[method-assign]
    pump = handler.pump(kafka, topic)
    await pump.start()
    await sender.send(topic, b"x", partition=0)
    await until(lambda: len(attempts) == 3)
    await pump.stop(Deadline.after(5))
    assert attempts == [0, 0, 0]
    assert not handler.failures


async def test_a_terminal_failure_stays_uncommitted_and_is_delivered_again(
    kafka: Kafka, admin: Admin, topic: str, sender: Sender
) -> None:
    handler = Handler()

    async def refuse(delivery: Delivery) -> None:
        if delivery.value == b"bad":
            raise TerminalError("test.bad", "bad")
        handler.seen[delivery.value] += 1

    handler.handle = refuse  # type: ignore[method-assign]
    pump = handler.pump(kafka, topic, parallel=1)
    await pump.start()
    for value in (b"good", b"bad", b"later"):
        await sender.send(topic, value, partition=1)
    await until(lambda: bool(handler.failures))
    await until(lambda: pump.failed is not None)
    seen = pump.last_poll
    await asyncio.sleep(1.2)
    assert pump.last_poll == seen, "a pump that has told its failure stands still"
    await pump.stop(Deadline.after(5))
    assert await admin.committed(f"{topic}.g") == {(topic, 1): 1}
    assert handler.seen == {b"good": 1}

    healed = Handler()
    pump = healed.pump(kafka, topic)
    await pump.start()
    await until(lambda: set(healed.seen) == {b"bad", b"later"})
    await pump.stop(Deadline.after(5))


async def test_a_group_whose_commit_was_purged_fails_instead_of_jumping(
    kafka: Kafka, admin: Admin, topic: str, sender: Sender
) -> None:
    handler = Handler()
    pump = handler.pump(kafka, topic)
    await pump.start()
    await fill(sender, topic, 8)
    await until(lambda: len(handler.seen) == 8)
    await pump.stop(Deadline.after(5))
    await fill(sender, topic, 40, first=100)
    await admin.delete_records({(topic, 2): 9})
    again = Handler()
    pump = again.pump(kafka, topic)
    await pump.start()
    await until(lambda: bool(again.failures))
    await pump.stop(Deadline.after(5))
    error, delivery = again.failures[0]
    assert delivery is None
    assert isinstance(error, TerminalError)
    assert error.code == "kafka.records-missing"
    assert "partition 2" in error.message


async def test_a_group_without_commit_starts_at_the_first_record_that_is_left(
    kafka: Kafka, admin: Admin, topic: str, sender: Sender
) -> None:
    await fill(sender, topic, 40)
    await admin.delete_records({(topic, 0): 4, (topic, 1): 10})
    assert (await admin.begin_offsets([topic]))[(topic, 0)] == 4
    handler = Handler()
    pump = handler.pump(kafka, topic)
    began = time.monotonic()
    await pump.start()
    await until(lambda: len(handler.seen) == 26)
    assert time.monotonic() - began < 10
    await pump.stop(Deadline.after(5))
    assert not handler.failures


async def test_records_purged_behind_the_commit_disturb_nobody(
    kafka: Kafka, admin: Admin, topic: str, sender: Sender
) -> None:
    handler = Handler()
    pump = handler.pump(kafka, topic)
    await pump.start()
    total: set[bytes] = set()
    for n in range(5):
        total |= await fill(sender, topic, 20, first=n * 100)
        await until(lambda: set(handler.seen) == total)  # noqa: B023 - awaited here
        await asyncio.sleep(0.4)
        await admin.delete_records(await admin.committed(f"{topic}.g"))
    await pump.stop(Deadline.after(5))
    assert not handler.failures
    assert await admin.begin_offsets([topic]) == await admin.end_offsets([topic])


async def test_a_record_above_the_limit_is_refused_and_the_sender_goes_on(topic: str, sender: Sender) -> None:
    with pytest.raises(TerminalError) as caught:
        await sender.send(topic, bytes(LIMIT), partition=0)
    assert caught.value.code == "kafka.message-too-large"
    assert topic in caught.value.message
    await sender.send(topic, bytes(LIMIT - 2000), partition=0)


async def test_a_record_that_the_broker_refuses_does_not_wedge_the_partition(
    kafka: Kafka, admin: Admin, topic: str
) -> None:
    small = f"{topic}.small"
    await admin.create_topics({small: (1, run_settings(100_000))})
    sender = Sender(kafka, LIMIT, deadline_s=20)
    await sender.start()
    await sender.send(small, b"from here on the broker expects a sequence", partition=0)
    with pytest.raises(TerminalError) as caught:
        await sender.send(small, bytes(200_000), partition=0)
    assert caught.value.code == "kafka.message-too-large"
    for n in range(3):
        await sender.send(small, b"%d" % n, partition=0)
    await sender.stop(Deadline.after(5))
    assert await admin.end_offsets([small]) == {(small, 0): 4}
    await admin.delete_topics([small])


async def test_nothing_makes_a_topic_by_asking_for_it(kafka: Kafka, admin: Admin) -> None:
    name = f"missing.{ULID()}".lower()  # this broker would create it
    sender = Sender(kafka, LIMIT, deadline_s=2)
    await sender.start()
    with pytest.raises(TransientError) as caught:
        await sender.send(name, b"x", partition=0)
    assert caught.value.code == "kafka.send-timeout"
    await sender.stop(Deadline.after(2))
    with pytest.raises(TransientError):
        await admin.partitions(name)
    await asyncio.sleep(0.5)
    assert name not in await admin.topics()


async def test_a_deleted_topic_fails_the_send_within_its_deadline(kafka: Kafka, admin: Admin) -> None:
    name = f"gone.{ULID()}".lower()
    await admin.create_topics({name: (1, run_settings(LIMIT))})
    sender = Sender(kafka, LIMIT, deadline_s=3)
    await sender.start()
    await sender.send(name, b"x", partition=0)
    await admin.delete_topics([name])
    began = time.monotonic()
    with pytest.raises(TransientError):
        await sender.send(name, b"y", partition=0)
    assert time.monotonic() - began < 6
    await sender.stop(Deadline.after(3))
    assert name not in await admin.topics()


async def test_topics_are_made_once_with_their_settings(admin: Admin, topic: str) -> None:
    await admin.create_topics({topic: (4, run_settings(LIMIT))})
    assert await admin.partitions(topic) == 4
    with pytest.raises(TailraceError) as caught:
        await admin.create_topics({f"{topic}.x": (1, {"max.message.bytes": "many"})})
    assert caught.value.code == "kafka.refused"
    await admin.delete_topics(["never.was"])
    assert await admin.committed("no-such-group") == {}
    assert await admin.group_members("no-such-group") == 0


async def test_a_slow_handler_keeps_the_window_and_the_membership(
    kafka: Kafka, admin: Admin, topic: str, sender: Sender
) -> None:
    """The destination is dead for longer than the session: no eviction, memory within the window, then it goes on."""
    handler = Handler()
    open_again = asyncio.Event()

    async def blocked(delivery: Delivery) -> None:
        await open_again.wait()
        handler.seen[delivery.value] += 1

    handler.handle = blocked  # type: ignore[method-assign]
    pump = handler.pump(kafka, topic, parallel=8, window=1 << 20)
    await pump.start()
    values = await fill(sender, topic, 40, size=200_000)
    await until(lambda: pump.in_flight_bytes > 0)
    worst = 0.0
    most = 0
    deadline = Deadline.after(7)
    while not deadline.expired:
        await asyncio.sleep(0.05)
        worst = max(worst, time.monotonic() - pump.last_poll)
        most = max(most, pump.in_flight_bytes)
    assert worst < 2
    assert most <= (1 << 20) + 210_000
    assert await admin.group_members(f"{topic}.g") == 1
    open_again.set()
    await until(lambda: set(handler.seen) == values)
    await pump.stop(Deadline.after(5))
    assert set(handler.seen.values()) == {1}


async def test_records_larger_than_the_window_and_a_fetch_pass_one_by_one(
    kafka: Kafka, topic: str, sender: Sender
) -> None:
    values = await fill(sender, topic, 12, size=1_900_000)
    handler = Handler()
    most: list[int] = []

    async def note(delivery: Delivery) -> None:
        most.append(pump.in_flight_bytes)
        handler.seen[delivery.value] += 1

    handler.handle = note  # type: ignore[method-assign]
    pump = handler.pump(kafka, topic, parallel=4, window=1 << 20)
    await pump.start()
    await until(lambda: set(handler.seen) == values)
    await pump.stop(Deadline.after(5))
    assert max(most) <= 1_900_100


async def test_a_broker_that_is_killed_and_comes_back_loses_and_reorders_nothing(
    broker: EmbeddedKafka, kafka: Kafka, admin: Admin, topic: str
) -> None:
    handler = Handler()
    order: list[int] = []

    async def note(delivery: Delivery) -> None:
        order.append(int(delivery.value[:6]))
        handler.seen[delivery.value] += 1

    handler.handle = note  # type: ignore[method-assign]
    pump = handler.pump(kafka, topic, parallel=1)
    sender = Sender(kafka, LIMIT, deadline_s=60)
    await sender.start()
    await pump.start()
    stop = asyncio.Event()
    values: list[bytes] = []

    async def stream() -> None:
        waits = []
        while not stop.is_set():
            value = b"%06d" % len(values) + bytes(100_000)
            values.append(value)
            waits.append(await sender.enqueue(topic, value, partition=0))
            await asyncio.sleep(0.002)
        await asyncio.gather(*waits)

    streaming = asyncio.create_task(stream())
    await until(lambda: len(handler.seen) > 50)
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(1)
    seen = pump.last_poll
    await until(lambda: pump.last_poll > seen, 5)
    await asyncio.to_thread(broker.start)
    count = len(handler.seen)
    await until(lambda: len(handler.seen) > count + 100, 60)
    stop.set()
    await streaming
    await until(lambda: set(handler.seen) == set(values), 60)
    await pump.stop(Deadline.after(10))
    await sender.stop(Deadline.after(10))
    first_time = list(dict.fromkeys(order))
    assert first_time == sorted(first_time)
    assert not handler.failures


async def test_a_broker_that_stays_away_fails_sends_in_time_and_stop_does_not_hang(
    broker: EmbeddedKafka, kafka: Kafka, topic: str
) -> None:
    before = asyncio.all_tasks()
    sender = Sender(kafka, LIMIT, deadline_s=2)
    handler = Handler()
    pump = handler.pump(kafka, topic)
    await sender.start()
    await pump.start()
    await sender.send(topic, b"before", partition=0)
    await asyncio.to_thread(broker.kill)
    try:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(TransientError) as caught:
                await sender.send(topic, b"during", partition=0)
            assert caught.value.code == "kafka.send-timeout"
            assert time.monotonic() - began < 4
        began = time.monotonic()
        late = await sender.enqueue(topic, b"at the end", partition=0)
        await sender.stop(Deadline.after(1))
        with pytest.raises(TransientError):
            await late
        await pump.stop(Deadline.after(4))
        assert time.monotonic() - began < 16
        await until(lambda: not asyncio.all_tasks() - before, 5)
        with pytest.raises(TransientError) as caught:
            await Sender(kafka, LIMIT).start()
        assert caught.value.code == "kafka.unreachable"
    finally:
        await asyncio.to_thread(broker.start)
