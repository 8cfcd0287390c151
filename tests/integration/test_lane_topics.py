"""The disk that a followed source takes on Kafka stays bounded while changes pass, and the lane's end stays to be found."""

from __future__ import annotations

import os
from typing import Any

from aiokafka import TopicPartition
from ulid import ULID

from tailrace.embedded.runtime import Runtime
from tailrace_shared import topics
from tailrace_shared.kafka import Admin, Kafka, KafkaSettings
from tailrace_writer.cleanup import TAIL_RECORDS, delete_followed
from tailrace_writer.lane.replay import ReplayWindow

RECORD = 10_000
KEEP = 40 * RECORD


async def test_consumed_changes_go_behind_the_replay_window_and_the_newest_stay(runtime: Runtime) -> None:
    kafka = Kafka(KafkaSettings(brokers=runtime.kafka_settings["TAILRACE_KAFKA"]))
    run, namespace = str(ULID()), "lanes"
    changes, masked = (topics.of_run(namespace, run, topic) for topic in topics.LANE_TOPICS)
    window, made, applied = ReplayWindow(KEEP), 0, -1
    async with kafka.admin() as admin:
        await admin.create_topics({name: (1, topics.run_settings(1 << 20)) for name in (changes, masked)})
        try:
            for _ in range(10):
                await pass_by(kafka, namespace, (changes, masked), 50)
                made, applied = made + 50 * RECORD, applied + 50
                behind = await delete_followed(kafka, namespace, run, window, made, applied)
                assert behind == {"generator": 0, "writer": 0}
                assert await held(admin, changes) <= TAIL_RECORDS + 50 + KEEP // RECORD
                assert await held(admin, masked) <= 50 + KEEP // RECORD
            assert await held(admin, changes) >= TAIL_RECORDS
            assert await held(admin, masked) >= KEEP // RECORD

            # A destination that takes nothing more: what it lacks stays, whatever a generator has had.
            for _ in range(5):
                await pass_by(kafka, namespace, (changes, masked), 50)
                made += 50 * RECORD
                behind = await delete_followed(kafka, namespace, run, window, made, applied)
            assert behind == {"generator": 0, "writer": 250}
            assert await held(admin, masked) >= 250
        finally:
            await admin.delete_topics([changes, masked])


async def pass_by(kafka: Kafka, namespace: str, names: tuple[str, str], records: int) -> None:
    """So many records on both topics; the generators' group has taken those of the first."""
    changes, masked = names
    producer = kafka.producer(1 << 20)
    await producer.start()
    consumer = kafka.consumer(changes, group=topics.group(namespace, "generator", changes))
    await consumer.start()
    try:
        for _ in range(records):
            for name in (changes, masked):
                await producer.send_and_wait(name, os.urandom(RECORD), partition=0)
        place = await assigned(consumer)
        await consumer.commit({place: (await consumer.end_offsets([place]))[place]})
    finally:
        await consumer.stop()
        await producer.stop()


async def assigned(consumer: Any) -> TopicPartition:
    """The partition, once the group has given it."""
    while not consumer.assignment():
        await consumer.getmany(timeout_ms=100)
    (place,) = consumer.assignment()
    return place


async def held(admin: Admin, topic: str) -> int:
    """Records that Kafka keeps."""
    begin, end = await admin.begin_offsets([topic]), await admin.end_offsets([topic])
    return end[topic, 0] - begin[topic, 0]
