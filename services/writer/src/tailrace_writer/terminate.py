"""Ending the database sessions of stopped replicas: a stopped process keeps its locks, since its kernel answers for it."""

from __future__ import annotations

import asyncpg

from tailrace_shared.postgres import translated

_STALE = """
SELECT pg_catalog.pg_terminate_backend(a.pid)
FROM pg_catalog.pg_stat_activity a
JOIN tailrace.replica r ON r.run = '' AND a.application_name = 'tailrace/' || r.replica
WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
  AND r.seen_at < clock_timestamp() - make_interval(secs => $1)
"""
_OF_REPLICA = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() AND application_name = 'tailrace/' || $1
"""
_HOLDER = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND granted AND pid <> pg_catalog.pg_backend_pid()
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND classid = (($1::bigint >> 32) & 4294967295)::oid AND objid = ($1::bigint & 4294967295)::oid AND objsubid = 1
"""


async def terminate_stale(connection: asyncpg.Connection, stale_s: float) -> int:
    """End the sessions of all writers that have not been heard of for ``stale_s`` seconds; how many there were."""
    with translated():
        return len(await connection.fetch(_STALE, stale_s))


async def terminate_replica(connection: asyncpg.Connection, replica: str) -> int:
    """End all sessions of one replica."""
    with translated():
        return len(await connection.fetch(_OF_REPLICA, replica))


async def terminate_lock_holder(connection: asyncpg.Connection, key: int) -> int:
    """End the session that holds an advisory lock exclusively, by its 64-bit key."""
    with translated():
        return len(await connection.fetch(_HOLDER, key))
