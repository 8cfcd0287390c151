"""What a run checks of its own work in the destination: rows, foreign keys, constraints, sequences, canaries, leaks."""

from __future__ import annotations

import asyncpg

from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import Plan
from tailrace_shared.postgres import translated
from tailrace_shared.verify import queries
from tailrace_shared.verify.answers import answers
from tailrace_shared.verify.canaries import resolve_canaries
from tailrace_shared.verify.constraints import constraint_checks
from tailrace_shared.verify.digest import table_digests
from tailrace_shared.verify.leak import leak_check
from tailrace_shared.verify.rebuilt import rebuilt_checks
from tailrace_shared.verify.references import foreign_key_checks
from tailrace_shared.verify.sequences import sequence_checks
from tailrace_writer.append_checks import verify_staged
from tailrace_writer.counts import ledger_rows
from tailrace_writer.create import created_checks
from tailrace_writer.leaks import scanned
from tailrace_writer.staging import place
from tailrace_writer.state.moves import Seat


async def verify(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> list[Check]:
    """All checks but the leak scan's answers. Raises the mapped driver error, and UsageError for canaries that are not here."""
    with translated():
        checks = await (verify_staged if plan.mode == "append" else _loaded)(connection, seat, plan)
        if plan.canaries:
            checks += await _canaries(connection, plan, resolve_canaries(plan.canaries))
        if plan.digest:
            rows_of = {table.name: place(plan, table) for table in plan.tables}
            for name, digest in (await table_digests(connection, plan, rows_of)).items():
                checks.append(Check(name=f"digest {name}", passed=True, detail=digest))
    return checks


async def _loaded(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> list[Check]:
    """What is in the tables, and the tables themselves."""
    checks = await _rows(connection, seat, plan)
    if plan.continuous is not None:
        checks += await _left_out(connection, seat)
    # Rows loaded with triggers off were never looked at: such a constraint says that it is valid all the same.
    checks += await foreign_key_checks(connection, plan.foreign_keys, rebuilt=plan.regime == "bypass")
    checks += await constraint_checks(connection, [table.name for table in plan.tables])
    checks += await (created_checks if plan.mode == "create" else _rebuilt)(connection, plan)
    checks += await sequence_checks(connection, plan, plan.sequences)
    return checks


async def _left_out(connection: asyncpg.Connection, seat: Seat) -> list[Check]:
    """Tables that did not follow their source to the end, and foreign keys that therefore are not back."""
    tables = await connection.fetch(
        "SELECT schema_name || '.' || name AS name, why FROM tailrace.\"table\" WHERE run = $1 AND attempt = $2 "
        "AND state <> 'loaded' ORDER BY 1",
        seat.run, seat.attempt,
    )  # fmt: skip
    missing = await connection.fetch(
        "SELECT kind, name, trouble FROM tailrace.ddl WHERE run = $1 AND attempt = $2 AND trouble <> '' ORDER BY number",
        seat.run, seat.attempt,
    )  # fmt: skip
    return [
        *(Check(name=f"table {t['name']}", passed=False, detail=f"in quarantine: {t['why']}") for t in tables),
        *(Check(name=f"{m['kind']} {m['name']}", passed=False, detail=f"not back: {m['trouble']}") for m in missing),
    ]


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
    """Rows read, rows in the ledger and rows in the table: three counts that agree, and are those that were ordered."""
    known = await ledger_rows(connection, seat)
    counts = await answers(connection, [queries.row_count(table.name, only=table.only) for table in plan.tables])
    checks = []
    for table, there in zip(plan.tables, counts, strict=True):
        read, ledger = known.get(table.number, (0, 0))
        made = table.mode == "generate" and table.events_of is None  # of events, the model says how many there are
        if (
            plan.continuous is not None and table.mode != "truncate"
        ):  # its changes have been many things to its rows since
            checks.append(
                Check(name=f"rows {table.name}", passed=True, detail=f"{ledger:,} loaded, {there:,} in the table now")
            )
            continue
        checks.append(
            Check(
                name=f"rows {table.name}",
                passed=read == ledger == there and (not made or there == table.rows),
                detail=f"{read:,} {f'of {table.rows:,} made' if made else 'read'}, {ledger:,} in the ledger, "
                f"{there:,} in the table",
            )
        )
    return checks


async def _rebuilt(connection: asyncpg.Connection, plan: Plan) -> list[Check]:
    """What was dropped is back as it was, by a fresh look at the catalogue."""
    schemas = sorted({step.table.schema_name for step in plan.ddl} | {t.name.schema_name for t in plan.tables})
    return rebuilt_checks(plan, await read_catalogue(connection, schemas))


async def _canaries(connection: asyncpg.Connection, plan: Plan, canaries: tuple[str, ...]) -> list[Check]:
    tables = [table for table in plan.tables if table.columns]
    questions = [
        queries.strings_found(place(plan, table), [column.name for column in table.columns], only=table.only)
        for table in tables
    ]
    return [
        Check(name=f"canaries {table.name}", passed=found == 0, detail=f"{found} of {len(canaries)} found")
        for table, found in zip(tables, await answers(connection, questions, list(canaries)), strict=True)
    ]
