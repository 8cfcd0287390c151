"""What the stream does not say of the tables: that one was dropped, changed and not written to since, or has appeared; that a
partition was attached with rows in it, detached, truncated on its own; that the publication has lost a table, or is another one.

So whoever captures compares the source's catalogue with the plan now and then. A finding is a fact; what comes of it is decided
elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import asyncpg

from tailrace_reader.capture.errors import PublicationMissing
from tailrace_reader.capture.publication import Places, Publication, heaps_of, places_of, publication_of, relations_of
from tailrace_reader.capture.relations import Relation, differences
from tailrace_reader.capture.tables import described
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.changes import ColumnAdded
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import CapturedRelation, Plan, PlannedTable
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

BORN = """
WITH RECURSIVE up AS (
  SELECT i.inhrelid AS leaf, i.inhrelid AS at, i.inhparent AS parent, i.xmin = a.xmin AS born FROM pg_catalog.pg_inherits AS i
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.inhrelid AND a.attname = 'tableoid' WHERE i.inhrelid = ANY($1::oid[])
  UNION ALL
  SELECT up.leaf, i.inhrelid, i.inhparent, i.xmin = a.xmin FROM up JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = up.parent
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.inhrelid AND a.attname = 'tableoid'
)
SELECT leaf AS oid FROM up GROUP BY leaf HAVING bool_and(born)
"""
"""Partitions that were made as such, up to the root: all their rows have come through it. One that was attached is older than its
place in the tree."""
_CHANGED_BY = "SELECT oid, xmin::text AS xid FROM pg_catalog.pg_class WHERE oid = ANY($1::oid[])"


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
    lsn: int = 0
    """WAL position at that moment: what had happened then has passed a lane that goes as far."""
    changed_by: Mapping[int, int] = field(default_factory=dict)
    """Per heap of a partitioned table the (32-bit) xid that has last changed its entry, and with it perhaps its file."""
    publication: Publication | None = None
    places: Mapping[TableName, Places] = field(default_factory=dict)


@dataclass
class Watch:
    """Finds what has changed since the plan. It remembers what the stream has told, which is more than a later look can tell:
    whoever takes a capture over begins without, and at worst has a table loaded again that did not need it.
    """

    empty: set[int] = field(default_factory=set)
    """Partitions that it has seen empty: their rows are in the stream."""
    truncated: set[int] = field(default_factory=set)
    """Tables (plan numbers) that the stream has told to be emptied since their files were last explained."""
    files: dict[int, int] = field(default_factory=dict)
    """Heaps whose new file is of such a TRUNCATE."""
    doubtful: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Heaps with a new file that the stream may still explain: the file, and up to where the lane must have come."""
    fresh: bool = True
    """It has not looked yet, and knows of no TRUNCATE that a former capture has taken."""
    oid: int = 0
    """Of the publication: one that was made again under its name has not published what came in between."""

    def changed(self, plan: Plan, look: Look, tail: int) -> dict[int, str]:
        """Tables of the plan that are not what they were, and how. ``tail``: how far the lane goes.

        Raises PublicationMissing.
        """
        assert plan.continuous is not None
        published = look.publication
        if published is None or (self.oid and published.oid != self.oid):
            raise PublicationMissing(plan.continuous.publication)
        self.oid = published.oid
        found = {}
        for table in plan.tables:
            if table.relation is None:
                continue
            why = self._changed(table, look, tail)
            if not why and not (published.all_kinds and published.via_root):
                why = f"publication {published.name} does not publish all of its changes any more"
            if not why and table.name not in published.tables:
                why = f"it is not in publication {published.name} any more"
            if why:
                found[table.number] = why
        self.fresh = False
        return found

    def _changed(self, table: PlannedTable, look: Look, tail: int) -> str:
        given, now = table.relation, look.relations.get(table.name)
        assert given is not None
        if now is None:
            return "the source has no such table any more"
        if now.oid != given.oid:
            return "another table has taken its name in the source"
        if changes := differences(described(table), now, {}):
            words = [f"column {c.column} {c.change}" if hasattr(c, "column") else c.change for c in changes]
            return f"its definition has changed in the source: {', '.join(words)}"
        if table.name in look.places and (again := replaced(given, look.places[table.name])):
            return f"column {again} was dropped and added again in the source"
        if [leaf.oid for leaf in table.leaves] == [given.oid]:
            return ""  # a table of its own: what empties or fills it is in the stream, whatever its file is
        return self._partitions(table, look, tail)

    def _partitions(self, table: PlannedTable, look: Look, tail: int) -> str:
        known, there = {leaf.oid: leaf.filenode for leaf in table.leaves}, dict(look.heaps.get(table.name, frozenset()))
        if any(oid not in there for oid in known):
            return "a partition of it was detached or dropped in the source"
        if self._rewritten(table, known, there, look, tail):
            return "a partition of it was truncated or rewritten in the source"
        for oid in there.keys() - known.keys() - self.empty:
            if oid in look.filled:
                return "a partition with rows was attached to it in the source"
            self.empty.add(oid)
        return ""

    def _rewritten(
        self, table: PlannedTable, known: Mapping[int, int], there: Mapping[int, int], look: Look, tail: int
    ) -> bool:
        """Heaps have other files than planned, and no TRUNCATE of the table explains it: one gives all of them new files at once.

        Where several partitions have new ones of a single transaction, that is taken for a TRUNCATE that a former capture has told.
        """
        new = {oid: there[oid] for oid, file in known.items() if there[oid] not in (file, self.files.get(oid))}
        if not new:
            return False
        whole = len(new) == len(known) and len({look.changed_by.get(oid) for oid in new}) == 1
        if whole and (table.number in self.truncated or (self.fresh and len(new) > 1)):
            self.files |= new
            self.truncated.discard(table.number)
            return False
        since = [self.doubtful.get(oid, (0, 0)) for oid in new]
        self.doubtful |= {
            oid: (file, look.lsn) for oid, file in new.items() if self.doubtful.get(oid, (0, 0))[0] != file
        }
        told = all(file == new[oid] and tail >= lsn for oid, (file, lsn) in zip(new, since, strict=True))
        return told or (tail >= look.lsn and not whole)


def replaced(given: CapturedRelation, now: Places) -> str:
    """A column that is not the one that was planned, although it has its name; empty where there is none."""
    known = {c.name: c.number for c in given.columns if c.number}
    return next((name for name, number in known.items() if now.numbers.get(name, number) != number), "")


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


def grown_in(plan: Plan, look: Look) -> dict[int, Relation]:
    """Tables of the plan that have got columns and are otherwise as they were; nobody may have written a row with them."""
    found = {}
    for table in plan.tables:
        now = look.relations.get(table.name)
        if table.relation is None or now is None or now.oid != table.relation.oid:
            continue
        changes = differences(described(table), now, {})
        if changes and all(isinstance(change, ColumnAdded) for change in changes):
            found[table.number] = now
    return found


async def look_at(connection: asyncpg.Connection, job: Job, plan: Plan) -> Look:
    """Ask the source's catalogue. Raises the mapped driver error."""
    carried = [table.name for table in plan.tables if table.relation is not None]
    relations = await relations_of(connection, carried)
    heaps = await heaps_of(connection, carried)
    places = await places_of(connection, carried)
    known = {leaf.oid for table in plan.tables for leaf in table.leaves}
    strange = [oid for found in heaps.values() for oid, _ in found if oid not in known]
    assert plan.continuous is not None
    publication = await publication_of(connection, plan.continuous.publication)
    with translated():
        rows = await connection.fetch(_TABLES, list(job.schemas))
        born = {row["oid"] for row in await connection.fetch(BORN, strange)}
        filled = [oid for oid in strange if oid not in born and await _holds_rows(connection, oid)]
        parts = [oid for name, found in heaps.items() for oid, _ in found if oid != relations[name].oid]
        changed = await connection.fetch(_CHANGED_BY, parts)
        lsn = await connection.fetchval("SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::bigint")
    names = tuple(TableName(schema_name=row["space"], name=row["name"]) for row in rows)
    changed_by = {row["oid"]: int(row["xid"]) for row in changed}
    return Look(relations, heaps, frozenset(filled), names, int(lsn), changed_by, publication, places)


async def _holds_rows(connection: asyncpg.Connection, oid: int) -> bool:
    row = await connection.fetchrow(
        "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class AS c "
        "JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = $1",
        oid,
    )
    if row is None:
        return False
    return bool(await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM ONLY {qualified(row[0], row[1])})"))
