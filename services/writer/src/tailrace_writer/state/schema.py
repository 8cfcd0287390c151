"""The ``tailrace`` schema of a destination: what is kept there, and how it is made.

Everything is keyed by run and attempt, so that rows of a former attempt are never taken for those of the present one.
The one-line ``run`` row stays for good: it is what keeps a redelivered message from touching the destination again. What is new in
a later version is a step of ``migrations``, and not written here.
"""

from __future__ import annotations

import asyncpg

from tailrace_shared.postgres import translated
from tailrace_writer.state.migrations import OLDEST, hold, migrate, version_of

# json, not jsonb, for the job: among the patterns of `tables` the first one counts, and jsonb sorts keys.
_DDL = """
CREATE TABLE tailrace.run (
    run text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'submitted',
    attempt int NOT NULL DEFAULT 1,
    job json NOT NULL,
    digest text NOT NULL DEFAULT '',
    leader text NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 0,
    heartbeat timestamptz NOT NULL DEFAULT clock_timestamp(),
    submitted_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    catalogue_at timestamptz,
    tasked_at timestamptz,
    prepared boolean NOT NULL DEFAULT false,
    cancel_requested boolean NOT NULL DEFAULT false,
    outcome text NOT NULL DEFAULT '',
    failure jsonb,
    restart_because text NOT NULL DEFAULT '',
    unavailable text[] NOT NULL DEFAULT '{}',
    problems jsonb NOT NULL DEFAULT '[]',
    queued boolean NOT NULL DEFAULT false,
    waiting_for text NOT NULL DEFAULT '',
    checks jsonb NOT NULL DEFAULT '[]',
    verified_at timestamptz,
    progress jsonb NOT NULL DEFAULT '{}'
);
CREATE TABLE tailrace."table" (
    run text, attempt int, table_no int,
    schema_name text NOT NULL, name text NOT NULL,
    load int NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'loading',
    after_tables int[] NOT NULL DEFAULT '{}',
    planned_ranges int NOT NULL,
    estimated_rows double precision NOT NULL DEFAULT -1,
    rows_loaded bigint NOT NULL DEFAULT 0,
    rows_read bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run, attempt, table_no)
);
CREATE TABLE tailrace.range (
    run text, attempt int, table_no int, load int, range_no int,
    leaf int NOT NULL,
    low_block bigint NOT NULL, low_item int NOT NULL DEFAULT 0,
    high_block bigint, high_item int NOT NULL DEFAULT 0,
    parent_no int,
    estimated_bytes bigint NOT NULL,
    state text NOT NULL DEFAULT 'pending',
    sent boolean NOT NULL DEFAULT false,
    released_at timestamptz, read_at timestamptz,
    rows bigint, batches int, bytes bigint,
    PRIMARY KEY (run, attempt, table_no, load, range_no),
    UNIQUE (run, attempt, table_no, load, parent_no)
);
CREATE INDEX range_unfinished ON tailrace.range (run, attempt, table_no, range_no) WHERE state <> 'done';
CREATE TABLE tailrace.ledger (
    run text, attempt int, table_no int, load int, range_no int, batch_no int, part_no int,
    parts int NOT NULL, last boolean NOT NULL,
    rows bigint NOT NULL, bytes bigint NOT NULL,
    plan text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, attempt, table_no, load, range_no, batch_no, part_no)
);
CREATE TABLE tailrace.ddl (
    run text, attempt int, number int,
    kind text NOT NULL, schema_name text NOT NULL, table_name text NOT NULL, name text NOT NULL,
    drop_sql text NOT NULL,
    rebuild text[] NOT NULL,
    rebuilt int NOT NULL DEFAULT 0,
    trouble text NOT NULL DEFAULT '',
    PRIMARY KEY (run, attempt, number)
);
CREATE TABLE tailrace.claim (
    schema_name text, name text, run text NOT NULL,
    PRIMARY KEY (schema_name, name)
);
CREATE TABLE tailrace.replica (
    run text, replica text,
    service text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    release text NOT NULL DEFAULT '',
    fingerprints jsonb,
    refused jsonb,
    hindrance text NOT NULL DEFAULT '',
    attempt int NOT NULL DEFAULT 0,
    snapshot text NOT NULL DEFAULT '',
    rows bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0, memory_bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run, replica)
);
CREATE TABLE tailrace.leak (
    run text, attempt int, table_no int, column_name text,
    sampled int NOT NULL, weight double precision NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    found int, source_distinct bigint,
    PRIMARY KEY (run, attempt, table_no, column_name)
);
CREATE TABLE tailrace.version (version int NOT NULL);
"""


async def ensure_schema(connection: asyncpg.Connection) -> None:
    """Make the schema where it is missing, bring it up to date where it is older; any number of writers may try at once.

    A role without CREATE on the database finds the schema made by an administrator, with CREATE granted in it. Raises
    TerminalError where neither is so, or as ``migrations.migrate`` does.
    """
    with translated():
        if await version_of(connection) is None:
            async with connection.transaction():
                await hold(connection)
                if await version_of(connection) is None:
                    await _create(connection)
    await migrate(connection)


async def _create(connection: asyncpg.Connection) -> None:
    if not await connection.fetchval("SELECT pg_catalog.to_regnamespace('tailrace') IS NOT NULL"):
        await connection.execute("CREATE SCHEMA tailrace")
    await connection.execute(_DDL)
    await connection.execute("INSERT INTO tailrace.version VALUES ($1)", OLDEST)
