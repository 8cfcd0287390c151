"""A lane's row and its tables in the destination: read under a lock at the beginning of every transaction, written at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.types import qualified
from tailrace_writer.lane.apply import BY_INDEX
from tailrace_writer.lane.comparing import Wanted
from tailrace_writer.lane.position import Position
from tailrace_writer.lane.seen import Seen
from tailrace_writer.lock_keys import lock_key
from tailrace_writer.state.moves import Deposed

_ROW = """
SELECT l.system, l.timeline, l.position, l.kafka_offset,
  l.tables_version + r.tables_version AS tables_version, c.number, c.plan, c.tables, c.point
FROM tailrace.lane l JOIN tailrace.run r ON r.run = l.run AND r.attempt = l.attempt
LEFT JOIN tailrace.comparison c ON c.run = l.run AND c.attempt = l.attempt AND c.state = 'reading' AND c.cut_at IS NULL
  AND c.trouble = ''
WHERE l.run = $1 AND l.lane = $2 AND l.attempt = $3 AND l.held = '' AND NOT EXISTS (
    SELECT 1 FROM tailrace.capture b WHERE b.run = l.run AND b.lane = l.lane AND b.attempt = l.attempt AND b.broken <> '')
  AND (r.state = 'streaming' OR r.state = 'stopping' AND r.outcome = 'stopped')
FOR UPDATE OF l
"""
_TABLES = """
SELECT table_no, snapshot, filter_until, revision, since, grown FROM tailrace."table"
WHERE run = $1 AND attempt = $2 AND state = 'loaded'
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LaneRow:
    """What the destination says of a lane."""

    position: Position
    offset: int
    """Of the last record that is applied; −1 before the first."""
    tables_version: int
    wanted: Wanted | None = None
    """A comparison that waits for the lane."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a table was loaded anew while the run streamed."""

    revision: int
    """Of the plan by which its changes are carried from there on."""
    since: int
    """Commit LSN up to which its load has seen everything."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Tables that follow the lane."""

    seen: Mapping[int, Seen | None]
    """Transactions that a table's load has seen; None: every change is new to it."""
    marks: Mapping[int, Mark]
    grown: Mapping[int, int]
    """Revision of the plan up to which the destination has the columns that came in place."""


class NotNow(Exception):
    """The run does not stream this attempt: it is paused, a table of it loads, or it is over."""


async def open_lane(
    connection: asyncpg.Connection, run: str, attempt: int, lane: int, *, lock_timeout_s: float, replica_role: bool
) -> LaneRow:
    """BEGIN, fence, the lane's row locked. Raises NotNow (the transaction is rolled back) and the driver's errors."""
    role = "SET LOCAL session_replication_role = replica; " if replica_role else ""
    await connection.execute(
        "BEGIN; SET LOCAL synchronous_commit = on; "
        f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}; {BY_INDEX}; {role}"
        f"SELECT pg_catalog.pg_advisory_xact_lock_shared({lock_key('fence', run)})"
    )
    row = await connection.fetchrow(_ROW, run, lane, attempt)
    if row is None:
        await connection.execute("ROLLBACK")
        raise NotNow
    position = Position(row["system"], row["timeline"], row["position"])
    wanted = None
    if row["number"] is not None:
        wanted = Wanted(row["number"], row["plan"], tuple(row["tables"]), row["point"])
    return LaneRow(position, row["kafka_offset"], row["tables_version"], wanted)


async def followed(connection: asyncpg.Connection, run: str, attempt: int, position: int) -> Followed:
    """Tables that follow the lane, with what their loads have seen where that still matters at this position."""
    rows = await connection.fetch(_TABLES, run, attempt)
    seen = {
        row["table_no"]: Seen.of(row["snapshot"], row["filter_until"])
        if row["snapshot"] and row["filter_until"] > position
        else None
        for row in rows
    }
    marks = {row["table_no"]: Mark(row["revision"], row["since"]) for row in rows if row["revision"]}
    return Followed(seen, marks, {row["table_no"]: row["grown"] for row in rows})


async def close_lane(
    connection: asyncpg.Connection, run: str, lane: int, after: Position, offset: int, committed_us: int, changes: int
) -> None:
    """The new position, then COMMIT. Raises Deposed where the row is not as it was: then nothing is committed."""
    status = await connection.execute(
        "UPDATE tailrace.lane SET timeline = $3, position = $4, kafka_offset = $5, changes = changes + $7, "
        "committed_at = coalesce($6, committed_at), applied_at = clock_timestamp() WHERE run = $1 AND lane = $2",
        run, lane, after.timeline, after.lsn, offset,
        _EPOCH + timedelta(microseconds=committed_us) if committed_us else None, changes,
    )  # fmt: skip
    if status != "UPDATE 1":
        raise Deposed(run)
    await connection.execute("COMMIT")


async def offset_of(connection: asyncpg.Connection, run: str, attempt: int, lane: int) -> int | None:
    """Of the last record that the destination holds; None where it knows no such lane."""
    offset: int | None = await connection.fetchval(
        "SELECT kafka_offset FROM tailrace.lane WHERE run = $1 AND attempt = $2 AND lane = $3", run, attempt, lane
    )
    return offset


async def is_partitioned(connection: asyncpg.Connection, name: TableName) -> bool:
    """Whether the destination's table is. False where there is none: applying will say so."""
    kind = await connection.fetchval(
        "SELECT relkind FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)",
        qualified(name.schema_name, name.name),
    )
    return bool(kind == b"p")


async def has_deferrable(connection: asyncpg.Connection, name: TableName) -> bool:
    """Whether the destination's table has a unique or an exclusion constraint that may be checked at a transaction's end."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE condeferrable AND contype IN ('p', 'u', 'x') "
        "AND conrelid = pg_catalog.to_regclass($1))",
        qualified(name.schema_name, name.name),
    )
    return found


async def leave(connection: asyncpg.Connection, run: str, attempt: int, table: int, why: str) -> None:
    """The table does not follow its lane from here on; in the lane's own transaction. The caller knows, and who comes
    after it looks anyway: so no version is raised."""
    await connection.execute(
        "UPDATE tailrace.\"table\" SET state = 'quarantined', why = $4 WHERE run = $1 AND attempt = $2 AND table_no = $3 "
        "AND state = 'loaded'",
        run, attempt, table, why,
    )  # fmt: skip


async def quarantine(connection: asyncpg.Connection, run: str, attempt: int, table: int, why: str) -> None:
    """The same in a transaction of its own."""
    async with connection.transaction():
        await leave(connection, run, attempt, table, why)
