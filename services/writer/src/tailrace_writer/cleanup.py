"""After a run's end: members leave, then its topics go. And the janitor, for what a writer that died has left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tailrace_shared import topics
from tailrace_shared.deadline import Deadline
from tailrace_shared.kafka import Kafka, translated
from tailrace_shared.messages import ServiceName
from tailrace_shared.topics import RunTopic, topics_of
from tailrace_writer.lane.replay import Consumed, ReplayWindow

GROUPS: tuple[tuple[ServiceName, RunTopic], ...] = (
    ("reader", "work"),
    ("generator", "raw"),
    ("generator", "orders"),
    ("writer", "masked"),
)
"""Who consumes what of a run."""
CHANGES: tuple[ServiceName, RunTopic] = ("generator", "changes")
"""The same of a continuous run. Who owns its lane is in no group: the lane's row says how far the destination is."""
TAIL_RECORDS = 64
"""Newest records of ``changes`` that always stay: whoever takes the capture over looks there for the lane's end."""
_LOOK_S = 0.25


async def delete_topics(kafka: Kafka, namespace: str, run: str, wait_s: float) -> int:
    """Delete a finished run's topics once its groups are empty, or after ``wait_s``; how many members had not left.

    A client that is still there would ask for a deleted topic for ever. Raises TransientError; again is fine.
    """
    names = {topics.of_run(namespace, run, topic) for topic in topics_of(continuous=True)}
    deadline = Deadline.after(wait_s)
    async with kafka.admin() as admin:
        there = names & await admin.topics()
        if not there:
            return 0
        while True:
            members = 0
            for service, topic in (*GROUPS, CHANGES):
                members += await admin.group_members(
                    topics.group(namespace, service, topics.of_run(namespace, run, topic))
                )
            if not members or deadline.expired:
                break
            await asyncio.sleep(_LOOK_S)
        await admin.delete_topics(there)
        return members


async def delete_consumed(kafka: Kafka, namespace: str, run: str) -> dict[ServiceName, int]:
    """Delete records that the next stage has committed: the disk that a run takes stays bounded.

    Returns how many records each stage has before it: those that its group has not committed.
    """
    behind: dict[ServiceName, int] = {}
    async with kafka.admin() as admin:
        for service, topic in GROUPS:
            name = topics.of_run(namespace, run, topic)
            committed = await admin.committed(topics.group(namespace, service, name))
            consumed = {place: offset for place, offset in committed.items() if place[0] == name and offset > 0}
            begin, end = await admin.begin_offsets([name]), await admin.end_offsets([name])
            behind[service] = behind.get(service, 0) + sum(
                last - max(consumed.get(place, 0), begin.get(place, 0)) for place, last in end.items()
            )
            await admin.delete_records({p: o for p, o in consumed.items() if o > begin.get(p, 0)})
    return behind


async def delete_followed(
    kafka: Kafka, namespace: str, run: str, window: ReplayWindow, made: int, applied: int
) -> dict[ServiceName, int]:
    """The same for a continuous run's lane: masked by a generator, or held by the destination, and behind the window.

    ``made``: bytes that generators have made so far; ``applied``: offset of the last record that the destination holds.
    """
    changes, masked = (topics.of_run(namespace, run, topic) for topic in topics.LANE_TOPICS)
    async with kafka.admin() as admin:
        committed = await admin.committed(topics.group(namespace, CHANGES[0], changes))
        begin, end = await admin.begin_offsets([changes, masked]), await admin.end_offsets([changes, masked])
        here, there = (changes, 0), (masked, 0)
        consumed = Consumed(committed.get(here, 0), applied + 1)
        due = window.look(made, consumed)
        before = {here: min(due.changes, end[here] - TAIL_RECORDS), there: min(due.masked, end[there])}
        await admin.delete_records({place: offset for place, offset in before.items() if offset > begin[place]})
        return {
            "generator": end[here] - max(consumed.changes, begin[here]),
            "writer": end[there] - max(consumed.masked, begin[there]),
        }


async def trim_facts(kafka: Kafka, namespace: str) -> None:
    """Delete facts that are in the tables; unread ones stay, however long the writers are away."""
    facts = topics.facts(namespace)
    async with kafka.admin() as admin:
        committed = await admin.committed(topics.group(namespace, "writer", facts))
        await admin.delete_records(
            {place: offset for place, offset in committed.items() if place[0] == facts and offset}
        )


async def forget_records(kafka: Kafka, namespace: str, runs: Iterable[str]) -> None:
    """Remove records of runs from the topic of records: compaction takes what was there before a message without a value.

    Any writer may, and again is fine. Raises TransientError.
    """
    topic = topics.jobs(namespace)
    producer = kafka.producer(topics.CONTROL_MESSAGE_BYTES)
    with translated(kafka.settings, f"publishing to {topic}"):
        await producer.start()
        try:
            for run in runs:
                await producer.send_and_wait(topic, None, key=run.encode())
        finally:
            await producer.stop()


async def sweep(kafka: Kafka, namespace: str, finished: set[str]) -> set[str]:
    """Delete topics of runs that were read to be over; topics of unknown runs stay. Returns the runs that had any."""
    async with kafka.admin() as admin:
        left = {run for name in await admin.topics() if (run := topics.run_of(namespace, name)) in finished}
    for run in left:
        await delete_topics(kafka, namespace, run, wait_s=10.0)
    return {run for run in left if run is not None}
