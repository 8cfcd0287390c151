"""What capture knows of a carried table: its planned columns, how the source described it, what identifies its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tailrace_reader.capture.cutover import SnapshotFilter
from tailrace_reader.capture.relations import FULL, Relation, RelationColumn
from tailrace_reader.layout import Layout
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.model import PlannedTable


@dataclass(frozen=True)
class CapturedTable:
    """A table whose changes are carried. ``relation`` is how the source described it when it was planned."""

    number: int
    layout: Layout
    relation: Relation
    key: tuple[str, ...] = ()
    """Columns by which the destination finds rows, for a table whose replica identity is FULL; empty: all carried ones."""
    filter: SnapshotFilter | None = None
    """What the table's snapshot holds; None: every change is carried."""
    grown: Mapping[str, int] = field(default_factory=dict)
    """Columns that have come while the run streamed, and the commit LSN up to which rows may come without them: NULL then."""

    @staticmethod
    def of(
        table: PlannedTable,
        relation: Relation,
        *,
        key: tuple[str, ...] = (),
        filter_: SnapshotFilter | None = None,
        grown: Mapping[str, int] | None = None,
    ) -> CapturedTable:
        """The table as the plan has it. Raises TerminalError where a planned or identifying column is not published."""
        layout = Layout.of(table)
        published = {c.name for c in relation.columns}
        for column in layout.names:
            if column not in published:
                raise TerminalError(
                    "capture.column-not-published",
                    f"column {column!r} of {table.name} is in the plan and not in the change stream",
                    "Publish all columns of the table (no column list), and exclude generated columns from the job.",
                )
        captured = CapturedTable(table.number, layout, relation, key, filter_, grown or {})
        for column in captured.old_columns(relation):
            if column not in layout.names:
                raise TerminalError(
                    "capture.key-not-carried",
                    f"column {column!r} identifies the rows of {table.name} and is not carried",
                    "Carry the column, or give the table a replica identity of carried columns.",
                )
        return captured

    def old_columns(self, relation: Relation) -> tuple[str, ...]:
        """Columns whose old values travel, in the plan's order."""
        chosen = self.key or self.layout.names if relation.identity == FULL else relation.key
        return (*(n for n in self.layout.names if n in chosen), *(n for n in chosen if n not in self.layout.names))

    def lacks(self, now: Relation, lsn: int) -> bool:
        """Whether a description in a transaction of that commit LSN is the planned one without columns that came later."""
        names = {c.name for c in now.columns}
        absent = {name for name, at in self.grown.items() if name not in names and lsn <= at}
        if not absent:
            return False
        mine = tuple(c for c in self.relation.columns if c.name not in absent)
        return replace(self.relation, columns=mine) == now


def described(table: PlannedTable) -> Relation:
    """How the stream describes a table that is as it was planned."""
    given = table.relation
    assert given is not None
    columns = tuple(RelationColumn(c.name, c.type_oid, c.typmod, c.key) for c in given.columns)
    return Relation(given.oid, table.name.schema_name, table.name.name, given.identity, columns)
