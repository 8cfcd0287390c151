"""Changes of a run's row and its working rows, each by compare-and-set: a former leader's change finds no row.

``Seat`` is what a leader proves itself by: the run and the epoch of its take-over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from tailrace_shared.errors import TransientError
from tailrace_shared.messages import Failure, State
from tailrace_writer.lock_keys import lock_key
from tailrace_writer.state.view import RangeKey


class Deposed(TransientError):
    """Another writer leads the run, or its state is no longer what the decision was taken on."""

    def __init__(self, run: str) -> None:
        super().__init__("leader.deposed", f"the state of run {run} has changed since the decision was taken")


class NoRow(LookupError):
    """A record of the run is known, the destination has no row of it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A leadership: valid while the run's row has this epoch."""

    run: str
    epoch: int
    attempt: int


async def move(
    connection: asyncpg.Connection, seat: Seat, source: State, target: State, assignments: str = "", *values: object
) -> None:
    """The transition, and further assignments (placeholders from $6 on). Raises Deposed when the row says otherwise."""
    sets = f", {assignments}" if assignments else ""
    status = await connection.execute(
        f"UPDATE tailrace.run SET state = $5{sets} WHERE run = $1 AND epoch = $2 AND attempt = $3 AND state = $4",
        seat.run, seat.epoch, seat.attempt, source, target, *values,
    )  # fmt: skip
    if status != "UPDATE 1":
        raise Deposed(seat.run)


async def require(connection: asyncpg.Connection, seat: Seat, state: State) -> None:
    """Look, before work that is wasted or wrong in another state. The proof is the ``move`` at the end."""
    found = await connection.fetchval(
        "SELECT true FROM tailrace.run WHERE run = $1 AND epoch = $2 AND attempt = $3 AND state = $4",
        seat.run, seat.epoch, seat.attempt, state,
    )  # fmt: skip
    if not found:
        raise Deposed(seat.run)


async def amend(connection: asyncpg.Connection, seat: Seat, assignments: str, *values: object) -> None:
    """Assignments without a transition (placeholders from $4 on). Raises Deposed like ``move``."""
    status = await connection.execute(
        f"UPDATE tailrace.run SET {assignments} WHERE run = $1 AND epoch = $2 AND attempt = $3",
        seat.run, seat.epoch, seat.attempt, *values,
    )  # fmt: skip
    if status != "UPDATE 1":
        raise Deposed(seat.run)


async def fail(connection: asyncpg.Connection, seat: Seat, failure: Failure) -> None:
    """Record a failure; the first one stays."""
    await amend(connection, seat, "failure = coalesce(failure, $4)", failure.model_dump_json())


async def close_fence(connection: asyncpg.Connection, run: str, lock_timeout_s: float) -> None:
    """Take the run's fence exclusively until the transaction ends: no batch is in the middle of being applied.

    The timeout holds for the whole transaction, so that it queues behind no other session's lock for long.
    """
    await connection.execute(f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}")
    await connection.execute("SET LOCAL synchronous_commit = on")
    await connection.execute(f"SELECT pg_catalog.pg_advisory_xact_lock({lock_key('fence', run)})")


_LEADS = (
    "EXISTS (SELECT 1 FROM tailrace.run WHERE run = $1 AND epoch = $2 AND attempt = $3 "
    "AND (state = 'loading' OR state IN ('streaming', 'paused') AND resync_state = 'loading'))"
)
_KEYS = "(table_no, load, range_no) IN (SELECT * FROM unnest($4::int[], $5::int[], $6::int[])) AND run = $1 AND attempt = $3"


async def release(connection: asyncpg.Connection, seat: Seat, keys: Sequence[RangeKey]) -> None:
    """Pending ranges become released; they count against the credit from now on."""
    await connection.execute(
        f"UPDATE tailrace.range SET state = 'released', released_at = clock_timestamp() "
        f"WHERE state = 'pending' AND {_KEYS} AND {_LEADS}",
        seat.run, seat.epoch, seat.attempt, *zip(*keys, strict=True),
    )  # fmt: skip


async def mark_sent(connection: asyncpg.Connection, seat: Seat, keys: Sequence[RangeKey]) -> None:
    """Their work items are on the topic; their patience starts anew."""
    await connection.execute(
        f"UPDATE tailrace.range SET sent = true, released_at = clock_timestamp() WHERE {_KEYS} AND {_LEADS}",
        seat.run, seat.epoch, seat.attempt, *zip(*keys, strict=True),
    )  # fmt: skip


async def mark_done(connection: asyncpg.Connection, seat: Seat, keys: Sequence[RangeKey]) -> None:
    """Ranges that the ledger holds; their rows are added to their tables, once."""
    await connection.execute(
        f"WITH done AS (UPDATE tailrace.range SET state = 'done' WHERE state = 'read' AND {_KEYS} AND {_LEADS} "
        "RETURNING run, attempt, table_no, rows), sums AS (SELECT table_no, sum(rows) AS rows FROM done GROUP BY table_no) "
        'UPDATE tailrace."table" t SET rows_loaded = t.rows_loaded + sums.rows, rows_read = t.rows_read + sums.rows '
        "FROM sums WHERE t.run = $1 AND t.attempt = $3 AND t.table_no = sums.table_no",
        seat.run, seat.epoch, seat.attempt, *zip(*keys, strict=True),
    )  # fmt: skip


async def complete_tables(connection: asyncpg.Connection, seat: Seat, numbers: Sequence[int]) -> None:
    """Tables all of whose ranges are done, by a look at the ranges of this very moment."""
    await connection.execute(
        f"UPDATE tailrace.\"table\" t SET state = 'loaded' WHERE run = $1 AND attempt = $3 AND table_no = ANY($4::int[]) "
        "AND state IN ('loading', 'resync') "
        f"AND {_LEADS} AND NOT EXISTS (SELECT 1 FROM tailrace.range r WHERE r.run = t.run AND r.attempt = t.attempt "
        "AND r.table_no = t.table_no AND r.state <> 'done')",
        seat.run, seat.epoch, seat.attempt, list(numbers),
    )  # fmt: skip


async def forget(connection: asyncpg.Connection, run: str, *, replicas: bool = False) -> None:
    """Remove a run's working rows; its one-line record stays."""
    for table in (
        "ledger", "range", '"table"', "leak", "lane", "capture", "comparison_batch", "comparison_side", "sample", "model",
        "pool",
    ):  # fmt: skip
        await connection.execute(f"DELETE FROM tailrace.{table} WHERE run = $1", run)
    if replicas:
        await connection.execute("DELETE FROM tailrace.replica WHERE run = $1", run)


def as_json(value: object) -> str:
    """A list or dictionary as jsonb's text."""
    return json.dumps(value)
