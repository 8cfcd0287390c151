"""A few database sessions that a run's batches share; one that broke is replaced when it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tailrace_writer.destinations import Destination


class Sessions:
    """At most ``size`` sessions, opened on first use. Bounds what a run takes of the destination's connections."""

    def __init__(self, destination: Destination, size: int) -> None:
        self._destination = destination
        self._idle: asyncio.Queue[asyncpg.Connection | None] = asyncio.Queue()
        for _ in range(size):
            self._idle.put_nowait(None)
        self._open: set[asyncpg.Connection] = set()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[asyncpg.Connection]:
        """A session for the caller alone. After any error it is closed, so that no transaction outlives its batch."""
        connection = await self._idle.get()
        try:
            if connection is None or connection.is_closed():
                connection = None
                connection = await self._destination.connect()
                self._open.add(connection)
            yield connection
        except BaseException:
            if connection is not None:
                self._open.discard(connection)
                connection.terminate()
                connection = None
            raise
        finally:
            self._idle.put_nowait(connection)

    def close(self) -> None:
        """Drop all sessions; what runs in them is rolled back."""
        for connection in self._open:
            connection.terminate()
        self._open.clear()
