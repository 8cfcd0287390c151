"""The publication of a job: exactly its tables, made, changed and dropped; and what would hurt the source is refused first.

A published table without a usable replica identity makes every UPDATE and DELETE on it fail *on the source*.
https://www.postgresql.org/docs/current/logical-replication-publication.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from tailrace_reader.capture.relations import FULL, Relation, RelationColumn
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.errors import TerminalError
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident

LOCK_TIMEOUT_MS = 5_000
"""Publishing locks its tables against DDL: it must not queue for long, since others queue behind it."""
_IDENTITIES = """
WITH RECURSIVE tree AS (
  SELECT c.oid AS root, c.oid AS member FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS asked (space, name)
    ON n.nspname = asked.space AND c.relname = asked.name
  WHERE c.relkind IN ('r', 'p')
  UNION ALL
  SELECT tree.root, i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.member
  JOIN pg_catalog.pg_class AS child ON child.oid = i.inhrelid WHERE child.relispartition
)
SELECT tree.root, c.oid, n.nspname::text AS space, c.relname::text AS name, c.relkind::text AS kind, c.relpersistence::text AS kept,
  c.relreplident::text AS identity, coalesce(pg_catalog.pg_relation_filenode(c.oid), 0) AS filenode,
  c.relnatts AS last,
  ARRAY(
    SELECT a.attname::text FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a
      ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey[0:i.indnkeyatts - 1])
    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END
    ORDER BY a.attnum
  ) AS key,
  ARRAY(
    SELECT ROW(a.attname::text, a.atttypid, a.atttypmod, a.attnum) FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum
  ) AS columns
FROM tree JOIN pg_catalog.pg_class AS c ON c.oid = tree.member JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
ORDER BY n.nspname, c.relname
"""
_PUBLICATION = """
SELECT p.oid, p.puballtables AS everything, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS all_kinds,
  p.pubviaroot AS via_root,
  ARRAY(SELECT ROW(t.schemaname::text, t.tablename::text) FROM pg_catalog.pg_publication_tables AS t WHERE t.pubname = p.pubname)
    AS tables,
  ARRAY(
    SELECT r.prrelid::regclass::text FROM pg_catalog.pg_publication_rel AS r
    WHERE r.prpubid = p.oid
      AND (pg_catalog.to_jsonb(r) ->> 'prqual' IS NOT NULL OR pg_catalog.to_jsonb(r) ->> 'prattrs' IS NOT NULL)
  ) AS narrowed
FROM pg_catalog.pg_publication AS p WHERE p.pubname = $1
"""


@dataclass(frozen=True)
class Places:
    """Which numbers a table's columns have. The stream names columns and no numbers: one that was dropped and added again looks
    the same there, and holds NULL."""

    numbers: Mapping[str, int]
    last: int
    """The highest that a column has had: the next one gets the number behind it."""


@dataclass(frozen=True)
class Member:
    """A published table, or a partition of one, and what identifies its rows."""

    relation: Relation
    filenode: int
    """0 for a partitioned table, which has no file."""
    persistent: bool
    places: Places


@dataclass(frozen=True)
class Publication:
    """A publication as the source has it."""

    name: str
    everything: bool
    all_kinds: bool
    via_root: bool
    tables: frozenset[TableName]
    narrowed: tuple[str, ...]
    """Tables with a row filter or a column list."""
    oid: int = 0


async def relations_of(connection: asyncpg.Connection, tables: Sequence[TableName]) -> dict[TableName, Relation]:
    """How the stream will describe these tables, as of now. Tables that do not exist are missing from the answer."""
    return {name: members[0].relation for name, members in (await _members(connection, tables)).items()}


async def places_of(connection: asyncpg.Connection, tables: Sequence[TableName]) -> dict[TableName, Places]:
    """The numbers of these tables' columns, as of now."""
    return {name: members[0].places for name, members in (await _members(connection, tables)).items()}


async def heaps_of(
    connection: asyncpg.Connection, tables: Sequence[TableName]
) -> dict[TableName, frozenset[tuple[int, int]]]:
    """Oid and file of every heap of these tables: what changes without a word in the stream changes these.

    A TRUNCATE of a single partition is not published via the root, nor is ATTACH or DETACH PARTITION; a rewrite (ADD COLUMN with a
    volatile default, ALTER TYPE) changes rows without row changes. VACUUM FULL and CLUSTER change files and no row.
    """
    found = await _members(connection, tables)
    return {
        name: frozenset((m.relation.oid, m.filenode) for m in members if m.filenode) for name, members in found.items()
    }


async def check_identities(connection: asyncpg.Connection, tables: Sequence[TableName]) -> None:
    """Refuse what cannot be published without harm. Raises TerminalError that names all such tables:

    ``capture.unknown-table``, ``capture.not-logged`` (unlogged, temporary), ``capture.replica-identity`` (UPDATE and DELETE would
    fail on the source), ``capture.partition-identity`` (a partition's rows are identified otherwise than its root's).
    """
    found = await _members(connection, tables)
    _refuse(
        "capture.unknown-table", [str(t) for t in tables if t not in found], "not a table of the source",
        "Check the job's tables: views and foreign tables cannot be followed.",
    )  # fmt: skip
    members = [(name, m) for name, ms in found.items() for m in ms]
    _refuse(
        "capture.not-logged", [_named(m) for _, m in members if not m.persistent], "not written to the WAL",
        "ALTER TABLE … SET LOGGED, or exclude the table from the continuous job.",
    )  # fmt: skip
    _refuse(
        "capture.replica-identity",
        [_named(m) for _, m in members if not m.relation.key],
        "without a usable replica identity: published, UPDATE and DELETE on it would fail in the source",
        "Give it a primary key that is not deferrable, or ALTER TABLE … REPLICA IDENTITY FULL (or USING INDEX), "
        "or exclude it from the continuous job.",
    )
    _refuse(
        "capture.partition-identity",
        [_named(m) for name, m in members if not _like_root(m.relation, found[name][0].relation)],
        "a partition whose replica identity is not its root's",
        "Give partitions and root the same REPLICA IDENTITY.",
    )


async def ensure_publication(connection: asyncpg.Connection, name: str, tables: Sequence[TableName]) -> bool:
    """Make the managed publication hold exactly these tables; True where something was changed.

    Tables are checked first, see ``check_identities``. Raises also TransientError (``postgres.lock``) where DDL is in the way, and
    TerminalError (``postgres.privilege``): publishing needs CREATE on the database and ownership of the tables.
    """
    await check_identities(connection, tables)
    wanted = ", ".join(qualified(t.schema_name, t.name) for t in sorted(set(tables)))
    present = await publication_of(connection, name)
    options = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true"
    if present is None:
        statements = [f"CREATE PUBLICATION {quote_ident(name)} FOR TABLE {wanted} WITH ({options})"]
    elif present.tables == set(tables) and present.all_kinds and present.via_root and not present.narrowed:
        return False
    else:
        statements = [
            f"ALTER PUBLICATION {quote_ident(name)} SET TABLE {wanted}",
            f"ALTER PUBLICATION {quote_ident(name)} SET ({options})",
        ]
    with translated():
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            for statement in statements:
                await connection.execute(statement)
    return True


async def check_publication(connection: asyncpg.Connection, name: str, tables: Sequence[TableName]) -> None:
    """Whether a publication that somebody else keeps carries these tables whole. Raises TerminalError that says what is missing."""
    await check_identities(connection, tables)
    present = await publication_of(connection, name)
    if present is None:
        raise TerminalError(
            "capture.publication-missing",
            f"there is no publication {name} in the source",
            "Create it, or leave its name out of the job: Tailrace makes one then.",
        )
    remedy = "Alter the publication, or leave its name out of the job: Tailrace makes one then."
    _refuse(
        "capture.publication-tables", [str(t) for t in tables if t not in present.tables], f"not in publication {name}", remedy
    )  # fmt: skip
    _refuse("capture.publication-narrow", present.narrowed, f"only in part in publication {name}", remedy)
    if not present.all_kinds or not present.via_root:
        raise TerminalError(
            "capture.publication-options",
            f"publication {name} does not publish insert, update, delete and truncate via the partition root",
            f"ALTER PUBLICATION {quote_ident(name)} SET (publish = 'insert, update, delete, truncate', "
            "publish_via_partition_root = true);",
        )


async def publication_of(connection: asyncpg.Connection, name: str) -> Publication | None:
    """The publication, None where there is none."""
    with translated():
        row = await connection.fetchrow(_PUBLICATION, name)
    if row is None:
        return None
    tables = frozenset(TableName(schema_name=t[0], name=t[1]) for t in row["tables"])
    return Publication(
        name, row["everything"], row["all_kinds"], row["via_root"], tables, tuple(row["narrowed"]), row["oid"]
    )


async def drop_publication(connection: asyncpg.Connection, name: str) -> None:
    """Drop it; none is fine."""
    with translated():
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            await connection.execute(f"DROP PUBLICATION IF EXISTS {quote_ident(name)}")


async def _members(connection: asyncpg.Connection, tables: Sequence[TableName]) -> dict[TableName, list[Member]]:
    """Per table that exists itself first, then its partitions."""
    with translated():
        rows = await connection.fetch(_IDENTITIES, [t.schema_name for t in tables], [t.name for t in tables])
    roots = {
        row["oid"]: TableName(schema_name=row["space"], name=row["name"]) for row in rows if row["oid"] == row["root"]
    }
    found: dict[TableName, list[Member]] = {}
    for row in sorted(rows, key=lambda r: r["oid"] != r["root"]):
        whole = row["identity"] == FULL
        columns = tuple(RelationColumn(c[0], c[1], c[2], whole or c[0] in row["key"]) for c in row["columns"])
        relation = Relation(row["oid"], row["space"], row["name"], row["identity"], columns)
        places = Places({c[0]: c[3] for c in row["columns"]}, row["last"])
        member = Member(relation, row["filenode"], row["kept"] == "p", places)
        found.setdefault(roots[row["root"]], []).append(member)
    return found


def _like_root(member: Relation, root: Relation) -> bool:
    """The stream labels a partition's old image by its root's identity; only with the same columns is that true."""
    return (member.identity == FULL) == (root.identity == FULL) and set(member.key) == set(root.key)


def _named(member: Member) -> str:
    return f"{member.relation.schema}.{member.relation.name}"


def _refuse(code: str, tables: Sequence[str], why: str, remedy: str) -> None:
    if tables:
        raise TerminalError(code, f"{', '.join(tables)}: {why}", remedy)
