"""Where a lane ends, by what Kafka holds: whoever takes the capture over goes on there."""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka import TopicPartition

from tailrace_reader.capture.record import Tail
from tailrace_shared.changes.head import ChangeHead, change_head_of
from tailrace_shared.deadline import Deadline
from tailrace_shared.kafka import Kafka
from tailrace_shared.kafka import map_error as map_kafka_error
from tailrace_shared.kafka.errors import FOREIGN

LOOK_BACK = 64
"""Records that are looked through: the newest are not always the last, since a former capture may still have said something."""
LEAVE_S = 3.0
GENERATION = 1 << 32
"""Sequence numbers of one capture; each begins at the next multiple, so that what a former one says late is told apart."""


class Kept(NamedTuple):
    """A record on Kafka, as far as it matters that the destination may lack it."""

    last: int
    """Once the destination is there, nobody needs it. Of a transaction that was left unfinished and is captured anew: where the
    lane goes without it."""
    bytes: int
    committed_us: int
    """When its first transaction was committed; 0: it has none, or it is not known."""
    previous: int
    """Up to where the lane goes before it."""
    tables: tuple[int, ...] | None
    """Plan numbers; None: nobody has looked."""


class LaneEnd(NamedTuple):
    """How far a lane goes, and what of it is on Kafka."""

    tail: Tail
    kept: tuple[Kept, ...]
    """Records that were looked at, oldest first; those before them are estimated, as one."""
    plan: str = ""
    """Digest of the plan by which its last record was made."""
    timeline: int = 0
    """The latest that a record names."""


async def lane_end(kafka: Kafka, topic: str, key: str, start: int) -> LaneEnd:
    """Read the end of ``changes``. ``start``: the slot's beginning, where the lane ends as long as it holds nothing of the attempt,
    which the id of its data key tells.

    Raises as ``tailrace_shared.kafka`` maps errors.
    """
    place = TopicPartition(topic, 0)
    consumer = kafka.consumer(group=None, auto_offset_reset="earliest")
    consumer.assign([place])
    try:
        await consumer.start()
        begin = (await consumer.beginning_offsets([place]))[place]
        end = (await consumer.end_offsets([place]))[place]
        at = max(begin, end - LOOK_BACK)
        before = at - begin
        consumer.seek(place, at)
        seen: list[tuple[ChangeHead, int]] = []
        while at < end:
            at = await _take(consumer, place, key, at, seen)
    except FOREIGN as error:
        raise map_kafka_error(error, kafka.settings, f"reading {topic}") from None
    finally:
        await kafka.release(consumer, Deadline.after(LEAVE_S))
    return end_of(seen, before, start)


def end_of(seen: list[tuple[ChangeHead, int]], before: int, start: int) -> LaneEnd:
    """From the records that were looked at (heads and sizes, in the order of the lane) and how many lie before them. Pure.

    The lane goes as far as any of them: a former capture's record may come behind those of its successor, and says less. Where the
    last transaction is unfinished it is captured anew from its beginning.
    """
    if not seen:
        return LaneEnd(Tail(0, start, start), ())
    last = max(head.last if head.final else head.previous for head, _ in seen)
    end = max(head.end for head, _ in seen)
    generation = max(head.sequence for head, _ in seen) // GENERATION + 1
    # A budget that waited for pieces of an unfinished transaction would wait for ever: what completes it is behind the budget.
    kept = [Kept(min(head.last, last), size, head.first_time, head.previous, head.tables) for head, size in seen]
    if before:
        kept.insert(0, Kept(kept[0].last, before * sum(size for _, size in seen) // len(seen), 0, start, None))
    timeline = max(head.timeline for head, _ in seen)
    plan = max(seen, key=lambda one: one[0].sequence)[0].plan
    return LaneEnd(Tail(generation * GENERATION, max(last, start), max(end, start)), tuple(kept), plan, timeline)


async def _take(consumer: Any, place: TopicPartition, key: str, at: int, seen: list[tuple[ChangeHead, int]]) -> int:
    polled = await consumer.getmany(place, timeout_ms=1000)
    for record in [r for records in polled.values() for r in records]:
        at = record.offset + 1
        head = change_head_of(record.headers)
        if head.key == key:
            seen.append((head, len(record.value or b"")))
    return at
