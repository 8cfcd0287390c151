"""Columns that a plan has added in place come to the destination in the lane, once, before the first row that has them.

Whoever follows the lane adds them itself: it may be inside a transaction that holds the table, and nobody else's ALTER TABLE would
get past that. What was done stands in the table's row, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import asyncpg

from tailrace_shared.errors import TailraceError
from tailrace_shared.plan.model import Growth, Plan, PlannedTable
from tailrace_shared.postgres import DRIVER_ERRORS, map_error
from tailrace_writer.lane.failing import TABLE_ERRORS, TableFailed
from tailrace_writer.lane.rows import leave

_PENDING = "55006"
"""Checks of this transaction wait for its end, and the table cannot be altered before."""


def growths(plan: Plan, grown: Mapping[int, int], follows: Collection[int]) -> list[tuple[PlannedTable, Growth]]:
    """What a plan has added to tables that follow, and the destination does not have."""
    return [
        (table, growth)
        for table in plan.tables
        if table.number in follows
        for growth in table.grown
        if growth.revision > grown.get(table.number, 0)
    ]


async def apply_growth(
    connection: asyncpg.Connection[Any], run: str, attempt: int, table: PlannedTable, growth: Growth
) -> None:
    """Inside the lane's transaction. Raises TableFailed where the destination does not take it, else the driver's errors."""
    try:
        for statement in growth.statements:
            await connection.execute(statement)
    except DRIVER_ERRORS as error:
        state = getattr(error, "sqlstate", None) or ""
        if state[:2] not in TABLE_ERRORS and state != _PENDING:
            raise
        mapped = map_error(error)
        why = f"column {', '.join(growth.columns)} has appeared and cannot be added: {mapped.message}. {mapped.remedy}"
        raise TableFailed(table.number, TailraceError("lane.growth", why.strip())) from None
    await connection.execute(
        'UPDATE tailrace."table" SET grown = $4 WHERE run = $1 AND attempt = $2 AND table_no = $3',
        run, attempt, table.number, growth.revision,
    )  # fmt: skip


async def apply_rest(connection: asyncpg.Connection[Any], run: str, attempt: int, plan: Plan) -> None:
    """Columns that no record has come with, once the lane has ended. In a transaction; a table that does not take them leaves."""
    rows = await connection.fetch(
        "SELECT table_no, grown FROM tailrace.\"table\" WHERE run = $1 AND attempt = $2 AND state = 'loaded'",
        run,
        attempt,
    )
    grown = {row["table_no"]: row["grown"] for row in rows}
    for table, growth in growths(plan, grown, grown.keys()):
        try:
            async with connection.transaction():
                await apply_growth(connection, run, attempt, table, growth)
        except TableFailed as failed:
            await leave(connection, run, attempt, table.number, failed.error.message)
