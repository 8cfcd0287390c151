"""The move of the mode append: everything that is staged goes into the tables that are there, in the transaction that ends the run.

Whoever dies, loses the lead or meets a row that a constraint does not admit: nothing has happened, and the tables are as they were.
"""

from __future__ import annotations

from contextlib import suppress

import asyncpg

from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TailraceError, TerminalError
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import map_error, translated
from tailrace_shared.types import quote_ident
from tailrace_shared.verify.constraints import broken_deferrable
from tailrace_shared.verify.sequences import sequence_checks
from tailrace_writer import undo
from tailrace_writer.counts import ledger_rows
from tailrace_writer.sequences import Moved, put_back, set_sequences
from tailrace_writer.staging import analyze, orphans, place, quoted
from tailrace_writer.state.moves import Seat, as_json, close_fence, move, require

_REMEDY = (
    "Nothing was changed. Remove what is in the way from the destination, or carry other rows (`where`), and run again."
)


async def finish(connection: asyncpg.Connection, seat: Seat, plan: Plan, lock_timeout_s: float) -> None:
    """finishing → verifying. Nothing was dropped: only statistics are wanting."""
    with translated():
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}")
            await require(connection, seat, "finishing")
            await analyze(connection, plan)
            await move(connection, seat, "finishing", "verifying")


async def move_and_conclude(
    connection: asyncpg.Connection, seat: Seat, plan: Plan, checks: list[Check], lock_timeout_s: float
) -> None:
    """verifying → done: all rows, sequences, the end of the staging tables and the run's last move in one transaction.

    Raises TerminalError (``append.conflict``) that names the constraint which does not admit the rows, and
    ``append.rows-differ`` where a rule or trigger of the destination makes something else of them.
    """
    moved: list[Moved] = []
    try:
        with translated():
            await _all_at_once(connection, seat, plan, checks, lock_timeout_s, moved)
    except BaseException:
        if not connection.is_closed():  # a transaction does not take back where sequences stand
            with suppress(TailraceError):
                await put_back(connection, moved)
        raise
    crash_point("leader.after-ledger-gone")


async def _all_at_once(
    connection: asyncpg.Connection,
    seat: Seat,
    plan: Plan,
    checks: list[Check],
    lock_timeout_s: float,
    moved: list[Moved],
) -> None:
    async with connection.transaction():
        await close_fence(connection, seat.run, lock_timeout_s)
        await require(connection, seat, "verifying")
        if plan.replica_role:
            await _hold_still(connection, plan)
        for step in plan.ddl:
            if step.kind == "trigger":
                await connection.execute(step.drop)
        grown = await _move(connection, seat, plan)
        for step in plan.ddl:
            if step.kind == "trigger":
                for statement in step.rebuild:
                    await connection.execute(statement)
        await set_sequences(connection, plan, moved=moved)
        checks = [*_with_growth(checks, plan, grown), *await _sequences(connection, plan)]
        for table in plan.tables:
            await connection.execute(f"DROP TABLE {quoted(place(plan, table))}")
        said = as_json([check.model_dump() for check in checks])
        crash_point("leader.before-moved")
        await undo.conclude(connection, seat, "verifying", "done", "checks = $6", said)


async def _hold_still(connection: asyncpg.Connection, plan: Plan) -> None:
    """The replica role checks no foreign key: until the transaction ends nobody else may take away what rows refer to."""
    carried = {table.name for table in plan.tables}
    referred = {key.references for key in plan.foreign_keys if key.table in carried}
    names = {quoted(name) for name in carried | referred}
    await connection.execute(f"LOCK TABLE {', '.join(sorted(names))} IN SHARE ROW EXCLUSIVE MODE")
    await connection.execute("SET LOCAL session_replication_role = replica")


async def _move(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> dict[int, int]:
    """The rows, table by table, parents first; how many each table has got."""
    ledger = await ledger_rows(connection, seat)
    await connection.execute("SET CONSTRAINTS ALL DEFERRED")
    by_name = {table.name: table for table in plan.tables}
    grown: dict[int, int] = {}
    for step in plan.ddl:
        if step.kind == "append":
            table = by_name[step.table]
            grown[table.number] = await _insert(connection, plan, table, ledger.get(table.number, (0, 0))[1])
    try:
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.IntegrityConstraintViolationError as error:
        raise _conflict("the rows", error) from None
    if plan.replica_role:
        await _look_for_orphans(connection, plan)
        await _look_for_collisions(connection, plan)
    return grown


async def _insert(connection: asyncpg.Connection, plan: Plan, table: PlannedTable, entered: int) -> int:
    columns = ", ".join(quote_ident(column.name) for column in table.columns)
    statement = (
        f"INSERT INTO {quoted(table.name)} ({columns}) OVERRIDING SYSTEM VALUE "
        f"SELECT {columns} FROM {quoted(place(plan, table))}"
    )
    try:
        status = await connection.execute(statement)
    except asyncpg.IntegrityConstraintViolationError as error:
        raise _conflict(f"the rows for {table.name}", error) from None
    moved = int(status.rsplit(" ", 1)[-1])
    # Of this very transaction, whatever others write meanwhile: a row of ours has our transaction's number.
    grown: int = await connection.fetchval(
        f"SELECT count(*) FROM {'ONLY ' if table.only else ''}{quoted(table.name)} "
        "WHERE xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid"
    )
    if not entered == moved == grown:
        raise TerminalError(
            "append.rows-differ",
            f"of {entered:,} rows in the ledger {moved:,} were moved to {table.name}, which grew by {grown:,}",
            "Nothing was changed. See whether a rule of the destination rewrites INSERT on this table.",
        )
    return grown


async def _look_for_orphans(connection: asyncpg.Connection, plan: Plan) -> None:
    for key in plan.foreign_keys:
        statement = None if key.virtual else orphans(plan, key, moved=True)
        count = 0 if statement is None else await connection.fetchval(statement)
        if count:
            raise TerminalError(
                "append.conflict",
                f"{count:,} rows for {key.table} do not find their row in {key.references}: foreign key {key.name}",
                _REMEDY,
            )


async def _sequences(connection: asyncpg.Connection, plan: Plan) -> list[Check]:
    checks = await sequence_checks(connection, plan, plan.sequences)
    wrong = next((check for check in checks if not check.passed), None)
    if wrong is not None:
        raise TerminalError(
            "append.sequence",
            f"{wrong.name}: {wrong.detail}",
            "Nothing was changed. Raise the sequence's maximum there.",
        )
    return checks


async def _look_for_collisions(connection: asyncpg.Connection, plan: Plan) -> None:
    """A deferrable unique or exclusion constraint is checked by a trigger, which the replica role silences, too."""
    for table, name, count in await broken_deferrable(connection, [table.name for table in plan.tables]):
        raise TerminalError(
            "append.conflict", f"{count:,} times rows of {table} would exclude each other: constraint {name}", _REMEDY
        )


def _conflict(what: str, error: asyncpg.PostgresError) -> TerminalError:
    """What a constraint refuses: named, without its values."""
    return TerminalError("append.conflict", f"{what} cannot be added: {map_error(error).message}", _REMEDY)


def _with_growth(checks: list[Check], plan: Plan, grown: dict[int, int]) -> list[Check]:
    """The checks of the rows, with what became of them."""
    rows = {f"rows {table.name}": grown[table.number] for table in plan.tables}
    return [
        check.model_copy(update={"detail": f"{check.detail}, {rows[check.name]:,} added to the table"})
        if check.name in rows
        else check
        for check in checks
    ]
