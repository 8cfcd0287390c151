"""What is checked of staged rows, before the move of the mode append."""

from __future__ import annotations

import asyncpg

from tailrace_shared.messages import Check
from tailrace_shared.plan.model import ForeignKeyCheck, Plan
from tailrace_shared.verify import queries
from tailrace_shared.verify.references import judge_orphans
from tailrace_writer.counts import ledger_rows
from tailrace_writer.staging import orphans, place
from tailrace_writer.state.moves import Seat


async def verify_staged(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> list[Check]:
    """What can be said of the rows before they are moved: their number, and that each finds the row that it refers to."""
    checks = []
    ledger = await ledger_rows(connection, seat)
    for table in plan.tables:
        read, entered = ledger.get(table.number, (0, 0))
        staged = await connection.fetchval(queries.row_count(place(plan, table)))
        checks.append(
            Check(
                name=f"rows {table.name}",
                passed=read == entered == staged,
                detail=f"{read:,} read, {entered:,} in the ledger, {staged:,} staged",
            )
        )
    for key in plan.foreign_keys:
        statement = orphans(plan, key, moved=False)
        if statement is not None:
            checks.append(_orphans(key, await connection.fetchval(statement)))
    return checks


def _orphans(key: ForeignKeyCheck, count: int) -> Check:
    """A declared key is in force, whatever the source has itself, and whether or not it was validated."""
    name = f"foreign key {key.table} {key.name}"
    if key.virtual:
        return judge_orphans(name, key, count, None)
    return Check(name=name, passed=count == 0, detail=f"{count:,} rows without a referenced row, staged or there")
