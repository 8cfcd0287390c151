"""Emptying tables of the destination, never with CASCADE."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import asyncpg

from tailrace_shared.errors import TerminalError

_OUTSIDE = """
WITH emptied AS (
  SELECT n.rel::oid AS rel FROM unnest($1::text[]::pg_catalog.regclass[]) AS n (rel)
  UNION SELECT p.relid::oid FROM unnest($1::text[]::pg_catalog.regclass[]) AS n (rel), LATERAL pg_catalog.pg_partition_tree(n.rel) p
)
SELECT s.nspname || '.' || c.relname AS name, k.conname::text AS key,
  pg_catalog.format('SELECT EXISTS (SELECT FROM %I.%I WHERE %s)', s.nspname, c.relname,
  (SELECT pg_catalog.string_agg(pg_catalog.format('%I IS NOT NULL', a.attname), ' AND ') FROM pg_catalog.pg_attribute a
   WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey))) AS question FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
WHERE k.contype = 'f' AND COALESCE((to_jsonb(k)->>'conenforced')::boolean, true)
  AND k.confrelid IN (SELECT rel FROM emptied) AND k.conrelid NOT IN (SELECT rel FROM emptied)
"""
"""Per key of a table that is left alone to one of these: whether any of its rows refers there."""


async def empty(connection: asyncpg.Connection, names: Sequence[str]) -> None:
    """Empty these tables (SQL names) together, in the current transaction.

    By TRUNCATE. Where PostgreSQL refuses that, by DELETE: a table that is left alone refers to one of these, though no row does, or
    a key that is NOT ENFORCED comes from a table that has no other (PostgreSQL 18 takes it for one that is not in the list). Where
    a row of a table that is left alone does refer there, nothing is done: its key's ON DELETE would reach that row. Raises
    TerminalError (``prepare.outside-rows``) then, and asyncpg's errors.
    """
    if not names:
        return
    try:
        async with connection.transaction():
            await connection.execute(f"TRUNCATE TABLE {', '.join(names)}")
    except asyncpg.FeatureNotSupportedError:
        for outside in await connection.fetch(_OUTSIDE, [name.removeprefix("ONLY ") for name in names]):
            if await connection.fetchval(outside["question"]):
                raise TerminalError(
                    "prepare.outside-rows",
                    f"rows of {outside['name']}, which is left alone, refer to tables that are emptied ({outside['key']})",
                    f"Carry or truncate {outside['name']}, or empty it before the run.",
                ) from None
        await _delete(connection, names)


async def _delete(connection: asyncpg.Connection, names: Sequence[str]) -> None:
    """Delete all rows, referencing tables first: whoever is refused waits for the next round."""
    with suppress(asyncpg.InsufficientPrivilegeError):
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
    left = list(names)
    while left:
        refused: list[str] = []
        for name in left:
            try:
                async with connection.transaction():
                    await connection.execute(f"DELETE FROM {name}")
            except asyncpg.ForeignKeyViolationError:
                if len(refused) + 1 == len(left):
                    raise
                refused.append(name)
        left = refused
