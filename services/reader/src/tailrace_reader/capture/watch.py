"""What the stream does not say of the tables: that one was dropped, changed and not written to since, or has appeared; that a
partition was attached with rows in it, detached, truncated on its own.

So whoever captures compares the source's catalogue with the plan now and then. A finding is a fact; what comes of it is decided
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg

from tailrace_reader.capture.publication import heaps_of, relations_of
from tailrace_reader.capture.relations import Relation, RelationColumn, differences
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.plan.scope import rule_for
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified

EVERY_S = 10.0
_TABLES = """
SELECT n.nspname::text AS space, c.relname::text AS name FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Look:
    """The catalogue at one moment, as far as the plan's tables go."""

    relations: Mapping[TableName, Relation]
    heaps: Mapping[TableName, frozenset[tuple[int, int]]]
    """Oid and file of every heap."""
    filled: frozenset[int]
    """Heaps that the plan does not know and that hold rows."""
    names: tuple[TableName, ...]
    """All tables of the job's schemas."""


@dataclass
class Watch:
    """Finds what has changed since the plan; remembers partitions that it has seen empty, since their rows are in the stream."""

    empty: set[int] = field(default_factory=set)

    def changed(self, plan: Plan, look: Look) -> dict[int, str]:
        """Tables of the plan that are not what they were, and how."""
        found = {}
        for table in plan.tables:
            if table.relation is not None and (why := self._changed(table, look)):
                found[table.number] = why
        return found

    def _changed(self, table: PlannedTable, look: Look) -> str:
        given, now = table.relation, look.relations.get(table.name)
        assert given is not None
        if now is None:
            return "the source has no such table any more"
        if now.oid != given.oid:
            return "another table has taken its name in the source"
        planned = Relation(
            given.oid,
            table.name.schema_name,
            table.name.name,
            given.identity,
            tuple(RelationColumn(c.name, c.type_oid, c.typmod, c.key) for c in given.columns),
        )
        if changes := differences(planned, now, {}):
            words = [f"column {c.column} {c.change}" if hasattr(c, "column") else c.change for c in changes]
            return f"its definition has changed in the source: {', '.join(words)}"
        if [leaf.oid for leaf in table.leaves] == [given.oid]:
            return ""  # a table of its own: what empties or fills it is in the stream, whatever its file is
        return self._partitions(table, look.heaps.get(table.name, frozenset()), look.filled)

    def _partitions(self, table: PlannedTable, heaps: frozenset[tuple[int, int]], filled: frozenset[int]) -> str:
        known, there = {leaf.oid: leaf.filenode for leaf in table.leaves}, dict(heaps)
        if any(oid not in there for oid in known):
            return "a partition of it was detached or dropped in the source"
        if any(there[oid] != filenode for oid, filenode in known.items()):
            return "a partition of it was truncated or rewritten in the source"
        for oid in there.keys() - known.keys() - self.empty:
            if oid in filled:
                return "a partition with rows was attached to it in the source"
            self.empty.add(oid)
        return ""


def added(job: Job, plan: Plan, look: Look) -> list[TableName]:
    """Tables of the source that the job carries and the plan does not have."""
    planned = {table.name for table in plan.tables}
    found = []
    for name in look.names:
        if name not in planned:
            _, rule = rule_for(job, name)
            if (rule.mode if rule else job.default_mode) in ("carry", "duplicate"):
                found.append(name)
    return found


async def look_at(connection: asyncpg.Connection, job: Job, plan: Plan) -> Look:
    """Ask the source's catalogue. Raises the mapped driver error."""
    carried = [table.name for table in plan.tables if table.relation is not None]
    relations = await relations_of(connection, carried)
    heaps = await heaps_of(connection, carried)
    known = {leaf.oid for table in plan.tables for leaf in table.leaves}
    strange = [oid for found in heaps.values() for oid, _ in found if oid not in known]
    with translated():
        rows = await connection.fetch(_TABLES, list(job.schemas))
        filled = [oid for oid in strange if await _holds_rows(connection, oid)]
    names = tuple(TableName(schema_name=row["space"], name=row["name"]) for row in rows)
    return Look(relations, heaps, frozenset(filled), names)


async def _holds_rows(connection: asyncpg.Connection, oid: int) -> bool:
    row = await connection.fetchrow(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class AS c "
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1",
        oid,
    )
    if row is None:
        return False
    return bool(await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM ONLY {qualified(row[0], row[1])})"))
