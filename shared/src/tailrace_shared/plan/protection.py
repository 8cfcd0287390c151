"""What a plan makes of its columns, in counts: for status, metrics and reports. Nothing in it was read from a row."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tailrace_shared.detect import detect
from tailrace_shared.messages import Protection
from tailrace_shared.plan.model import Plan, PlannedColumn, PlannedTable

_BY_NAME: dict[str, Protection] = {
    "duplicate": "duplicated",
    "null": "null",
    "constant": "constant",
    "key": "key",
    "formula": "formula",
    "ai": "learned",
}
TELLING = frozenset({"high", "medium"})
"""Findings of low confidence are half of all columns."""


class ProtectionCounts(NamedTuple):
    """Columns that are carried, by what becomes of them."""

    columns: dict[Protection, int]
    unprotected: int
    """Duplicated, although name or type says that they may hold something personal."""


def protection_of(plan: Plan) -> ProtectionCounts:
    """The counts of a plan."""
    counts: Counter[Protection] = Counter()
    unprotected = 0
    for table in plan.tables:
        for column in columns_of(table):
            kind = protection_of_column(table, column)
            counts[kind] += 1
            if kind == "duplicated" and (found := detect(column, table.name.name)) is not None:
                unprotected += found.confidence in TELLING
    return ProtectionCounts(dict(counts), unprotected)


def columns_of(table: PlannedTable) -> tuple[PlannedColumn, ...]:
    """Columns whose values arrive; a table that is only emptied has none."""
    return () if table.mode == "truncate" else table.columns


def protection_of_column(table: PlannedTable, column: PlannedColumn) -> Protection:
    """What becomes of one column."""
    name = column.rule.generator
    if kind := _BY_NAME.get(name):
        return kind
    if name.startswith("make.") or table.mode == "generate":
        return "made"
    return "mocked" if name.startswith("mock.") else "masked"
