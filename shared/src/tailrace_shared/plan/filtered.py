"""What conditions, limits and virtual keys make of the plan's tables and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.generators import Duplicate
from tailrace_shared.plan.filters import Filters
from tailrace_shared.plan.links import Link, Meaning
from tailrace_shared.plan.model import ForeignKeyCheck, PlannedTable, Proof, TableFilter
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.ranges import ended

COSTLY_BYTES: Final = 256 << 20
"""A table above this is worth a word about what finding the first rows of it costs."""


def told_filters(tables: Sequence[PlannedTable], filters: Filters) -> tuple[TableFilter, ...]:
    """The filters of all tables that are not read as they are."""
    loaded = (table for table in tables if table.mode in ("carry", "duplicate"))
    return tuple(told for table in loaded if (told := filters.filter(table.number, table.name)) is not None)


def limited(table: PlannedTable, filters: Filters) -> PlannedTable:
    """The table with the ranges that its row limit leaves, and the estimate of what is read."""
    scoped = filters.scope[table.name]
    if table.mode in ("truncate", "generate"):
        return table
    ranges = table.ranges
    if scoped.limit == 0:
        ranges = ()
    elif table.view and scoped.limit is not None:  # its blocks are positions
        ranges = tuple(r.model_copy(update={"high": scoped.limit}) for r in ranges)
    elif end := filters.asked.ends.get(str(table.name)):
        ranges = ended(ranges, end)
    rows = filters.asked.estimates.get(str(table.name), table.estimated_rows)
    if scoped.limit is not None:
        rows = min(rows, scoped.limit) if rows >= 0 else scoped.limit
    reduced = table.name in filters.gaps.reduced or scoped.limit == 0
    return table.model_copy(update={"ranges": ranges, "estimated_rows": rows, "filtered": reduced})


def warn_of_costs(filters: Filters, problems: Problems) -> None:
    """Row limits that planning has to look for in a large table."""
    for name, scoped in filters.scope.items():
        if scoped.loaded and scoped.limit and scoped.where and scoped.table.bytes > COSTLY_BYTES:
            problems.warning(
                "row-limit-cost", name,
                f"every plan reads it from its start, up to {scoped.table.bytes / (1 << 30):.1f} GB, to find the first "
                f"{scoped.limit:,} rows that `where` leaves",
                "Leave `rows` out where the condition is narrow enough.",
            )  # fmt: skip


def virtual_checks(
    links: Sequence[Link],
    tables: Sequence[PlannedTable],
    filters: Filters,
    held: Mapping[Meaning, str],
    problems: Problems,
) -> tuple[list[ForeignKeyCheck], list[Proof]]:
    """Checks and proofs of the keys that the job alone declares; a polymorphic one needs its type column as it is."""
    planned: dict[TableName, PlannedTable] = {table.name: table for table in tables if table.mode != "truncate"}
    checks: list[ForeignKeyCheck] = []
    proofs: list[Proof] = []
    for link in links:
        child = planned.get(link.child)
        if not link.virtual or child is None:
            continue
        columns = {column.name: column for column in child.columns}
        for name, _ in link.when:
            if name in columns and not isinstance(columns[name].rule, Duplicate):
                problems.error(
                    "when-masked", f"{link.child}.{name}",
                    f"{link.about} depends on its value, and {columns[name].rule.generator} changes it",
                    "Give it the rule duplicate.",
                )  # fmt: skip
        parent = planned.get(link.parent)
        missing = [c for c in link.columns if c not in columns]
        if parent is None or missing or not all(c in {p.name for p in parent.columns} for c in link.referenced):
            continue
        orphans: int | None = 0 if link.meaning in held else filters.asked.orphans.get(link.about)
        if link.meaning in held and link.about in filters.asked.orphans:
            orphans = filters.asked.orphans[link.about]
        checks.append(
            ForeignKeyCheck(
                name=link.name,
                table=link.child,
                columns=link.columns,
                references=link.parent,
                referenced_columns=link.referenced,
                when=dict(link.when),
                virtual=True,
                orphans=orphans,
                only=child.only,
                references_only=parent.only,
            )
        )
        if orphans:
            problems.warning(
                "virtual-orphans", link.about, f"{orphans:,} rows of the source refer to no row of {link.parent}",
                "They arrive as they are; missing_parents does not see them. Choose rows by `where` if they disturb.",
            )  # fmt: skip
        if orphans is None:
            reason = "the source does not enforce it, and was not counted in time"
        else:
            reason = (
                held.get(link.meaning) or f"masked alike on both sides; {orphans:,} rows lead nowhere in the source"
            )
        proofs.append(Proof(about=link.about, verdict="verified-after" if orphans is None else "proved", reason=reason))
    return checks, proofs
