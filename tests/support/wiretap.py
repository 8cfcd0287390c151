"""Somebody who reads along: every record of every topic of a namespace, from its first to the deletion of its topic."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tailrace_shared.errors import TailraceError
from tailrace_shared.kafka import Kafka

LOOK_S = 0.05
"""Pause between looks for new topics. A run's topics live for seconds, and stay until its last record is applied."""
END_S = 20.0


@dataclass(frozen=True)
class Heard:
    """One record."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def kind(self) -> str:
        """``raw`` of ``<namespace>.raw.<run>``, ``jobs`` of ``<namespace>.jobs``."""
        return self.topic.split(".")[1]

    def everything(self) -> Iterator[bytes]:
        """All its bytes but the offsets'."""
        yield self.key
        yield self.value
        for name, value in self.headers:
            yield name.encode()
            yield value


class Wiretap:
    """Listens in a thread of its own until the ``with`` ends. ``lost`` says where a record was gone before it was read."""

    def __init__(self, kafka: Kafka, namespace: str) -> None:
        self._kafka = kafka
        self._prefix = f"{namespace}."
        self._heard: dict[str, list[Heard]] = defaultdict(list)
        self._next: dict[TopicPartition, int] = {}
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.lost: list[str] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), name="wiretap")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(END_S)
        assert not self._thread.is_alive(), "the wiretap does not end"

    def records(self, *kinds: str) -> list[Heard]:
        """What was heard so far, on topics of these kinds or on all."""
        with self._lock:
            return [r for records in self._heard.values() for r in records if not kinds or r.kind in kinds]

    async def _listen(self) -> None:
        following: dict[str, asyncio.Task[None]] = {}
        async with self._kafka.admin() as admin:
            while not self._ended.is_set():
                with suppress(TailraceError):
                    for topic in await admin.topics():
                        if topic.startswith(self._prefix) and topic not in following:
                            following[topic] = asyncio.create_task(self._follow(topic))
                await asyncio.sleep(LOOK_S)
            await asyncio.sleep(4 * LOOK_S)  # what was acknowledged a moment ago
        for task in following.values():
            task.cancel()
        for done in await asyncio.gather(*following.values(), return_exceptions=True):
            assert done is None or isinstance(done, asyncio.CancelledError | KafkaError | TailraceError), done

    async def _follow(self, topic: str) -> None:
        """Read a topic until it is deleted."""
        consumer = self._kafka.consumer(topic, group=None)
        await consumer.start()
        try:
            await consumer.seek_to_beginning()
            while True:
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    for message in messages:
                        self._note(message)
        finally:
            with suppress(KafkaError):
                await consumer.stop()

    def _note(self, message: ConsumerRecord[bytes, bytes]) -> None:
        place = TopicPartition(message.topic, message.partition)
        with self._lock:
            if message.offset > self._next.get(place, 0):
                self.lost.append(f"{message.topic}/{message.partition} before {message.offset}")
            self._next[place] = message.offset + 1
            self._heard[message.topic].append(
                Heard(
                    message.topic,
                    message.partition,
                    message.offset,
                    bytes(message.key or b""),
                    bytes(message.value or b""),
                    tuple((name, bytes(value)) for name, value in message.headers),
                )
            )
