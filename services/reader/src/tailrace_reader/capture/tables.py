"""What capture knows of a carried table: its planned columns, how the source described it, what identifies its rows."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_reader.capture.cutover import SnapshotFilter
from tailrace_reader.capture.relations import FULL, Relation
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

    @staticmethod
    def of(
        table: PlannedTable, relation: Relation, *, key: tuple[str, ...] = (), filter_: SnapshotFilter | None = None
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
        captured = CapturedTable(table.number, layout, relation, key, filter_)
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
