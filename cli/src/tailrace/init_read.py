"""What `tailrace init` reads: the catalogues of both ends, or of the source alone, and facts for the draft."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tailrace.environment import require
from tailrace_shared.catalogue.model import Catalogue, Table
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.errors import UsageError
from tailrace_shared.plan.scope import RESERVED_SCHEMA
from tailrace_shared.postgres import connect, translated
from tailrace_shared.secrets import name_of, resolve

_APPLICATION = "tailrace/command"
_REFERENCE = re.compile(r"(?:[A-Z][A-Z0-9_]*|\$\{[A-Z][A-Z0-9_]*\})")
_SCHEMAS = """
SELECT n.nspname FROM pg_catalog.pg_namespace AS n
WHERE n.nspname <> ALL ($1) AND n.nspname !~ '^pg_' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e'
      AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass))
ORDER BY 1
"""
"""Schemas with tables that are nobody's but the database's own."""
_ALL = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "OWNER")


@dataclass(frozen=True)
class Ends:
    """What is known of both databases; without a destination, one is assumed that has the source's structure."""

    source: asyncpg.Connection
    source_catalogue: Catalogue
    destination_catalogue: Catalogue
    schemas: tuple[str, ...]


def reference(option: str, given: str) -> str:
    """``${NAME}`` of ``NAME`` or ``${NAME}``. Raises UsageError for anything else, without repeating it: it may be a URL."""
    if not _REFERENCE.fullmatch(given):
        raise UsageError(
            "init.reference",
            f"{option} takes the name of an environment variable that holds the URL, in capital letters",
            f"Put the URL into a variable and name that: `export SOURCE_URL=…`, then `{option} SOURCE_URL`.",
        )
    return given if given.startswith("$") else f"${{{given}}}"


@asynccontextmanager
async def read_ends(
    source: str, destination: str | None, schemas: Sequence[str], environ: Mapping[str, str] = os.environ
) -> AsyncIterator[Ends]:
    """Both catalogues, over sessions that cannot write. Raises UsageError and connection errors as ``tailrace plan`` does."""
    require([r for r in (source, destination) if r], environ)
    async with AsyncExitStack() as stack:

        async def session(url: str) -> asyncpg.Connection:
            made = await connect(
                resolve(url, environ), _APPLICATION, variable=name_of(url), default_transaction_read_only="on"
            )
            stack.push_async_callback(made.close)
            return made

        reader = await session(source)
        with translated():
            listed = tuple(dict.fromkeys(schemas)) or await _own_schemas(reader)
            ours = await read_catalogue(reader, listed)
            theirs = (
                await read_catalogue(await session(destination), listed, ask_rows=True)
                if destination
                else as_destination(ours)
            )
        if destination and ours.system_id and (ours.system_id, ours.database) == (theirs.system_id, theirs.database):
            raise UsageError(
                "init.same-database",
                "source and destination are the same database",
                "Name another database as destination: the source is only read.",
            )
        yield Ends(reader, ours, theirs, listed)


def as_destination(source: Catalogue) -> Catalogue:
    """An empty database of the same structure whose role may do everything."""
    names = [str(n) for t in source.tables for n in (t.name, *(p.name for p in t.partitions))]
    names += [f"{s.schema_name}.{s.name}" for s in source.sequences]
    privileges = dict.fromkeys(names, _ALL) | {t.name.schema_name: ("USAGE", "CREATE") for t in source.tables}
    tables: tuple[Table, ...] = tuple(
        t.model_copy(update={"has_rows": False, "row_security": False}) for t in source.tables
    )
    return source.model_copy(
        update={"system_id": "", "database": "", "privileges": privileges, "tables": tables, "can_create": True}
    )


async def _own_schemas(connection: asyncpg.Connection) -> tuple[str, ...]:
    rows = await connection.fetch(_SCHEMAS, ["information_schema", RESERVED_SCHEMA])
    if not rows:
        raise UsageError(
            "init.no-schema",
            "the source's role sees no schema with a table",
            "Grant it USAGE on the schemas and SELECT on their tables (docs/privileges.md), or name schemas with --schema.",
        )
    return tuple(row["nspname"] for row in rows)
