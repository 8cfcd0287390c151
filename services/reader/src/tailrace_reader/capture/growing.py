"""Planning columns that a table has got, so that they are followed in place: what the source's catalogue must say of them.

The stream says no more of a new column than its name and type. Whether the rows that were there have NULL in it is asked of the
catalogue: a default leaves a *missing value* behind, which stays when the default is dropped, or has given the table another file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from tailrace_reader.capture.publication import Places, heaps_of, places_of, relations_of
from tailrace_reader.capture.relations import Relation, differences
from tailrace_reader.capture.revising import Reviser, fresh_plan
from tailrace_reader.capture.tables import described
from tailrace_reader.capture.watch import replaced
from tailrace_reader.lane_opening import captured_relation, lsn_text
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.changes import ColumnAdded
from tailrace_shared.changes.controls import RelationChange
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.growth import NotInPlace, grow, require_plain, trimmed
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.plan.resync import ResyncOrder
from tailrace_shared.postgres import translated

_MISSING = """
SELECT count(*) FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = ANY($1::oid[]) AND a.attname = ANY($2::text[]) AND NOT a.attisdropped
  AND (a.atthasmissing OR a.attnotnull OR a.attidentity <> '' OR a.attgenerated <> '' OR t.typdefault IS NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Grown:
    """A table whose description has more columns than its plan."""

    table: int
    relation: Relation
    """As the stream describes it, or will."""
    at: int
    """Commit LSN of the last transaction in which its rows may come without the columns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All that it has."""
        return tuple(column.name for column in self.relation.columns)


def only_added(changes: Sequence[RelationChange]) -> bool:
    """Whether columns have been added, and nothing else has changed."""
    return bool(changes) and all(isinstance(change, ColumnAdded) for change in changes)


async def plan_grown(reviser: Reviser, order: ResyncOrder, plan: Plan, grown: Grown) -> Plan:
    """The plan with the table's new columns. Raises TerminalError (``resync.in-place``) where they cannot be followed in place."""
    table = plan.table(grown.table)
    try:
        return await _planned(reviser, order, plan, table, grown)
    except NotInPlace as error:
        raise TerminalError("resync.in-place", f"{table.name} is loaded anew: {error}") from None


async def _planned(reviser: Reviser, order: ResyncOrder, plan: Plan, table: PlannedTable, grown: Grown) -> Plan:
    known = {c.name for c in table.relation.columns} if table.relation else set()
    new = [name for name in grown.columns if name not in known]
    connection = await reviser.plain()
    try:
        with translated():
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                places = await require_null_at_first(connection, table, grown, new)
                source = trimmed(await read_catalogue(connection, order.job.schemas), table.name, grown.columns)
                require_plain(source, table.name, new)
                refused: dict[TableName, str] = {}
                fresh, _ = await fresh_plan(connection, order, plan, source, refused)
    finally:
        connection.terminate()
    if table.name in refused:
        raise NotInPlace(refused[table.name])
    return grow(
        plan,
        fresh,
        grown.table,
        captured_relation(grown.relation, places),
        order.destination,
        revision=order.number,
        at=lsn_text(grown.at),
    )


async def require_null_at_first(
    connection: asyncpg.Connection, table: PlannedTable, grown: Grown, new: Sequence[str]
) -> Places:
    """Raises NotInPlace unless the columns are there as the stream describes them and had NULL in every row at first. The numbers
    that the columns have which the stream has described."""
    now = (await relations_of(connection, [table.name])).get(table.name)
    if now is None or now.oid != grown.relation.oid:
        raise NotInPlace("another table has its name")
    heaps = dict((await heaps_of(connection, [table.name])).get(table.name, frozenset()))
    types = {c.name: (c.type_oid, c.typmod) for c in now.columns}
    for column in grown.relation.columns:
        if types.get(column.name) != (column.type_oid, column.typmod):
            raise NotInPlace(f"column {column.name} has been changed since")
    if not only_added(differences(described(table), grown.relation, {})):
        raise NotInPlace("more than columns that were added")
    places = _places(table, grown, (await places_of(connection, [table.name]))[table.name], new)
    if _rewritten(table, heaps):
        raise NotInPlace("the table has another file than when it was planned: its rows may have been given values")
    if await connection.fetchval(_MISSING, [now.oid, *heaps], list(new)):
        raise NotInPlace("a column was added with a value for the rows that were there")
    return places


def _places(table: PlannedTable, grown: Grown, now: Places, new: Sequence[str]) -> Places:
    """Raises NotInPlace where a column is not the one that the stream has described: another of its name and type has taken its
    place since, in which all rows begin with NULL once more."""
    given = table.relation
    assert given is not None
    if given.last:
        if again := replaced(given, now):
            raise NotInPlace(f"column {again} was dropped and added again")
        for number, name in enumerate(new, given.last + 1):
            if now.numbers.get(name) != number:
                raise NotInPlace(f"column {name} was dropped and added again, or others before it")
    numbers = {name: now.numbers[name] for name in grown.columns}
    return Places(numbers, max(given.last, *numbers.values()) if given.last else 0)


def _rewritten(table: PlannedTable, heaps: Mapping[int, int]) -> bool:
    """A heap is not in the file that the plan knows; or, of a partition that came later, in the file that it was made with."""
    known = {leaf.oid: leaf.filenode for leaf in table.leaves}
    return any(oid not in heaps for oid in known) or any(file != known.get(oid, oid) for oid, file in heaps.items())
