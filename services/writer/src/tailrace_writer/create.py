"""Mode ``create``: what the plan makes before the load, and its going again when the run does not end well.

Everything that is made is noted in ``tailrace.ddl``, in the transaction that makes it, with the statement that removes it. What is
removed goes without CASCADE, so nothing goes that the run has not made; what something else holds on to stays, empty, and is named.
"""

from __future__ import annotations

import asyncpg

from tailrace_shared.catalogue.ground import names_taken
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TerminalError
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import DdlStep, Plan
from tailrace_shared.postgres import translated
from tailrace_writer.state.moves import Seat

_SETTINGS = """
SET LOCAL search_path = pg_catalog;
SET LOCAL check_function_bodies = off;
SET LOCAL xmloption = content;
SET LOCAL default_tablespace = '';
"""
"""As pg_dump's script sets them: names are qualified, bodies may name what comes later."""
_TABLE = "DROP TABLE IF EXISTS "
_EXTENSION = "DROP EXTENSION IF EXISTS "
_OURS = """
SELECT xmin = pg_catalog.pg_current_xact_id()::pg_catalog.xid FROM pg_catalog.pg_extension
WHERE pg_catalog.quote_ident(extname) = $1
"""
"""Whether this very transaction has made an extension: its row has the transaction's number."""
_MADE = """
SELECT attempt, number, name, drop_sql FROM tailrace.ddl
WHERE run = $1 AND kind = 'create' AND drop_sql <> '' AND trouble = '' ORDER BY attempt DESC, number DESC
"""


async def make(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> None:
    """Make what comes before the load, in the current transaction. Raises TerminalError that names the thing that is refused."""
    steps = [step for step in plan.ddl if step.creates]
    if plan.mode != "create":
        return
    if not steps:
        raise TerminalError("create.refused", "the plan does not say what is to be made", "Please report this.")
    await connection.execute(_SETTINGS)
    drops = {step.number: step.drop for step in steps}
    for step in steps:
        for statement in step.create:
            await _execute(connection, step, statement)
        if step.drop.startswith(_EXTENSION):  # IF NOT EXISTS: somebody else may have made it since the plan was made
            ours = await connection.fetchval(_OURS, step.drop.removeprefix(_EXTENSION))
            drops[step.number] = step.drop if ours else ""
    await connection.execute("SET LOCAL search_path = DEFAULT")
    await connection.executemany(
        "INSERT INTO tailrace.ddl (run, attempt, number, kind, schema_name, table_name, name, drop_sql, rebuild) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            (
                seat.run, seat.attempt, s.number, s.kind, s.table.schema_name, s.table.name, s.name, drops[s.number],
                list(s.rebuild),
            )
            for s in steps
        ],
    )  # fmt: skip
    crash_point("leader.after-create")


async def _execute(connection: asyncpg.Connection, step: DdlStep, statement: str) -> None:
    try:
        with translated():
            await connection.execute(statement)
    except TerminalError as error:
        raise TerminalError(
            "create.refused", f"the destination refuses to make {step.name}: {error.message}",
            error.remedy or "Look into the destination server's log.",
        ) from None  # fmt: skip


async def remove(connection: asyncpg.Connection, seat: Seat) -> None:
    """Remove everything that the run has made, in the current transaction, newest first.

    Tables go together, since foreign keys tie them; then whatever is not needed any more, round by round. What is left then is
    held by something that the run has not made: it keeps its note, with why.
    """
    rows = await connection.fetch(_MADE, seat.run)
    tables = [row for row in rows if row["drop_sql"].startswith(_TABLE)]
    if tables and await _drop(connection, _TABLE + ", ".join(row["drop_sql"].removeprefix(_TABLE) for row in tables)):
        rows = [row for row in rows if row not in tables]
    while rows:
        left = [row for row in rows if not await _drop(connection, row["drop_sql"])]
        if len(left) == len(rows):
            # Perhaps what held the tables has gone by now.
            held = [row for row in left if row["drop_sql"].startswith(_TABLE)]
            every = ", ".join(row["drop_sql"].removeprefix(_TABLE) for row in held)
            if not held or not await _drop(connection, _TABLE + every):
                break
            left = [row for row in left if row not in held]
        rows = left
    for row in rows:
        await connection.execute(
            "UPDATE tailrace.ddl SET trouble = 'something that the run has not made depends on it' "
            "WHERE run = $1 AND attempt = $2 AND number = $3",
            seat.run, row["attempt"], row["number"],
        )  # fmt: skip
    await connection.execute(
        "DELETE FROM tailrace.ddl WHERE run = $1 AND kind LIKE 'create%' AND trouble = ''", seat.run
    )


async def _drop(connection: asyncpg.Connection, statement: str) -> bool:
    """False where something depends on it."""
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except asyncpg.DependentObjectsStillExistError:
        return False
    return True


async def created_checks(connection: asyncpg.Connection, plan: Plan) -> list[Check]:
    """Whether everything is there that the plan makes and whose name can be looked up."""
    wanted = {name: step for step in plan.ddl if step.creates for name in step.makes}
    if not wanted:
        return []
    taken = set(await names_taken(connection))
    missing = [step.name for name, step in wanted.items() if name not in taken]
    checks = [Check(name=f"made {name}", passed=False, detail="is not there") for name in missing]
    detail = f"{len(wanted) - len(missing):,} of {len(wanted):,} named things that the run makes are there"
    return [*checks, Check(name="made", passed=not missing, detail=detail)]
