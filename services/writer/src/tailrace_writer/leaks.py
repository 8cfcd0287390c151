"""The writer's half of the leak scan: which values of the destination the readers look up in the source."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg

from tailrace_shared.messages import Check, CheckLeaks
from tailrace_shared.plan.model import Plan, PlannedColumn, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.verify import queries
from tailrace_shared.verify.leak import leak_check, leak_weight
from tailrace_writer.staging import place
from tailrace_writer.state.moves import Seat


def scanned(plan: Plan) -> Iterator[tuple[PlannedTable, PlannedColumn]]:
    """Columns where no original value may arrive."""
    if plan.leak_sample:
        for table in plan.tables:
            for column in table.columns:
                if table.mode != "truncate" and column.masked:
                    yield table, column


async def question(
    connection: asyncpg.Connection, seat: Seat, plan: Plan, table: PlannedTable, column: PlannedColumn
) -> tuple[CheckLeaks, float] | Check:
    """Sample a column: the question for a reader and the sample's weight; where there is nothing to ask, the check that says so."""
    with translated():
        limit_bytes = min(queries.SAMPLE_BYTES, plan.message_bytes // 8)
        query = queries.sample(place(plan, table), column.name, only=table.only)
        rows = await connection.fetch(query, plan.leak_sample, limit_bytes)
    values = [row["v"] for row in rows]
    weight = await asyncio.to_thread(leak_weight, column, values)
    if weight is None or not values:
        return leak_check(table, column, len(values), found=0, source_distinct=0, weight=weight)
    ask = CheckLeaks(run=seat.run, attempt=seat.attempt, table=table.number, column=column.name, values=tuple(values))
    return ask, weight


async def note_question(connection: asyncpg.Connection, ask: CheckLeaks, weight: float) -> None:
    """Remember that the question was put; asking again renews it."""
    with translated():
        await connection.execute(
            "INSERT INTO tailrace.leak (run, attempt, table_no, column_name, sampled, weight) VALUES ($1, $2, $3, $4, $5, $6) "
            "ON CONFLICT (run, attempt, table_no, column_name) DO UPDATE SET asked_at = clock_timestamp()",
            ask.run, ask.attempt, ask.table, ask.column, len(ask.values), weight,
        )  # fmt: skip
