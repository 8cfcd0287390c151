"""A comparison in the state tables: what facts leave behind, and what its leader reads and writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from tailrace_shared import messages as m
from tailrace_shared.messages import ComparisonProgress, LeftOut
from tailrace_shared.plan.model import Plan
from tailrace_writer.comparison.view import ComparedTable, Conclude, Side
from tailrace_writer.lane.position import lsn_of, lsn_text
from tailrace_writer.state.moves import Deposed, Seat

_OPEN = "('asked', 'reading')"
_LOOK = """
SELECT c.*, extract(epoch FROM clock_timestamp() - greatest(
    c.moved_at, CASE WHEN c.point IS NOT NULL AND c.cut_at IS NULL THEN l.applied_at END))::float8 AS still_s,
  (SELECT count(*) FROM tailrace.comparison_side s WHERE s.run = c.run AND s.number = c.number AND s.side = 'source') AS sources,
  (SELECT count(*) FROM tailrace.comparison_side s WHERE s.run = c.run AND s.number = c.number AND s.side = 'destination')
    AS destinations
FROM tailrace.comparison c LEFT JOIN tailrace.lane l ON l.run = c.run AND l.attempt = c.attempt AND l.lane = 0
WHERE c.run = $1
"""
_ARRIVED = """
SELECT table_no, count(*) FILTER (WHERE have = parts) AS batches, coalesce(sum(rows), 0)::bigint AS rows,
  coalesce(sum(lane0), 0)::text AS lane0, coalesce(sum(lane1), 0)::text AS lane1
FROM (
  SELECT table_no, range_no, batch_no, count(*) AS have, max(parts) AS parts, sum(rows) AS rows, sum(lane0) AS lane0,
    sum(lane1) AS lane1
  FROM tailrace.comparison_batch WHERE run = $1 AND number = $2 GROUP BY table_no, range_no, batch_no
) b GROUP BY table_no
"""


async def apply_comparison_fact(
    connection: asyncpg.Connection,
    fact: m.ComparisonRequested | m.ComparisonPoint | m.ComparisonRead | m.ComparisonFailed,
) -> None:
    """In the caller's transaction; again is fine."""
    match fact:
        case m.ComparisonRequested():
            await connection.execute(
                "INSERT INTO tailrace.comparison AS c (run, attempt, id, number, state, why, asked) "
                "SELECT run, attempt, $2, 1, CASE state WHEN 'streaming' THEN 'asked' ELSE 'refused' END, CASE state "
                "WHEN 'streaming' THEN '' ELSE 'the run is ' || state || ': a comparison needs one that streams' END, $3 "
                "FROM tailrace.run WHERE run = $1 AND job->>'mode' = 'continuous' "
                "ON CONFLICT (run) DO UPDATE SET attempt = excluded.attempt, id = excluded.id, number = c.number + 1, tries = 1, "
                "state = excluded.state, why = excluded.why, asked = excluded.asked, tables = '{}', left_out = '[]', "
                "checks = '[]', plan = '', reader = '', point = NULL, owner = '', cut_at = NULL, trouble = '', bytes = 0, "
                f"rows = 0, moved_at = clock_timestamp() WHERE c.id < excluded.id AND c.state NOT IN {_OPEN}",
                fact.run, fact.id, list(fact.tables),
            )  # fmt: skip
        case m.ComparisonPoint():
            await connection.execute(
                "UPDATE tailrace.comparison SET reader = $4, point = $5, moved_at = clock_timestamp() "
                "WHERE run = $1 AND attempt = $2 AND number = $3 AND state = 'reading' AND point IS NULL",
                fact.run, fact.attempt, fact.number, fact.replica, lsn_of(fact.point),
            )  # fmt: skip
        case m.ComparisonRead():
            await connection.execute(
                "WITH moved AS (UPDATE tailrace.comparison SET moved_at = clock_timestamp() WHERE run = $1 AND attempt = $2 "
                "AND number = $3 AND state = 'reading' AND reader = $4 RETURNING run, number) "
                "INSERT INTO tailrace.comparison_side (run, number, table_no, side, rows, batches, left_out) "
                "SELECT run, number, $5, 'source', $6, $7, $8 FROM moved ON CONFLICT DO NOTHING",
                fact.run, fact.attempt, fact.number, fact.replica, fact.table, fact.rows, fact.batches, fact.left_out,
            )  # fmt: skip
        case m.ComparisonFailed():
            await connection.execute(
                "UPDATE tailrace.comparison SET trouble = $4 "
                "WHERE run = $1 AND attempt = $2 AND number = $3 AND state = 'reading' AND trouble = ''",
                fact.run, fact.attempt, fact.number, f"{fact.failure.message} ({fact.failure.code})",
            )  # fmt: skip


async def look(connection: asyncpg.Connection, run: str) -> asyncpg.Record | None:
    """The run's newest comparison; None where there was none."""
    return await connection.fetchrow(_LOOK, run)


async def compared(connection: asyncpg.Connection, row: Any, plan: Plan) -> tuple[ComparedTable, ...]:
    """Its tables, by what has arrived."""
    run, number = row["run"], row["number"]
    arrived = {r["table_no"]: r for r in await connection.fetch(_ARRIVED, run, number)}
    told = await connection.fetch(
        "SELECT table_no, side, rows, batches, lane0::text AS lane0, lane1::text AS lane1, left_out "
        "FROM tailrace.comparison_side WHERE run = $1 AND number = $2",
        run, number,
    )  # fmt: skip
    sides = {(r["table_no"], r["side"]): _side(r, r["left_out"]) for r in told}
    return tuple(
        ComparedTable(
            str(plan.table(n).name),
            sides.get((n, "source")),
            _side(arrived[n]) if n in arrived else Side(),
            sides.get((n, "destination")),
        )
        for n in row["tables"]
    )


async def begin(
    connection: asyncpg.Connection, seat: Seat, number: int, digest: str, tables: Sequence[int], left_out: Sequence[LeftOut]
) -> None:  # fmt: skip
    """asked → reading."""
    await _change(
        connection, seat, number, "asked",
        "state = 'reading', plan = $4, tables = $5, left_out = $6, moved_at = clock_timestamp()",
        digest, list(tables), json.dumps([left.model_dump() for left in left_out]),
    )  # fmt: skip


async def begin_anew(connection: asyncpg.Connection, seat: Seat, number: int, why: str) -> None:
    """reading → asked, with the next number."""
    async with connection.transaction():
        await _change(
            connection, seat, number, "reading",
            "state = 'asked', number = number + 1, tries = tries + 1, why = $4, plan = '', reader = '', point = NULL, owner = '', "
            "cut_at = NULL, trouble = '', bytes = 0, rows = 0, moved_at = clock_timestamp()",
            why,
        )  # fmt: skip
        await forget_rows(connection, seat.run)


async def give_up(connection: asyncpg.Connection, seat: Seat, number: int, state: str, why: str) -> None:
    """→ failed."""
    async with connection.transaction():
        await _change(connection, seat, number, state, "state = 'failed', why = $4", why)
        await forget_rows(connection, seat.run)


async def conclude(connection: asyncpg.Connection, seat: Seat, row: Any, made: Conclude) -> None:
    """reading → done."""
    left = [*json.loads(row["left_out"]), *(one.model_dump() for one in made.left_out)]
    async with connection.transaction():
        await _change(
            connection, seat, row["number"], "reading", "state = 'done', checks = $4, left_out = $5",
            json.dumps([check.model_dump() for check in made.checks]), json.dumps(left),
        )  # fmt: skip
        await forget_rows(connection, seat.run)


async def forget_rows(connection: asyncpg.Connection, run: str) -> None:
    """What was gathered; the line that says what came of it stays."""
    for table in ("comparison_batch", "comparison_side"):
        await connection.execute(f"DELETE FROM tailrace.{table} WHERE run = $1", run)


def progress_of_comparison(row: Any) -> ComparisonProgress:
    """What a record says of it."""
    return ComparisonProgress(
        id=row["id"],
        number=row["number"],
        state=row["state"],
        reader=row["reader"],
        point="" if row["point"] is None else lsn_text(row["point"]),
        cut_at=row["cut_at"],
        tables=len(row["tables"]),
        bytes=row["bytes"],
        rows=row["rows"],
        checks=json.loads(row["checks"]),
        left_out=json.loads(row["left_out"]),
        why=row["why"],
        tries=row["tries"],
    )


async def _change(
    connection: asyncpg.Connection, seat: Seat, number: int, state: str, assignments: str, *values: object
) -> None:
    """By compare-and-set (placeholders from $4 on). Raises Deposed where the row, or the lead, is another's."""
    status = await connection.execute(
        f"UPDATE tailrace.comparison SET {assignments} WHERE run = $1 AND number = $2 AND state = '{state}' "
        "AND EXISTS (SELECT 1 FROM tailrace.run r WHERE r.run = $1 AND r.epoch = $3)",
        seat.run, number, seat.epoch, *values,
    )  # fmt: skip
    if status != "UPDATE 1":
        raise Deposed(seat.run)


def _side(row: Any, left_out: str = "") -> Side:
    return Side(row["rows"], row["batches"], (int(row["lane0"]), int(row["lane1"])), left_out)
