"""How the schema ``tailrace`` of a destination comes to a newer version: step by step, from whatever version it is.

A new version is one entry at the end of ``STEPS``, never a change of an older one: a schema that is made anew takes all steps too.
Writers of the version before go on working until they are replaced, so a step only adds: tables, columns with a default, indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from tailrace_shared.errors import TerminalError
from tailrace_shared.postgres import translated
from tailrace_writer.lock_keys import lock_key


class Step(NamedTuple):
    """From the version before to this one."""

    version: int
    sql: str
    """Any number of statements; they run in one transaction with the note of the version."""


_LANES: Final = """
CREATE TABLE tailrace.lane (
    run text, lane int, attempt int NOT NULL,
    system text NOT NULL, timeline int NOT NULL,
    position bigint NOT NULL,
    kafka_offset bigint NOT NULL DEFAULT -1,
    committed_at timestamptz, applied_at timestamptz,
    changes bigint NOT NULL DEFAULT 0,
    tables_version int NOT NULL DEFAULT 0,
    held text NOT NULL DEFAULT '',
    broken text NOT NULL DEFAULT '', why text NOT NULL DEFAULT '',
    ended_at bigint,
    capture text NOT NULL DEFAULT '', seen_at timestamptz,
    slot jsonb, tail bigint NOT NULL DEFAULT 0, source_end bigint NOT NULL DEFAULT 0, held_back boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run, lane)
);
ALTER TABLE tailrace.run ADD COLUMN pause_requested boolean NOT NULL DEFAULT false;
ALTER TABLE tailrace.run ADD COLUMN stop_requested boolean NOT NULL DEFAULT false;
ALTER TABLE tailrace."table" ADD COLUMN snapshot text NOT NULL DEFAULT '';
ALTER TABLE tailrace."table" ADD COLUMN filter_until bigint NOT NULL DEFAULT 0;
ALTER TABLE tailrace."table" ADD COLUMN why text NOT NULL DEFAULT '';
ALTER TABLE tailrace."table" ADD COLUMN resync_requested boolean NOT NULL DEFAULT false;
"""
"""Continuous runs: where their lanes are, and what their tables' loads have seen."""

_RESYNCS: Final = """
ALTER TABLE tailrace.run ADD COLUMN revision text NOT NULL DEFAULT '';
ALTER TABLE tailrace.run ADD COLUMN resync_no int NOT NULL DEFAULT 0;
ALTER TABLE tailrace.run ADD COLUMN resync_state text NOT NULL DEFAULT '';
ALTER TABLE tailrace.run ADD COLUMN resync_order text NOT NULL DEFAULT '';
ALTER TABLE tailrace.run ADD COLUMN resync_tables int[] NOT NULL DEFAULT '{}';
ALTER TABLE tailrace.run ADD COLUMN resync_plan text NOT NULL DEFAULT '';
ALTER TABLE tailrace.run ADD COLUMN resync_why text NOT NULL DEFAULT '';
ALTER TABLE tailrace.run ADD COLUMN resync_refused jsonb NOT NULL DEFAULT '{}';
ALTER TABLE tailrace.run ADD COLUMN resync_passing boolean NOT NULL DEFAULT false;
ALTER TABLE tailrace.run ADD COLUMN resync_at timestamptz;
ALTER TABLE tailrace."table" ADD COLUMN plan text NOT NULL DEFAULT '';
ALTER TABLE tailrace."table" ADD COLUMN revision int NOT NULL DEFAULT 0;
ALTER TABLE tailrace."table" ADD COLUMN since bigint NOT NULL DEFAULT 0;
ALTER TABLE tailrace."table" ADD COLUMN tries int NOT NULL DEFAULT 0;
ALTER TABLE tailrace."table" ADD COLUMN retry_at timestamptz;
ALTER TABLE tailrace.lane ADD COLUMN tables int NOT NULL DEFAULT 0;
ALTER TABLE tailrace.replica ADD COLUMN resync int NOT NULL DEFAULT 0;
"""
"""Tables of a continuous run that are loaded again while it streams: one such at a time, in the run's row."""

_COMPARISONS: Final = """
CREATE TABLE tailrace.comparison (
    run text PRIMARY KEY, attempt int NOT NULL, id text NOT NULL, number int NOT NULL, tries int NOT NULL DEFAULT 1,
    state text NOT NULL, why text NOT NULL DEFAULT '', trouble text NOT NULL DEFAULT '',
    asked text[] NOT NULL, tables int[] NOT NULL DEFAULT '{}', left_out jsonb NOT NULL DEFAULT '[]',
    plan text NOT NULL DEFAULT '', reader text NOT NULL DEFAULT '', point bigint,
    owner text NOT NULL DEFAULT '', cut_at timestamptz, moved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    bytes bigint NOT NULL DEFAULT 0, rows bigint NOT NULL DEFAULT 0, checks jsonb NOT NULL DEFAULT '[]'
);
CREATE TABLE tailrace.comparison_side (
    run text, number int, table_no int, side text,
    rows bigint NOT NULL DEFAULT 0, batches int NOT NULL DEFAULT 0,
    lane0 numeric NOT NULL DEFAULT 0, lane1 numeric NOT NULL DEFAULT 0, left_out text NOT NULL DEFAULT '',
    PRIMARY KEY (run, number, table_no, side)
);
CREATE TABLE tailrace.comparison_batch (
    run text, number int, table_no int, range_no int, batch_no int, part_no int, parts int NOT NULL,
    rows bigint NOT NULL, lane0 numeric NOT NULL, lane1 numeric NOT NULL,
    PRIMARY KEY (run, number, table_no, range_no, batch_no, part_no)
);
"""
"""The newest comparison of a continuous run's destination with its source, and while it goes on what both sides hold."""

_LOSSES: Final = """
ALTER TABLE tailrace.replica ADD COLUMN memory_limit bigint NOT NULL DEFAULT 0;
ALTER TABLE tailrace.replica ADD COLUMN leaving boolean NOT NULL DEFAULT false;
"""
"""What tells a replica that was killed for memory from one that has left."""

_MODELS: Final = """
CREATE TABLE tailrace.model (
    run text, attempt int, table_no int,
    trainer text NOT NULL DEFAULT '', digest text NOT NULL DEFAULT '', ready boolean NOT NULL DEFAULT false,
    progress jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (run, attempt, table_no)
);
CREATE TABLE tailrace.sample (
    run text, attempt int, table_no int, range_no int,
    sent_at timestamptz, rows bigint, batches int,
    PRIMARY KEY (run, attempt, table_no, range_no)
);
CREATE TABLE tailrace.saved_model (
    digest text PRIMARY KEY, table_name text NOT NULL, job text NOT NULL, run text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(), data bytea NOT NULL
);
"""
"""Tables that are learned: their samples, who learns them, and what was learned. A saved model outlives its run."""

_CAPTURES: Final = """
CREATE TABLE tailrace.capture (
    run text, lane int, attempt int, replica text NOT NULL DEFAULT '', seen_at timestamptz,
    slot jsonb, tail bigint NOT NULL DEFAULT 0, source_end bigint NOT NULL DEFAULT 0, held_back boolean NOT NULL DEFAULT false,
    broken text NOT NULL DEFAULT '', why text NOT NULL DEFAULT '', ended_at bigint,
    PRIMARY KEY (run, lane, attempt)
);
INSERT INTO tailrace.capture SELECT run, lane, attempt, capture, seen_at, slot, tail, source_end, held_back, broken, why, ended_at
FROM tailrace.lane;
"""
"""What is told of a lane's beginning, apart from its row: that is locked for as long as a transaction of the lane is applied."""

_FRESHNESS: Final = """
ALTER TABLE tailrace.capture ADD COLUMN behind_s float8 NOT NULL DEFAULT 0;
ALTER TABLE tailrace.capture ADD COLUMN waits jsonb NOT NULL DEFAULT '[]';
"""
"""Of which tables changes wait, as the capture has told."""

_POOLS: Final = """
CREATE TABLE tailrace.pool (
    run text, attempt int, table_no int, drawn_by int[] NOT NULL,
    sent_at timestamptz, digest text NOT NULL DEFAULT '', rows bigint,
    PRIMARY KEY (run, attempt, table_no)
);
"""
"""Keys of carried tables that made rows refer to."""

_GROWTHS: Final = """
ALTER TABLE tailrace.run ADD COLUMN resync_in_place boolean NOT NULL DEFAULT false;
ALTER TABLE tailrace.run ADD COLUMN tables_version int NOT NULL DEFAULT 0;
ALTER TABLE tailrace."table" ADD COLUMN grows boolean NOT NULL DEFAULT false;
ALTER TABLE tailrace."table" ADD COLUMN grown int NOT NULL DEFAULT 0;
"""
"""Columns that appear while a run streams, and are followed in place: asked for, and up to which plan the destination has them."""

_ATTEMPTS: Final = """
ALTER TABLE tailrace.run ADD COLUMN plan_before text NOT NULL DEFAULT '';
"""
"""Digest of the plan that the attempt before went by at its end."""

STEPS: Final[tuple[Step, ...]] = (
    Step(3, _LANES),
    Step(4, _RESYNCS),
    Step(5, _COMPARISONS),
    Step(6, _LOSSES),
    Step(7, _MODELS),
    Step(8, _CAPTURES),
    Step(9, _FRESHNESS),
    Step(10, _POOLS),
    Step(11, _GROWTHS),
    Step(12, _ATTEMPTS),
)
OLDEST: Final = 2
"""The version that ``schema`` makes, from which the steps go on."""
WAIT_S: Final = 30
"""For the locks of a step: batches hold theirs for milliseconds, the leader's looks too."""


def newest(steps: Sequence[Step] = STEPS) -> int:
    """The version that this writer works with."""
    return steps[-1].version if steps else OLDEST


async def migrate(connection: asyncpg.Connection, steps: Sequence[Step] = STEPS) -> None:
    """Bring an existing schema to the newest version; any number of writers may try at once.

    Raises TerminalError (``state.version``) for a schema that is newer than this writer, or older than any step, and
    (``state.migration``) where the role may not change it; the mapped driver error for locks that could not be had.
    """
    with translated():
        version = await version_of(connection)
        while version != newest(steps):
            step = next((s for s in steps if version is not None and s.version == version + 1), None)
            if version is None or step is None:
                raise _stranger(version, newest(steps))
            await _take(connection, step)
            version = await version_of(connection)


async def version_of(connection: asyncpg.Connection) -> int | None:
    """The version of the schema that is there; None where there is none."""
    if not await connection.fetchval("SELECT pg_catalog.to_regclass('tailrace.version') IS NOT NULL"):
        return None
    version: int | None = await connection.fetchval("SELECT version FROM tailrace.version")
    return version


async def hold(connection: asyncpg.Connection) -> None:
    """Until the transaction ends, nobody else makes or changes the schema."""
    await connection.execute(f"SELECT pg_catalog.pg_advisory_xact_lock({lock_key('schema')})")


async def _take(connection: asyncpg.Connection, step: Step) -> None:
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{WAIT_S}s'")
            await hold(connection)
            if await version_of(connection) == step.version - 1:  # else somebody was faster
                await connection.execute(step.sql)
                await connection.execute("UPDATE tailrace.version SET version = $1", step.version)
    except asyncpg.InsufficientPrivilegeError:
        owner = await connection.fetchval(
            "SELECT pg_catalog.pg_get_userbyid(relowner)::text FROM pg_catalog.pg_class "
            "WHERE oid = pg_catalog.to_regclass('tailrace.version')"
        )
        raise TerminalError(
            "state.migration",
            f"the schema tailrace of this destination is to be brought to version {step.version}, and its tables are {owner}'s",
            f"Run a writer of this version once as {owner}, or grant that role to the writer's.",
        ) from None


def _stranger(version: int | None, known: int) -> TerminalError:
    newer = version is not None and version > known
    return TerminalError(
        "state.version",
        f"the schema tailrace of this destination has version {version}, this writer knows {known}",
        "A newer Tailrace has been here: run its version of all services."
        if newer
        else "It is older than any that can be brought up to date: drop the schema when no run is active, to start afresh.",
    )
