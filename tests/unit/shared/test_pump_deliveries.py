"""The pump without a broker: a named fake consumer gives records and takes commits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import ConsumerRecord

from tailrace_shared.dataplane.pump import TICK_S, Delivery, Pump
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.kafka import KafkaSettings

PLACE = TopicPartition("topic", 0)


class FakeConsumer:
    """Gives what it was fed, in order; an exception among it is raised. Remembers commits, seeks and whether it stopped."""

    def __init__(self) -> None:
        self.fed: deque[ConsumerRecord | Exception] = deque()
        self.polls = 0
        self.commits: list[dict[TopicPartition, int]] = []
        self.refusals: deque[Exception] = deque()
        self.seeks: list[tuple[TopicPartition, int]] = []
        self.begun: list[TopicPartition] = []
        self.stored: int | None = None
        self.held = (0, 100)
        self.listener: Any = None
        self.stopped = False

    def __repr__(self) -> str:
        return f"FakeConsumer({len(self.fed)} to give, {len(self.commits)} commits)"

    def feed(self, *sizes: int, first: int = 0) -> None:
        for n, size in enumerate(sizes):
            self.fed.append(
                ConsumerRecord("topic", 0, first + n, 0, 0, None, bytes(size), None, -1, size, ())
            )  # fmt: skip

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.listener = listener

    async def start(self) -> None:
        await self.listener.on_partitions_revoked(set())
        await self.listener.on_partitions_assigned({PLACE})

    async def stop(self) -> None:
        self.stopped = True

    def assignment(self) -> set[TopicPartition]:
        return {PLACE}

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        self.polls += 1
        if not self.fed:
            await asyncio.sleep(0.01)
            return {}
        given = self.fed.popleft()
        if isinstance(given, Exception):
            raise given
        return {PLACE: [given]}

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.refusals:
            raise self.refusals.popleft()
        self.commits.append(offsets)

    async def committed(self, place: TopicPartition) -> int | None:
        return self.stored

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {places[0]: self.held[0]}

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {places[0]: self.held[1]}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.seeks.append((place, offset))

    async def seek_to_beginning(self, *places: TopicPartition) -> None:
        self.begun += places

    async def rebalance(self) -> None:
        await self.listener.on_partitions_revoked({PLACE})
        await self.listener.on_partitions_assigned({PLACE})


class FakeKafka:
    """Hands out prepared consumers, the last one again and again."""

    def __init__(self, *consumers: FakeConsumer) -> None:
        self.settings = KafkaSettings(brokers="broker:9092")
        self.consumers = deque(consumers)

    def consumer(self, **_: Any) -> FakeConsumer:
        return self.consumers.popleft() if len(self.consumers) > 1 else self.consumers[0]

    async def release(self, consumer: FakeConsumer, deadline: Deadline) -> None:
        await consumer.stop()


class Bench:
    """A pump over a fake consumer, with a handler that can be told what to do."""

    def __init__(
        self, *consumers: FakeConsumer, parallel: int = 2, window: int = 1000, accept: bool = False, weight: int = 0
    ) -> None:
        self.consumer = consumers[0] if consumers else FakeConsumer()
        self.handled: list[int] = []
        self.entered: list[int] = []
        self.told: list[tuple[BaseException, Delivery | None]] = []
        self.accept = accept
        self.tell_errors: deque[Exception] = deque()
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: dict[int, deque[Exception]] = {}
        self.pump = Pump(
            FakeKafka(*(consumers or (self.consumer,))),  # type: ignore[arg-type]
            "topic", "group", self.handle, window_bytes=window, parallel=parallel,
            retry=RetrySchedule(first_s=0.001, limit_s=0.002, attempts=3), on_failure=self.fail,
            weigh=lambda headers: weight,
        )  # fmt: skip

    async def handle(self, delivery: Delivery) -> None:
        self.entered.append(delivery.offset)
        await self.gate.wait()
        if errors := self.errors.get(delivery.offset):
            raise errors.popleft()
        self.handled.append(delivery.offset)

    async def fail(self, error: BaseException, delivery: Delivery | None) -> bool:
        if self.tell_errors:
            raise self.tell_errors.popleft()
        self.told.append((error, delivery))
        return self.accept

    @property
    def committed(self) -> int | None:
        return self.consumer.commits[-1][PLACE] if self.consumer.commits else None


async def until(holds: Callable[[], bool], seconds: float = 5) -> None:
    deadline = Deadline.after(seconds)
    while not holds():
        assert not deadline.expired, "not in time"
        await asyncio.sleep(0.005)


async def test_what_is_handled_is_committed_and_the_rest_at_stop() -> None:
    bench = Bench()
    bench.consumer.feed(10, 10, 10)
    await bench.pump.start()
    await until(lambda: bench.handled == [0, 1, 2])
    await bench.pump.stop(Deadline.after(5))
    assert bench.committed == 3
    assert bench.consumer.stopped
    assert bench.pump.in_flight_bytes == 0


async def test_a_delivery_that_unpacks_to_more_counts_as_much() -> None:
    bench = Bench(parallel=10, window=1000, weight=600)
    bench.gate.clear()
    bench.consumer.feed(60, 60, 700)
    await bench.pump.start()
    await until(lambda: bench.entered == [0, 1])
    assert bench.pump.in_flight_bytes == 1200
    bench.gate.set()
    await until(lambda: bench.handled == [0, 1, 2])
    assert bench.pump.in_flight_bytes == 0
    await bench.pump.stop(Deadline.after(5))


async def test_a_full_window_stops_polling_while_the_loop_stays_alive() -> None:
    bench = Bench(parallel=10, window=100)
    bench.gate.clear()
    bench.consumer.feed(60, 60, 60)
    await bench.pump.start()
    await until(lambda: bench.pump.in_flight_bytes == 120)
    polls, turned = bench.consumer.polls, bench.pump.last_poll
    await until(lambda: bench.pump.last_poll > turned)
    assert bench.consumer.polls == polls
    assert bench.entered == [0, 1]
    bench.gate.set()
    await until(lambda: sorted(bench.handled) == [0, 1, 2])
    await bench.pump.stop(Deadline.after(5))


async def test_one_handler_keeps_the_order_across_retries() -> None:
    bench = Bench(parallel=1)
    bench.errors[0] = deque([TransientError("t", "once"), TransientError("t", "twice")])
    bench.consumer.feed(1, 1)
    await bench.pump.start()
    await until(lambda: bench.handled == [0, 1])
    assert bench.entered == [0, 0, 0, 1]
    assert bench.pump.retries == 2
    await bench.pump.stop(Deadline.after(5))


async def test_spent_retries_are_told_and_hold_the_commit() -> None:
    bench = Bench(parallel=1)
    bench.errors[1] = deque(TransientError("t", "busy") for _ in range(9))
    bench.consumer.feed(1, 1, 1)
    await bench.pump.start()
    await until(lambda: bench.pump.failed is not None)
    turned = bench.pump.last_poll
    await asyncio.sleep(3 * TICK_S)
    assert bench.pump.last_poll == turned, "told, and stands still: whoever watches sees it if nobody stops the pump"
    await bench.pump.stop(Deadline.after(5))
    assert [(delivery.offset if delivery else None) for _, delivery in bench.told] == [1]
    assert bench.handled == [0]
    assert bench.committed == 1


async def test_a_failure_that_its_owner_takes_counts_as_done() -> None:
    bench = Bench(parallel=1, accept=True)
    bench.errors[0] = deque([ValueError("a defect")])
    bench.consumer.feed(1, 1)
    await bench.pump.start()
    await until(lambda: bench.handled == [1])
    await bench.pump.stop(Deadline.after(5))
    assert bench.pump.failed is None
    assert bench.committed == 2


async def test_a_failure_that_cannot_be_told_now_is_told_later() -> None:
    bench = Bench(parallel=1)
    bench.tell_errors = deque([TransientError("t", "no broker")])
    bench.errors[0] = deque([TerminalError("x", "bad")])
    bench.consumer.feed(1)
    await bench.pump.start()
    await until(lambda: len(bench.told) == 1)
    await bench.pump.stop(Deadline.after(5))


async def test_a_wait_of_the_handler_that_is_cancelled_does_not_vanish() -> None:
    bench = Bench(parallel=1)
    bench.errors[0] = deque([asyncio.CancelledError()])  # type: ignore[list-item]
    bench.consumer.feed(1)
    await bench.pump.start()
    await until(lambda: len(bench.told) == 1)
    error = bench.told[0][0]
    assert isinstance(error, TransientError)
    await bench.pump.stop(Deadline.after(5))


async def test_a_rebalance_lets_running_work_finish_and_commits_it() -> None:
    bench = Bench()
    bench.gate.clear()
    bench.consumer.feed(1, 1)
    await bench.pump.start()
    await until(lambda: len(bench.entered) == 2)
    asyncio.get_running_loop().call_later(0.1, bench.gate.set)
    await bench.consumer.rebalance()
    assert bench.committed == 2
    await bench.pump.stop(Deadline.after(5))


async def test_a_redelivery_of_what_still_runs_is_not_handled_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace_shared.dataplane.pump.REVOKE_GRACE_S", 0.05)
    bench = Bench(parallel=3)
    bench.gate.clear()
    bench.consumer.feed(1, 1)
    await bench.pump.start()
    await until(lambda: len(bench.entered) == 2)
    await bench.consumer.rebalance()
    assert bench.consumer.commits == []
    bench.consumer.feed(1, 1, 1)
    await until(lambda: bench.entered == [0, 1, 2])
    bench.gate.set()
    await until(lambda: bench.committed == 3)
    assert sorted(bench.handled) == [0, 1, 2]
    await bench.pump.stop(Deadline.after(5))


async def test_a_refused_commit_is_offered_again() -> None:
    bench = Bench()
    bench.consumer.refusals = deque([CommitFailedError(), KafkaError("anything")])
    bench.consumer.feed(1)
    await bench.pump.start()
    await until(lambda: bench.committed == 1)
    await bench.pump.stop(Deadline.after(5))


async def test_a_group_without_commit_begins_at_the_beginning() -> None:
    bench = Bench()
    bench.consumer.fed.append(NoOffsetForPartitionError(PLACE))
    bench.consumer.feed(1)
    await bench.pump.start()
    await until(lambda: bench.handled == [0])
    assert bench.consumer.begun == [PLACE]
    await bench.pump.stop(Deadline.after(5))


async def test_a_stale_position_goes_back_to_the_commit() -> None:
    bench = Bench()
    bench.consumer.stored, bench.consumer.held = 40, (30, 50)
    bench.consumer.fed.append(OffsetOutOfRangeError({PLACE: 20}))
    bench.consumer.feed(1, first=40)
    await bench.pump.start()
    await until(lambda: bench.handled == [40])
    assert bench.consumer.seeks == [(PLACE, 40)]
    assert not bench.told
    await bench.pump.stop(Deadline.after(5))


@pytest.mark.parametrize("held", [(30, 50), (0, 10)])
async def test_a_commit_that_kafka_does_not_hold_is_terminal(held: tuple[int, int]) -> None:
    bench = Bench()
    bench.consumer.stored, bench.consumer.held = 20, held
    bench.consumer.fed.append(OffsetOutOfRangeError({PLACE: 20}))
    bench.consumer.feed(1, first=30)
    await bench.pump.start()
    await until(lambda: bool(bench.told))
    error, delivery = bench.told[0]
    assert isinstance(error, TailraceError)
    assert (error.code, delivery) == ("kafka.records-missing", None)
    await asyncio.sleep(0.05)
    assert bench.handled == []
    assert bench.pump.failed is error
    await bench.pump.stop(Deadline.after(5))


async def test_a_forbidden_group_is_told_and_a_broken_consumer_replaced() -> None:
    bench = Bench()
    bench.consumer.fed.append(GroupAuthorizationFailedError("group"))
    await bench.pump.start()
    await until(lambda: bool(bench.told))
    error = bench.told[0][0]
    assert isinstance(error, TerminalError)
    assert error.code == "kafka.forbidden"
    await bench.pump.stop(Deadline.after(5))

    broken, sound = FakeConsumer(), FakeConsumer()
    bench = Bench(broken, sound)
    broken.feed(1)
    broken.fed.append(KafkaError("Unexpected error during coordination"))
    sound.feed(1, 1)
    await bench.pump.start()
    await until(lambda: bench.handled[-2:] == [0, 1] and broken.stopped)
    await until(lambda: bool(sound.commits))
    assert sound.commits[-1] == {PLACE: 2}
    await bench.pump.stop(Deadline.after(5))


async def test_stop_abandons_what_does_not_finish_and_commits_the_prefix() -> None:
    bench = Bench()
    bench.consumer.feed(1)
    await bench.pump.start()
    await until(lambda: bench.handled == [0])
    bench.gate.clear()
    bench.consumer.feed(1, first=1)
    await until(lambda: bench.entered == [0, 1])
    began = time.monotonic()
    await bench.pump.stop(Deadline.after(0.4))
    assert time.monotonic() - began < 2
    assert bench.committed == 1
    assert bench.handled == [0]


async def test_a_retry_in_its_pause_ends_with_the_stop() -> None:
    bench = Bench(parallel=1)
    bench.pump._retry = RetrySchedule(first_s=60)
    bench.errors[0] = deque([TransientError("t", "busy")])
    bench.consumer.feed(1)
    await bench.pump.start()
    await until(lambda: bench.pump.retries == 1)
    began = time.monotonic()
    await bench.pump.stop(Deadline.after(10))
    assert time.monotonic() - began < 2
    assert bench.consumer.commits == []
    assert not bench.told


async def test_a_defect_in_the_pump_stops_its_clock() -> None:
    bench = Bench()
    bench.consumer.fed.append(ZeroDivisionError())
    await bench.pump.start()
    await until(lambda: isinstance(bench.pump.failed, ZeroDivisionError))
    turned = bench.pump.last_poll
    await asyncio.sleep(0.6)
    assert bench.pump.last_poll == turned
    await bench.pump.stop(Deadline.after(5))
