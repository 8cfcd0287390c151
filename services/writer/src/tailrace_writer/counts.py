"""Counts of an attempt: what was read, and what the ledger holds."""

from __future__ import annotations

import asyncpg

from tailrace_writer.state.moves import Seat


async def ledger_rows(connection: asyncpg.Connection, seat: Seat) -> dict[int, tuple[int, int]]:
    """Rows read and rows in the ledger, by table number."""
    rows = await connection.fetch(
        "SELECT t.table_no, t.rows_read, (SELECT coalesce(sum(l.rows), 0) FROM tailrace.ledger l WHERE l.run = t.run "
        "AND l.attempt = t.attempt AND l.table_no = t.table_no)::bigint AS ledger "
        'FROM tailrace."table" t WHERE t.run = $1 AND t.attempt = $2',
        seat.run, seat.attempt,
    )  # fmt: skip
    return {row["table_no"]: (row["rows_read"], row["ledger"]) for row in rows}
