"""Bringing back what was dropped: each statement with its done mark in one transaction, whoever leads.

A step's own advisory lock makes two leaders at once harmless: the second finds the statement done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import structlog

from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TerminalError
from tailrace_shared.postgres import translated
from tailrace_writer.destinations import Destination
from tailrace_writer.lock_keys import lock_key
from tailrace_writer.state.moves import Deposed, Seat

log = structlog.get_logger()

_KINDS = (
    "index", "create-index", "create-attach", "foreign-key", "create-foreign-key", "trigger", "append", "create-rest",
)  # fmt: skip
"""Indexes first: validating a foreign key wants them. Triggers last: nothing of ours may fire one. A staging table, which goes,
is in nobody's way."""


@dataclass(frozen=True, slots=True)
class Step:
    attempt: int
    number: int
    kind: str
    name: str
    rebuild: tuple[str, ...]
    rebuilt: int


async def rebuild(
    destination: Destination, seat: Seat, *, parallel: int, lock_timeout_s: float, tolerant: bool,
    without: frozenset[str] = frozenset(),
) -> list[str]:  # fmt: skip
    """Rebuild everything that is not rebuilt, but for some kinds; names of the things that cannot be.

    ``tolerant`` (after a failure): what the server refuses is noted and left, so that the run can end and say so; else the
    first refusal is raised, mapped. Transient trouble is always raised: the caller tries again.
    """
    connection = await destination.connect()
    try:
        steps = await _undone(connection, seat.run)
    finally:
        connection.terminate()
    for kind in (k for k in _KINDS if k not in without):
        waiting = [s for s in steps if s.kind == kind]
        width = parallel if "index" in kind else 1  # two foreign keys at once can deadlock on the tables they share
        await _in_parallel(waiting, width, destination, _worker(seat, lock_timeout_s, tolerant))
    connection = await destination.connect()
    try:
        with translated():
            rows = await connection.fetch(
                "SELECT kind, name, trouble FROM tailrace.ddl WHERE run = $1 AND trouble <> ''", seat.run
            )
    finally:
        connection.terminate()
    return [f"{row['kind']} {row['name']}: {row['trouble']}" for row in rows]


Work = Callable[[asyncpg.Connection, Step], Awaitable[None]]


async def _in_parallel(steps: list[Step], width: int, destination: Destination, work: Work) -> None:
    waiting = list(reversed(steps))

    async def worker() -> None:
        connection = await destination.connect()
        try:
            while waiting:
                await work(connection, waiting.pop())
        finally:
            connection.terminate()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(steps))):
                group.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _worker(seat: Seat, lock_timeout_s: float, tolerant: bool) -> Work:
    async def work(connection: asyncpg.Connection, step: Step) -> None:
        try:
            for position in range(step.rebuilt, len(step.rebuild)):
                with translated():
                    await _statement(connection, seat, step, position, lock_timeout_s)
                crash_point("leader.mid-rebuild")
        except TerminalError as error:
            log.warning("rebuild.refused", run=seat.run, kind=step.kind, name=step.name, code=error.code)
            if not tolerant:
                made = step.kind.startswith("create")
                what = f"{step.name} cannot be made" if made else f"{step.kind} {step.name} cannot be rebuilt"
                raise TerminalError("finish.rebuild", f"{what}: {error.message}", error.remedy) from None
            with translated():
                await connection.execute(
                    "UPDATE tailrace.ddl SET trouble = $4 WHERE run = $1 AND attempt = $2 AND number = $3",
                    seat.run, step.attempt, step.number, error.message,
                )  # fmt: skip

    return work


async def _statement(
    connection: asyncpg.Connection, seat: Seat, step: Step, position: int, lock_timeout_s: float
) -> None:
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}")
        key = lock_key("rebuild", f"{seat.run}/{step.attempt}", step.number)
        await connection.execute(f"SELECT pg_catalog.pg_advisory_xact_lock({key})")
        epoch = await connection.fetchval("SELECT epoch FROM tailrace.run WHERE run = $1", seat.run)
        if epoch != seat.epoch:
            raise Deposed(seat.run)
        rebuilt = await connection.fetchval(
            "SELECT rebuilt FROM tailrace.ddl WHERE run = $1 AND attempt = $2 AND number = $3",
            seat.run, step.attempt, step.number,
        )  # fmt: skip
        if rebuilt != position:
            return
        await connection.execute(step.rebuild[position])
        await connection.execute(
            "UPDATE tailrace.ddl SET rebuilt = $4 WHERE run = $1 AND attempt = $2 AND number = $3",
            seat.run, step.attempt, step.number, position + 1,
        )  # fmt: skip


async def _undone(connection: asyncpg.Connection, run: str) -> list[Step]:
    with translated():
        rows = await connection.fetch(
            "SELECT attempt, number, kind, name, rebuild, rebuilt FROM tailrace.ddl "
            "WHERE run = $1 AND rebuilt < cardinality(rebuild) AND trouble = '' ORDER BY attempt, number",
            run,
        )
    return [Step(r["attempt"], r["number"], r["kind"], r["name"], tuple(r["rebuild"]), r["rebuilt"]) for r in rows]
