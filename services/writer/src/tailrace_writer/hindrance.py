"""A writer that cannot write: batches are tried again for ever, and that is said, in the log and in the run's own words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import structlog

from tailrace_shared.errors import TailraceError
from tailrace_shared.postgres import translated
from tailrace_writer.destinations import Destination

AFTER = 5
"""Failures in a row, over all batches in hand, that are no passing matter any more."""
EVERY_S = 60.0
NOTE_S = 5.0
"""Saying so in the destination must not hold up the batches: it may be the destination that hangs."""

_NOTE = """
INSERT INTO tailrace.replica (run, replica, service, hindrance)
SELECT run, $2, 'writer', $3 FROM tailrace.run WHERE run = $1 AND state NOT IN ('done', 'failed', 'cancelled')
ON CONFLICT (run, replica) DO UPDATE SET hindrance = excluded.hindrance, seen_at = clock_timestamp()
"""

log = structlog.get_logger()


class Hindrance:
    """What keeps this writer's batches of one run from being applied."""

    def __init__(
        self, run: str, replica: str, destination: Destination, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run, self._replica, self._destination, self._clock = run, replica, destination, clock
        self._failures = 0
        self._said_at: float | None = None
        """Since when a failure is on record, and when it was last said."""

    async def failed(self, error: TailraceError) -> None:
        """A batch will be tried again."""
        self._failures += 1
        now = self._clock()
        if self._failures < AFTER or (self._said_at is not None and now - self._said_at < EVERY_S):
            return
        self._said_at = now
        log.warning("batch.hindered", run=self._run, code=error.code, message=error.message, failures=self._failures)
        await self._note(f"{error.code}: {error.message}")

    async def passed(self) -> None:
        """A batch went through."""
        self._failures = 0
        if self._said_at is not None:
            self._said_at = None
            await self._note("")

    async def _note(self, hindrance: str) -> None:
        """Where the leader looks. What cannot be written there is in the log; what cannot be erased grows old."""
        with suppress(TailraceError, TimeoutError):
            async with asyncio.timeout(NOTE_S):
                connection = await self._destination.connect()
                try:
                    with translated():
                        await connection.execute(_NOTE, self._run, self._replica, hindrance)
                finally:
                    connection.terminate()
