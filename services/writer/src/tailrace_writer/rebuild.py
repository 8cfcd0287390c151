"""Bringing back what was dropped: each statement with its done mark in one transaction, whoever leads.

A step's own advisory lock makes two leaders at once harmless: the second finds the statement done. Steps on small tables share a
transaction, with their marks: of thousands of them, most of the time would go into transactions. Where one of such a group is
refused, they are done one by one, so that the refusal names its step and the others are done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import structlog

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TerminalError
from tailrace_shared.postgres import translated
from tailrace_writer.destinations import Destination
from tailrace_writer.lock_keys import lock_key
from tailrace_writer.sizes import GROUP_BYTES, grouped, table_bytes
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
    table: TableName
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
        tables = list(dict.fromkeys(step.table for step in steps))
        with translated():
            sizes = dict(zip(tables, await table_bytes(connection, tables), strict=True))
    finally:
        connection.terminate()
    for kind in (k for k in _KINDS if k not in without):
        waiting = [s for s in steps if s.kind == kind]
        width = parallel if "index" in kind else 1  # two foreign keys at once can deadlock on the tables they share
        groups = _by_table(waiting, sizes) if width > 1 else grouped(waiting, lambda step: sizes[step.table])
        await _in_parallel(groups, width, destination, _worker(seat, lock_timeout_s, tolerant))
    connection = await destination.connect()
    try:
        with translated():
            rows = await connection.fetch(
                "SELECT kind, name, trouble FROM tailrace.ddl WHERE run = $1 AND trouble <> ''", seat.run
            )
    finally:
        connection.terminate()
    return [f"{row['kind']} {row['name']}: {row['trouble']}" for row in rows]


def _by_table(steps: list[Step], sizes: dict[TableName, int]) -> list[list[Step]]:
    """A small table's steps in one group, since others run beside it; those of a large one each on its own."""
    by_table: dict[TableName, list[Step]] = {}
    for step in steps:
        by_table.setdefault(step.table, []).append(step)
    groups: list[list[Step]] = []
    for some in grouped(list(by_table), lambda table: sizes[table] * len(by_table[table])):
        of_group = [step for table in some for step in by_table[table]]
        large = sum(sizes[step.table] for step in of_group) > GROUP_BYTES
        groups += [[step] for step in of_group] if large else [of_group]
    return groups


Work = Callable[[asyncpg.Connection, list[Step]], Awaitable[None]]


async def _in_parallel(groups: list[list[Step]], width: int, destination: Destination, work: Work) -> None:
    waiting = list(reversed(groups))

    async def worker() -> None:
        connection = await destination.connect()
        try:
            while waiting:
                await work(connection, waiting.pop())
        finally:
            connection.terminate()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(width, len(groups))):
                group.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _worker(seat: Seat, lock_timeout_s: float, tolerant: bool) -> Work:
    async def work(connection: asyncpg.Connection, group: list[Step]) -> None:
        if len(group) > 1:
            try:
                with translated():
                    await _do(connection, seat, [(step, len(step.rebuild)) for step in group], lock_timeout_s)
                crash_point("leader.mid-rebuild")
                return
            except TerminalError as error:
                log.info("rebuild.one-by-one", run=seat.run, steps=len(group), code=error.code)
        for step in group:
            await alone(connection, step)

    async def alone(connection: asyncpg.Connection, step: Step) -> None:
        try:
            for position in range(step.rebuilt, len(step.rebuild)):
                with translated():
                    await _do(connection, seat, [(step, position + 1)], lock_timeout_s)
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


async def _do(connection: asyncpg.Connection, seat: Seat, asked: list[tuple[Step, int]], lock_timeout_s: float) -> None:
    """Bring steps as far as is said (statements done), from wherever they are, and mark it, in one transaction."""
    async with connection.transaction():
        locks = "; ".join(
            f"SELECT pg_catalog.pg_advisory_xact_lock({lock_key('rebuild', f'{seat.run}/{step.attempt}', step.number)})"
            for step, _ in asked
        )
        await connection.execute(f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}; {locks}")
        epoch = await connection.fetchval("SELECT epoch FROM tailrace.run WHERE run = $1", seat.run)
        if epoch != seat.epoch:
            raise Deposed(seat.run)
        attempts, numbers = [step.attempt for step, _ in asked], [step.number for step, _ in asked]
        rows = await connection.fetch(
            "SELECT d.attempt, d.number, d.rebuilt FROM tailrace.ddl d JOIN unnest($2::int[], $3::int[]) AS k(attempt, number) "
            "USING (attempt, number) WHERE d.run = $1",
            seat.run, attempts, numbers,
        )  # fmt: skip
        done = {(row["attempt"], row["number"]): row["rebuilt"] for row in rows}
        # One that is gone, or further already, is another leader's doing.
        due = [(step, done.get((step.attempt, step.number), until), until) for step, until in asked]
        statements = [statement for step, done_to, until in due for statement in step.rebuild[done_to:until]]
        if not statements:
            return
        await connection.execute(";\n".join(statements))
        await connection.execute(
            "UPDATE tailrace.ddl d SET rebuilt = k.until FROM unnest($2::int[], $3::int[], $4::int[]) AS k(attempt, number, until) "
            "WHERE d.run = $1 AND d.attempt = k.attempt AND d.number = k.number AND d.rebuilt < k.until",
            seat.run, attempts, numbers, [until for _, until in asked],
        )  # fmt: skip


async def _undone(connection: asyncpg.Connection, run: str) -> list[Step]:
    with translated():
        rows = await connection.fetch(
            "SELECT attempt, number, kind, schema_name, table_name, name, rebuild, rebuilt FROM tailrace.ddl "
            "WHERE run = $1 AND rebuilt < cardinality(rebuild) AND trouble = '' ORDER BY attempt, number",
            run,
        )
    return [
        Step(
            r["attempt"], r["number"], r["kind"], TableName(schema_name=r["schema_name"], name=r["table_name"]), r["name"],
            tuple(r["rebuild"]), r["rebuilt"],
        )
        for r in rows
    ]  # fmt: skip
