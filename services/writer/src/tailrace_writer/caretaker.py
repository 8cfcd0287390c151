"""Ends abandoned runs: as a run ends that has failed, by a writer that knows nothing of it but its rows.

Nothing of it is published: its readers and generators are gone with its topics, and this namespace never knew it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import asyncpg
import structlog

from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.errors import TailraceError
from tailrace_shared.messages import TERMINAL_STATES, Failure
from tailrace_shared.postgres import translated
from tailrace_shared.service.context import ServiceContext
from tailrace_writer import ending
from tailrace_writer.abandoned import Unfinished, Watch, runs_with_topics
from tailrace_writer.destinations import Destination
from tailrace_writer.leader_lock import LeaderLock, lead_silent
from tailrace_writer.rebuild import rebuild
from tailrace_writer.runs import Runs
from tailrace_writer.settings import Settings
from tailrace_writer.state import moves
from tailrace_writer.state.moves import Deposed
from tailrace_writer.terminate import terminate_stale

log = structlog.get_logger()

_RETRY = RetrySchedule(first_s=0.3, limit_s=5.0, attempts=None)
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
_UNFINISHED = """
SELECT run, epoch, extract(epoch FROM clock_timestamp() - heartbeat)::float8 AS silent_s,
       state <> 'submitted' OR attempt > 1 OR tasked_at IS NOT NULL AS had_topics
FROM tailrace.run WHERE state NOT IN ('done', 'failed', 'cancelled')
"""


class Caretaker:
    """Looks after one writer's destinations, each in a task of its own."""

    def __init__(self, context: ServiceContext, settings: Settings, runs: Runs) -> None:
        self._context = context
        self._settings = settings
        self._runs = runs

    async def watch(self, destination: Destination) -> None:
        """Look at a destination again and again. Cancel it to stop; what it was ending is ended by whoever looks next."""
        watch = Watch(self._settings.abandoned_s, self._settings.stale_s)
        while True:
            try:
                for run in await self._look(destination, watch):
                    await self._end(destination, run)
            except TailraceError as error:
                watch.reset()
                log.warning("caretaker.failed", code=error.code, message=error.message)
            await asyncio.sleep(self._settings.housekeeping_s)

    async def _look(self, destination: Destination, watch: Watch) -> list[Unfinished]:
        connection = await destination.connect()
        try:
            with translated():
                now = await connection.fetchval(_NOW)
                rows = await connection.fetch(_UNFINISHED)
        finally:
            connection.terminate()
        unfinished = [Unfinished(r["run"], r["epoch"], r["silent_s"], r["had_topics"]) for r in rows]
        known = {u.run for u in unfinished if self._runs.is_over(u.run) or self._runs.get(u.run)}
        silent = watch.silent(unfinished, known, now)
        if not silent:
            return []
        async with self._context.kafka.admin() as admin:
            present = runs_with_topics(await admin.topics())
        return [u for u in silent if u.run not in present]

    async def _end(self, destination: Destination, run: Unfinished) -> None:
        lock = await lead_silent(
            destination,
            run.run,
            self._context.replica,
            heartbeat_s=self._settings.heartbeat_s,
            stale_s=self._settings.stale_s,
            silent_s=self._settings.abandoned_s,
        )
        if lock is None:
            return
        log.warning("run.abandoned", run=run.run, epoch=lock.epoch, silent_s=round(run.silent_s))
        failures = 0
        try:
            while not lock.lost.is_set():
                try:
                    await self._steps(destination, lock, run.silent_s)
                    log.info("run.abandoned-ended", run=run.run)
                    return
                except Deposed:
                    return
                except TailraceError as error:  # as with every run that is ending, it goes on trying
                    failures += 1
                    log.warning("run.abandoned-again", run=run.run, code=error.code, message=error.message)
                    if error.code == "postgres.lock":
                        await self._free(destination)
                    await asyncio.sleep(_RETRY.delay(failures, run.run) or 1.0)
        finally:
            await lock.close()

    async def _steps(self, destination: Destination, lock: LeaderLock, silent_s: float) -> None:
        """Stopping, rebuilt, failed. Each step is safe to do twice; where the run is, its row says."""
        settings = self._settings
        connection = await destination.connect()
        try:
            with translated():
                row = await connection.fetchrow(
                    "SELECT attempt, state, prepared, outcome FROM tailrace.run WHERE run = $1", lock.run
                )
            if row is None or row["state"] in TERMINAL_STATES:
                return
            seat = lock.seat(row["attempt"])
            if row["outcome"] != "cancelled":
                with translated():
                    await moves.fail(connection, seat, _abandoned(silent_s))
            if row["state"] != "stopping":
                await ending.stop(
                    connection, seat, row["state"], "failed", settings.lock_timeout_s, empty=row["prepared"]
                )
            await rebuild(
                destination,
                seat,
                parallel=settings.index_builds,
                lock_timeout_s=settings.lock_timeout_s,
                tolerant=True,
            )
            await ending.conclude(connection, seat, "cancelled" if row["outcome"] == "cancelled" else "failed")
        finally:
            connection.terminate()

    async def _free(self, destination: Destination) -> None:
        with suppress(TailraceError):
            connection: asyncpg.Connection = await destination.connect()
            try:
                await terminate_stale(connection, self._settings.stale_s)
            finally:
                connection.terminate()


def _abandoned(silent_s: float) -> Failure:
    return Failure(
        code="run.abandoned",
        message=f"abandoned: nobody has led it for {silent_s:.0f} s, and its topics do not exist any more",
        remedy="Submit the job again; what it had loaded is truncated, what it had dropped is rebuilt.",
    )
