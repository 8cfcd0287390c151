"""Source and destination of the continuous demo beside each other: what is counted, what is newest, and whether both are equal."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from tailrace.demo.databases import DESTINATION, SOURCE, DemoDatabases

COUNTED = ("customer", "address", "rental", "payment")
_COUNTS = "SELECT " + ", ".join(f"(SELECT count(*) FROM public.{table})" for table in COUNTED)
_NEWEST = "SELECT first_name || ' ' || last_name, email FROM public.customer ORDER BY last_update DESC LIMIT 1"
_TABLES = (
    "SELECT c.oid::regclass::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1"
)
_LEFT = (
    "SELECT (SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_name LIKE 'tailrace%') "
    "+ (SELECT count(*) FROM pg_catalog.pg_publication WHERE pubname LIKE 'tailrace%')"
)


class Side(NamedTuple):
    """One database at a moment."""

    rows: dict[str, int]
    newest: str
    """Who was changed last: name and e-mail."""


class Sides:
    """Looks at both databases as an administrator would: past the run's own roles."""

    def __init__(self, source: asyncpg.Connection, destination: asyncpg.Connection) -> None:
        self.source = source
        self.destination = destination

    @classmethod
    async def connect(cls, databases: DemoDatabases) -> Sides:
        """Sessions on both."""
        source = await asyncpg.connect(databases.cluster.url(SOURCE))
        return cls(source, await asyncpg.connect(databases.cluster.url(DESTINATION)))

    async def close(self) -> None:
        """End the sessions."""
        await self.source.close()
        await self.destination.close()

    async def look(self) -> tuple[Side, Side]:
        """Both, as they are now."""
        return await _side(self.source), await _side(self.destination)

    async def position(self) -> int:
        """Where the source's WAL is now; something comes behind it, so that an idle lane says that it is there."""
        at: int = await self.source.fetchval("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
        await self.source.execute("SELECT pg_logical_emit_message(true, 'tailrace.heartbeat', 'demo')")
        return at

    async def applied(self) -> int:
        """Up to where the destination holds the source."""
        return await self.destination.fetchval("SELECT coalesce(max(position), 0) FROM tailrace.lane") or 0

    async def digest(self) -> dict[str, tuple[int, str]]:
        """Per table of the destination: rows, and a hash of them in any order."""
        found = {}
        for (table,) in await self.destination.fetch(_TABLES):
            row = await self.destination.fetchrow(
                f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 7)::numeric), 0)::text FROM {table} t"
            )
            assert row is not None
            found[str(table)] = (int(row[0]), str(row[1]))
        return found

    async def left(self) -> int:
        """Slots and publications of ours in the source."""
        return int(await self.source.fetchval(_LEFT))


async def _side(connection: asyncpg.Connection) -> Side:
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        counts, newest = await connection.fetchrow(_COUNTS), await connection.fetchrow(_NEWEST)
    rows = dict(zip(COUNTED, counts or (), strict=True))
    return Side(rows, "" if newest is None else f"{newest[0]}, {newest[1]}")
