"""The right to capture from a slot: a session lock in the source, and what is done about a holder that has stopped.

A process that is stopped, or whose network is cut, keeps its sessions: the kernel or nobody answers for it. So whoever holds the
lock asks its session something every second, and a session with the lock that has been silent for too long is ended by those who
wait; so is the stream that it has left open, since a slot serves one session.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg

from tailrace_shared.errors import TailraceError, TransientError
from tailrace_shared.postgres import translated

STAND_S = 1.0
"""A candidate looks this often whether the lease is free."""
KEEP_S = 1.0
ASK_S = 30.0
"""A source that takes longer for a word about itself does not answer any more."""
_KEY = "(l.classid::bigint << 32 | l.objid::bigint) = $1::bigint AND l.objsubid = 1"
_END_SILENT = f"""
SELECT pg_catalog.pg_terminate_backend(l.pid) FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND {_KEY} AND a.datname = pg_catalog.current_database()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND a.state = 'idle' AND a.state_change < clock_timestamp() - make_interval(secs => $2)
"""
_END_STREAM = """
SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots
WHERE slot_name = $1 AND active_pid IS NOT NULL
"""


class Lease:
    """One candidate's session. ``take`` returns with the lock; then it is kept until ``leave`` or until the session is lost."""

    def __init__(self, connection: asyncpg.Connection, slot: str, stale_s: float) -> None:
        self._connection = connection
        self._slot = slot
        self._stale_s = stale_s
        self._one_at_a_time = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None

    async def take(self, turned: Callable[[], None]) -> None:
        """Wait for the lock, and see that nobody else streams. ``turned`` is called at every look.

        Raises as ``tailrace_shared.postgres`` maps errors.
        """
        key = int.from_bytes(hashlib.blake2b(self._slot.encode(), digest_size=8).digest(), "big", signed=True)
        with translated():
            while not await self._connection.fetchval("SELECT pg_catalog.pg_try_advisory_lock($1)", key):
                turned()
                with contextlib.suppress(
                    asyncpg.InsufficientPrivilegeError
                ):  # of another role: left to its administrator
                    await self._connection.fetch(_END_SILENT, key, self._stale_s)
                await asyncio.sleep(STAND_S)
            with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
                await self._connection.fetch(_END_STREAM, self._slot)
        self._keeping = asyncio.create_task(self._keep(), name=f"lease of {self._slot}")

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[asyncpg.Connection]:
        """The session, for short questions. Raises TransientError when the source does not answer in time."""
        try:
            async with asyncio.timeout(ASK_S), self._one_at_a_time:
                yield self._connection
        except TimeoutError:
            raise TransientError("capture.silent", "the source does not say how its slot is") from None

    def check(self) -> None:
        """Raises what has become of the session, if it is lost: somebody else may have the lease."""
        if self._keeping is not None and self._keeping.done():
            self._keeping.result()

    async def leave(self) -> None:
        """Keep it no longer; the lock goes with the session."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            try:
                async with self.asking() as connection:
                    with translated():
                        await connection.fetchval("SELECT 1")
            except TailraceError as error:
                raise TransientError(
                    "capture.lease-lost", f"the session with the lease is lost: {error.message}"
                ) from None
