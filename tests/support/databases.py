"""Pairs of a source and a destination database, with roles that may do exactly what the docs say, and their comparison."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from support.grants import Right, granted
from tailrace.embedded.postgres import EmbeddedPostgres

DATABASES = Path(__file__).resolve().parent.parent / "e2e" / "databases"


@dataclass
class Pair:
    """A source with rows and an empty destination of the same schema. URLs are those of the minimal roles."""

    name: str
    source: EmbeddedPostgres
    destination: EmbeddedPostgres
    password: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def source_url(self) -> str:
        return self.source.url(self.name, f"{self.name}_reader", self.password)

    @property
    def destination_url(self) -> str:
        return self.destination.url(self.name, f"{self.name}_loader", self.password)

    def grant(self, side: str, *rights: Right, schema: str = "public", **names: Sequence[str]) -> None:
        """Rights for the side's role, as superuser; ``names`` are those of ``granted``."""
        role = f"{self.name}_{'reader' if side == 'source' else 'loader'}"
        given = [granted(right, role, database=self.name, schema=schema, **names) for right in rights]
        getattr(self, side).run_sql("".join(given), self.name)

    def fetch(self, side: str, query: str) -> list[asyncpg.Record]:
        """Rows of a query, as superuser, from ``source`` or ``destination``."""

        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(getattr(self, side).url(self.name))
            try:
                return await connection.fetch(query)
            finally:
                await connection.close()

        return asyncio.run(ask())

    def value(self, side: str, query: str) -> object:
        """The first value of the first row."""
        return self.fetch(side, query)[0][0]

    def tables(self, side: str) -> list[str]:
        """Qualified, quoted names of all tables but Tailrace's own; partitions inside their parents."""
        found = self.fetch(
            side,
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' "
            "AND n.nspname NOT IN ('tailrace', 'pg_catalog', 'information_schema') ORDER BY 1",
        )
        return [row[0] for row in found]

    def digest(self, side: str = "destination") -> dict[str, tuple[int, int]]:
        """Per table: rows, and a hash of the multiset of rows."""
        return {
            table: tuple(
                self.fetch(
                    side, f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 7)::numeric), 0) FROM {table} t"
                )[0]
            )  # type: ignore[misc]
            for table in self.tables(side)
        }

    def catalogue(self, side: str = "destination") -> list[tuple[str, ...]]:
        """Every constraint, index and trigger with its definition and state, for comparing before and after."""
        rows = self.fetch(
            side,
            "SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), convalidated::text "
            "FROM pg_constraint WHERE connamespace::regnamespace::text NOT IN ('tailrace', 'pg_catalog', 'information_schema') "
            "UNION ALL SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid), "
            "indisvalid::text FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace::regnamespace::text "
            "NOT IN ('tailrace', 'pg_catalog', 'pg_toast', 'information_schema') "
            "UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname::text, pg_get_triggerdef(oid), tgenabled::text "
            "FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2, 3",
        )
        return [tuple(map(str, row)) for row in rows]

    def contains(self, needle: str, side: str = "destination") -> list[str]:
        """Tables with a row whose text holds the needle, in any column, Tailrace's own tables included."""
        found = []
        schema = [
            row[0]
            for row in self.fetch(
                side, "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'tailrace'"
            )
        ]
        for table in [*self.tables(side), *schema]:
            if self.value(side, f"SELECT count(*) FROM {table} t WHERE position('{needle}' in t::text) > 0"):
                found.append(table)
        return found


def make_pair(
    name: str,
    source: EmbeddedPostgres,
    destination: EmbeddedPostgres,
    schema: str,
    rows: str = "",
    *,
    owner: bool = True,
    structure: str | None = None,
) -> Pair:
    """Create both databases; ``owner``: the destination role owns its tables (bypass), else it is only granted (respect).

    ``structure`` is the destination's schema where it is not the source's: that of a dump without its rows.
    """
    theirs = schema if structure is None else structure
    pair = Pair(name, source, destination)
    source.create_database(name)
    source.run_sql(
        f"CREATE ROLE {name}_reader LOGIN PASSWORD '{pair.password}'",
    )
    source.run_sql(schema + "\n" + rows, name)
    for space in _schemas(pair, "source"):
        pair.grant("source", "use", "select", schema=space)
    destination.create_database(name)
    role = f"{name}_loader"
    destination.run_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{pair.password}'")
    pair.grant("destination", "keep state")
    if owner:
        pair.grant("destination", "use", "build")
        destination.run_sql(f"SET ROLE {role};\n{theirs}", name)
    else:
        destination.run_sql(theirs, name)
        pair.grant("destination", "use", "load", "set sequences")
    return pair


def _schemas(pair: Pair, side: str) -> list[str]:
    rows = pair.fetch(
        side,
        "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'tailrace')",
    )
    return [f'"{row[0]}"' for row in rows]
