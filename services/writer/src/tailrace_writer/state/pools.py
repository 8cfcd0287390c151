"""Pools of a run in the state tables: keys of carried tables that made rows refer to, and whether they are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from tailrace_shared import messages as m
from tailrace_shared.plan.model import Plan
from tailrace_writer.state.moves import Seat
from tailrace_writer.state.view import PoolView

PATIENCE_S = 600
"""A pool of which nothing was heard is asked for again: reading the keys of a large table takes a minute, and a lost replica's work
is another one's by itself."""

_POOLS = f"""
SELECT table_no, drawn_by, digest,
       digest = '' AND coalesce(sent_at < clock_timestamp() - interval '{PATIENCE_S} s', true) AS unsent
FROM tailrace.pool WHERE run = $1 AND attempt = $2 ORDER BY table_no
"""
_LEADS = "EXISTS (SELECT 1 FROM tailrace.run WHERE run = $1 AND epoch = $2 AND attempt = $3 AND state = 'loading')"


async def lay_out_pools(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> None:
    """A row per pool, in the transaction that lays out the tables."""
    await connection.executemany(
        "INSERT INTO tailrace.pool (run, attempt, table_no, drawn_by) VALUES ($1, $2, $3, $4)",
        [(seat.run, seat.attempt, pool.table, list(pool.drawn_by)) for pool in plan.pools],
    )


async def read_pools(connection: asyncpg.Connection, run: str, attempt: int) -> tuple[PoolView, ...]:
    """What the decider sees of an attempt's pools."""
    rows = await connection.fetch(_POOLS, run, attempt)
    return tuple(PoolView(r["table_no"], tuple(r["drawn_by"]), bool(r["digest"]), r["unsent"]) for r in rows)


async def apply_pool_ready(connection: asyncpg.Connection, fact: m.PoolReady) -> None:
    """The first answer counts: the keys are the same whoever reads and masks them."""
    await connection.execute(
        "UPDATE tailrace.pool SET digest = $4, rows = $5 "
        "WHERE run = $1 AND attempt = $2 AND table_no = $3 AND digest = ''",
        fact.run, fact.attempt, fact.table, fact.digest, fact.rows,
    )  # fmt: skip


async def note_asked(connection: asyncpg.Connection, seat: Seat, tables: Sequence[int]) -> None:
    """The work items of these pools are on the topic."""
    await connection.execute(
        "UPDATE tailrace.pool SET sent_at = clock_timestamp() "
        f"WHERE run = $1 AND attempt = $3 AND table_no = ANY($4::int[]) AND {_LEADS}",
        seat.run, seat.epoch, seat.attempt, list(tables),
    )  # fmt: skip


async def ready_pools(connection: asyncpg.Connection, seat: Seat) -> Mapping[int, Mapping[int, str]]:
    """Per table that draws from pools their digests, by the tables whose keys they hold."""
    rows = await connection.fetch(
        "SELECT table_no, drawn_by, digest FROM tailrace.pool WHERE run = $1 AND attempt = $2 AND digest <> ''",
        seat.run, seat.attempt,
    )  # fmt: skip
    found: dict[int, dict[int, str]] = {}
    for row in rows:
        for table in row["drawn_by"]:
            found.setdefault(table, {})[row["table_no"]] = row["digest"]
    return found
