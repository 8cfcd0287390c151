"""Emptying tables of the destination, never with CASCADE."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import asyncpg


async def empty(connection: asyncpg.Connection, names: Sequence[str]) -> None:
    """Empty these tables (SQL names) together, in the current transaction.

    By TRUNCATE. Where PostgreSQL refuses that, by DELETE: a table that is left alone refers to one of these, though no row does, or
    a key that is NOT ENFORCED comes from a table that has no other (PostgreSQL 18 takes it for one that is not in the list). Raises
    asyncpg's errors.
    """
    if not names:
        return
    try:
        async with connection.transaction():
            await connection.execute(f"TRUNCATE TABLE {', '.join(names)}")
    except asyncpg.FeatureNotSupportedError:
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
