"""What a run checks of its own work in the destination: rows, foreign keys, constraints, sequences, canaries, leaks."""

from __future__ import annotations

import asyncpg

from tailrace_shared.messages import Check
from tailrace_shared.plan.model import ForeignKeyCheck, Plan
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified
from tailrace_shared.verify import queries
from tailrace_shared.verify.canaries import resolve_canaries
from tailrace_shared.verify.leak import leak_check
from tailrace_writer.append_checks import verify_staged
from tailrace_writer.create import created_checks
from tailrace_writer.leaks import scanned
from tailrace_writer.sequences import sequence_checks
from tailrace_writer.staging import place
from tailrace_writer.state.moves import Seat

_VALIDATED = """
SELECT EXISTS (
    SELECT 1 FROM pg_catalog.pg_constraint
    WHERE contype = 'f' AND conname = $1 AND conrelid = pg_catalog.to_regclass($2) AND convalidated
)
"""
_INVALID = """
SELECT i.indexrelid::regclass::text FROM pg_catalog.pg_index i
WHERE i.indrelid = pg_catalog.to_regclass($1) AND NOT (i.indisvalid AND i.indisready)
UNION ALL
SELECT c.conname FROM pg_catalog.pg_constraint c
WHERE c.conrelid = pg_catalog.to_regclass($1) AND c.contype <> 'f' AND NOT c.convalidated
"""
_PRESENT = {
    "index": "SELECT pg_catalog.to_regclass($2) IS NOT NULL AND $1 <> ''",
    "foreign-key": (
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conname = $1 AND conrelid = pg_catalog.to_regclass($2))"
    ),
    "trigger": (
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger WHERE tgname = $1 AND tgrelid = pg_catalog.to_regclass($2))"
    ),
}


async def verify(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> list[Check]:
    """All checks but the leak scan's answers. Raises the mapped driver error, and UsageError for canaries that are not here."""
    checks: list[Check] = []
    with translated():
        if plan.mode == "append":
            checks += await verify_staged(connection, seat, plan)
        else:
            checks += await _rows(connection, seat, plan)
            for key in plan.foreign_keys:
                checks.append(await _foreign_key(connection, plan, key))
        for table in plan.tables:
            invalid = await connection.fetch(_INVALID, qualified(table.name.schema_name, table.name.name))
            named = ", ".join(row[0] for row in invalid)
            checks.append(
                Check(
                    name=f"constraints {table.name}",
                    passed=not invalid,
                    detail=f"not valid: {named}" if invalid else "unique, NOT NULL and checks are valid",
                )
            )
        if plan.mode != "append":  # there nothing was dropped, and sequences rise with the move
            checks += await (created_checks if plan.mode == "create" else _rebuilt)(connection, plan)
            checks += await sequence_checks(connection, plan)
        if plan.canaries:
            checks += await _canaries(connection, plan, resolve_canaries(plan.canaries))
    return checks


async def leak_checks(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> list[Check]:
    """The leak scan's verdicts on what was asked, once all answers are in."""
    with translated():
        rows = await connection.fetch(
            "SELECT table_no, column_name, sampled, weight, found, source_distinct FROM tailrace.leak "
            "WHERE run = $1 AND attempt = $2",
            seat.run, seat.attempt,
        )  # fmt: skip
    answers = {(row["table_no"], row["column_name"]): row for row in rows}
    checks = []
    for table, column in scanned(plan):
        row = answers.get((table.number, column.name))
        if row is not None:
            checks.append(
                leak_check(table, column, row["sampled"], row["found"], row["source_distinct"], row["weight"])
            )
    return checks


async def _rows(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> list[Check]:
    """Rows read, rows in the ledger and rows in the table: three counts that agree."""
    counted = await connection.fetch(
        "SELECT t.table_no, t.rows_read, (SELECT coalesce(sum(l.rows), 0) FROM tailrace.ledger l WHERE l.run = t.run "
        "AND l.attempt = t.attempt AND l.table_no = t.table_no)::bigint AS ledger "
        'FROM tailrace."table" t WHERE t.run = $1 AND t.attempt = $2',
        seat.run, seat.attempt,
    )  # fmt: skip
    known = {row["table_no"]: row for row in counted}
    checks = []
    for table in plan.tables:
        there = await connection.fetchval(queries.row_count(table.name))
        row = known.get(table.number)
        read, ledger = (row["rows_read"], row["ledger"]) if row is not None else (0, 0)
        checks.append(
            Check(
                name=f"rows {table.name}",
                passed=read == ledger == there,
                detail=f"{read:,} read, {ledger:,} in the ledger, {there:,} in the table",
            )
        )
    return checks


async def _foreign_key(connection: asyncpg.Connection, plan: Plan, key: ForeignKeyCheck) -> Check:
    name = f"foreign key {key.name}"
    where = qualified(key.table.schema_name, key.table.name)
    # Rows loaded with triggers off were never looked at: a constraint says that it is valid all the same.
    if plan.regime == "bypass" and await connection.fetchval(_VALIDATED, key.name, where):
        return Check(name=name, passed=True, detail="validated by PostgreSQL")
    orphans = await connection.fetchval(queries.orphans(key))
    return Check(name=name, passed=orphans == 0, detail=f"{orphans:,} rows without a referenced row")


async def _rebuilt(connection: asyncpg.Connection, plan: Plan) -> list[Check]:
    checks = []
    for step in plan.ddl:
        of = step.name if step.kind == "index" else step.table.name
        there = await connection.fetchval(_PRESENT[step.kind], step.name, qualified(step.table.schema_name, of))
        if not there:
            checks.append(Check(name=f"{step.kind} {step.name}", passed=False, detail="was dropped and is not back"))
    return checks


async def _canaries(connection: asyncpg.Connection, plan: Plan, canaries: tuple[str, ...]) -> list[Check]:
    checks = []
    for table in plan.tables:
        columns = [column.name for column in table.columns]
        if columns:
            found = await connection.fetchval(queries.strings_found(place(plan, table), columns), list(canaries))
            detail = f"{found} of {len(canaries)} found"
            checks.append(Check(name=f"canaries {table.name}", passed=found == 0, detail=detail))
    return checks
