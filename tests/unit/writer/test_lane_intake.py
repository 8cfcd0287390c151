"""A lane's records are read ahead within bounds, in order, and what goes wrong is told to whoever asks for more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition

from tailrace_writer.lane.intake import AHEAD_BYTES, Intake

PLACE = TopicPartition("lane", 0)
DEADLINE_S = 10.0


class Kept(NamedTuple):
    """A record."""

    offset: int
    value: bytes


class LaneOnKafka:
    """A consumer of a partition with records of equal size; ``fails`` is raised where they end."""

    def __init__(self, records: int, size: int, fails: Exception | None = None) -> None:
        self.records = records
        self.size = size
        self.fails = fails
        self.position = 0

    def seek(self, place: TopicPartition, offset: int) -> None:
        assert place == PLACE
        self.position = offset

    async def getmany(self, place: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Kept]]:
        if self.position < self.records:
            await asyncio.sleep(0)
            self.position += 1
            return {PLACE: [Kept(self.position - 1, bytes(self.size))]}
        if self.fails is not None:
            raise self.fails
        await asyncio.sleep(timeout_ms / 1000)
        return {}


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not check():
            await asyncio.sleep(0)


async def taken(intake: Intake, count: int) -> list[int]:
    """Offsets of the next so many records."""
    found: deque[Any] = deque()
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            found.extend(await intake.take(count - len(found), 1.0))
    return [record.offset for record in found]


async def test_records_come_in_order_from_where_it_was_set() -> None:
    intake = Intake(LaneOnKafka(20, 10), PLACE)
    await intake.seek(5)
    assert await taken(intake, 3) == [5, 6, 7]
    assert await taken(intake, 12) == list(range(8, 20))
    assert await intake.take(4, 0.01) == []
    await intake.close()


async def test_it_reads_ahead_up_to_its_bytes_and_goes_on_when_some_are_taken() -> None:
    size = AHEAD_BYTES // 4
    lane = LaneOnKafka(20, size)
    intake = Intake(lane, PLACE)
    await intake.seek(0)
    await eventually(lambda: lane.position == 4)
    for _ in range(100):
        await asyncio.sleep(0)
    assert lane.position == 4
    assert await taken(intake, 2) == [0, 1]
    await eventually(lambda: lane.position == 6)
    await intake.close()


async def test_what_was_read_ahead_is_forgotten_when_it_is_set_anew() -> None:
    lane = LaneOnKafka(20, 10)
    intake = Intake(lane, PLACE)
    await intake.seek(0)
    await eventually(lambda: lane.position > 6)
    await intake.seek(2)
    assert await taken(intake, 2) == [2, 3]
    await intake.close()


async def test_what_reading_has_raised_is_raised_after_the_records_before_it() -> None:
    intake = Intake(LaneOnKafka(2, 10, OSError("gone")), PLACE)
    await intake.seek(0)
    assert await taken(intake, 2) == [0, 1]
    with pytest.raises(OSError, match="gone"):
        await intake.take(1, 1.0)
    await intake.close()
