"""Records of a lane as they arrive: read ahead while a transaction is applied, so that the next one finds all that has come."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from aiokafka import TopicPartition

AHEAD_BYTES = 8 << 20
"""Of records as they travel; one fetch on top."""
WAIT_MS = 1000
"""A poll waits that long when there is nothing; a record ends the wait."""


class Intake:
    """Reads one partition from ``seek`` on. ``consumer`` is assigned to it and started; nobody else takes records from it.

    What reading has raised is raised by ``take``. ``close`` before the consumer is stopped.
    """

    def __init__(self, consumer: Any, place: TopicPartition) -> None:
        self._consumer = consumer
        self._place = place
        self._records: deque[Any] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def seek(self, offset: int) -> None:
        """Read on from there; what was read before is forgotten."""
        await self.close()
        self._records.clear()
        self._bytes = 0
        self._consumer.seek(self._place, offset)
        self._reading = asyncio.create_task(self._read(), name="lane intake")

    async def take(self, count: int, timeout_s: float) -> list[Any]:
        """The next records, at most ``count``, none where none has come in time."""
        assert self._reading is not None
        if not self._records:
            self._news.clear()
            waiting = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait({waiting, self._reading}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        if not self._records and self._reading.done():
            self._reading.result()
        taken = [self._records.popleft() for _ in range(min(count, len(self._records)))]
        self._bytes -= sum(len(record.value or b"") for record in taken)
        self._room.set()
        return taken

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            reading, self._reading = self._reading, None
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            polled = await self._consumer.getmany(self._place, timeout_ms=WAIT_MS)
            for record in polled.get(self._place, ()):
                self._records.append(record)
                self._bytes += len(record.value or b"")
            if polled:
                self._news.set()
            while self._bytes >= AHEAD_BYTES:
                self._room.clear()
                await self._room.wait()
