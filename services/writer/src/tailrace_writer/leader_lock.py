"""Who leads a run: the writer whose session holds the run's advisory lock, and whose epoch the run's row has.

The session does heartbeat and compare-and-set only, so that no long statement keeps the heartbeat waiting. A stopped holder
keeps its lock: a challenger that finds the heartbeat stale twice in a row, by the database's clock, ends that session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import structlog

from tailrace_shared.errors import TailraceError
from tailrace_shared.postgres import translated
from tailrace_writer.destinations import Destination
from tailrace_writer.lock_keys import lock_key
from tailrace_writer.state.moves import Deposed, NoRow, Seat
from tailrace_writer.terminate import terminate_lock_holder, terminate_replica

T = TypeVar("T")
USE_S = 30.0
"""A short statement that takes longer runs on a session that nobody answers on any more, or in a stopped server."""

log = structlog.get_logger()


class LeaderLock:
    """A held leadership. ``lost`` is set when it is no longer certain."""

    def __init__(self, connection: asyncpg.Connection, run: str, epoch: int) -> None:
        self.run = run
        self.epoch = epoch
        self.lost = asyncio.Event()
        self._connection = connection
        self._turn = asyncio.Lock()
        self._beats: asyncio.Task[None] | None = None

    def seat(self, attempt: int) -> Seat:
        """What a change of state proves itself by."""
        return Seat(self.run, self.epoch, attempt)

    async def use(self, call: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run a short statement on the lock's session. Raises Deposed when the leadership is gone."""
        if self.lost.is_set():
            raise Deposed(self.run)
        try:
            async with asyncio.timeout(USE_S), self._turn:
                with translated():
                    return await call(self._connection)
        except TimeoutError:
            self.lost.set()
            raise Deposed(self.run) from None

    def start(self, every_s: float) -> None:
        """Begin the heartbeat."""
        self._beats = asyncio.create_task(self._beat(every_s), name=f"leader beat {self.run}")

    async def close(self) -> None:
        """Let the lock go: the session ends."""
        self.lost.set()
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)
        self._connection.terminate()

    async def _beat(self, every_s: float) -> None:
        try:
            while True:
                status = await self.use(
                    lambda c: c.execute(
                        "UPDATE tailrace.run SET heartbeat = clock_timestamp() WHERE run = $1 AND epoch = $2",
                        self.run, self.epoch,
                    )
                )  # fmt: skip
                if status != "UPDATE 1":
                    return
                await asyncio.sleep(every_s)
        except TailraceError as error:
            log.warning("leader.lock-lost", run=self.run, code=error.code)
        finally:
            self.lost.set()


async def take_lead(
    destination: Destination, run: str, replica: str, *, heartbeat_s: float, stale_s: float, wanted: Callable[[], bool]
) -> LeaderLock | None:
    """Wait until this writer leads the run; None when it is no longer ``wanted``.

    Raises the mapped driver error; NoRow when the destination does not know the run.
    """
    connection = await destination.connect()
    try:
        with translated():
            stale_before = False
            while wanted():
                if await connection.fetchval(f"SELECT pg_catalog.pg_try_advisory_lock({lock_key('leader', run)})"):
                    lock = await _seated(connection, run, replica, stale_s)
                    lock.start(heartbeat_s)
                    return lock
                stale = await connection.fetchval(
                    "SELECT heartbeat < clock_timestamp() - make_interval(secs => $2) FROM tailrace.run WHERE run = $1",
                    run, stale_s,
                )  # fmt: skip
                if stale and stale_before:
                    ended = await terminate_lock_holder(connection, lock_key("leader", run))
                    log.warning("leader.challenged", run=run, ended=ended)
                    stale_before = False
                else:
                    stale_before = bool(stale)
                await asyncio.sleep(min(1.0, heartbeat_s))
    except BaseException:
        connection.terminate()
        raise
    connection.terminate()
    return None


async def lead_silent(
    destination: Destination, run: str, replica: str, *, heartbeat_s: float, stale_s: float, silent_s: float
) -> LeaderLock | None:
    """Lead a run that nobody leads: its lock is free, it is not over, and its heartbeat has been silent for ``silent_s``.

    None, and nothing is touched, where any of that is not so. Raises the mapped driver error.
    """
    connection = await destination.connect()
    try:
        with translated():
            if await connection.fetchval(f"SELECT pg_catalog.pg_try_advisory_lock({lock_key('leader', run)})"):
                # Under the lock: a leader may have come and gone since the run was judged.
                silent = await connection.fetchval(
                    "SELECT true FROM tailrace.run WHERE run = $1 AND state NOT IN ('done', 'failed', 'cancelled') "
                    "AND heartbeat < clock_timestamp() - make_interval(secs => $2)",
                    run, silent_s,
                )  # fmt: skip
                if silent:
                    lock = await _seated(connection, run, replica, stale_s)
                    lock.start(heartbeat_s)
                    return lock
    except BaseException:
        connection.terminate()
        raise
    connection.terminate()
    return None


async def _seated(connection: asyncpg.Connection, run: str, replica: str, stale_s: float) -> LeaderLock:
    """Raise the epoch; a former leader that is not alive any more loses its other sessions, too."""
    row = await connection.fetchrow(
        "UPDATE tailrace.run new SET leader = $2, epoch = new.epoch + 1, heartbeat = clock_timestamp() "
        "FROM tailrace.run old LEFT JOIN tailrace.replica r ON r.run = '' AND r.replica = old.leader "
        "WHERE old.run = new.run AND new.run = $1 RETURNING new.epoch, old.leader AS former, "
        "r.seen_at < clock_timestamp() - make_interval(secs => $3) AS stale",
        run, replica, stale_s,
    )  # fmt: skip
    if row is None:
        raise NoRow(run)
    if row["stale"] and row["former"] not in ("", replica):
        await terminate_replica(connection, row["former"])
    return LeaderLock(connection, run, row["epoch"])
