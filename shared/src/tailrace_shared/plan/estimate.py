"""How much a plan moves, and about how long that takes: a rate model, never a promise.

Bytes and rows are the catalogue's (heap and TOAST, the planner's row counts). The rates are those that ``make bench-copy`` prints
for one replica of each service and everything on two cores (``docs/performance.md``): other machines differ, ratios less so.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field

from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.types import Frozen

ROWS_PER_S: Final = 278_000
"""A copy of 12 columns, 6 of them masked."""
BYTES_PER_S: Final = 69_000_000
"""The same copy: 249 bytes a row."""
ROW_BYTES: Final = BYTES_PER_S / ROWS_PER_S
"""For tables that nobody has analysed."""
FIXED_S: Final = 1.2
"""Of that run (4.8 s), what was neither reading nor loading: planning, preparing, finishing, verifying."""
REBUILT_FACTOR: Final = 2.0
"""Bypass: at most about as long again for rebuilding indexes and keys, and looking at every row once more."""
KEPT_FACTOR: Final = 6.0
"""Respect: foreign keys and secondary indexes that stay make a load 4 to 6 times as long."""
BASIS: Final = (
    f"{ROWS_PER_S:,} rows/s and {BYTES_PER_S // 1_000_000} MB/s, as make bench-copy measured on two cores with one replica of each "
    "service; sizes and row counts as the source's catalogue has them"
)


class TableEstimate(Frozen):
    table: str
    rows: int | None
    """None where the source has no statistics."""
    bytes: int


class Estimate(Frozen):
    """Of a whole run, from submission to verified."""

    rows: int
    bytes: int
    seconds_low: float
    """Where nothing is rebuilt or kept."""
    seconds_high: float
    basis: str = BASIS
    tables: tuple[TableEstimate, ...] = Field(default=())


def estimate(plan: Plan) -> Estimate:
    """The estimate of a plan. Whole tables: what a condition leaves out is read all the same, and counted."""
    tables = [_table(table) for table in plan.tables if table.mode != "truncate"]
    rows = sum(table.rows if table.rows is not None else round(table.bytes / ROW_BYTES) for table in tables)
    size = sum(table.bytes for table in tables)
    loading = max(rows / ROWS_PER_S, size / BYTES_PER_S)
    factor = REBUILT_FACTOR if plan.ddl else 1.0
    if plan.regime == "respect" and plan.mode != "append":
        factor = KEPT_FACTOR
    return Estimate(
        rows=rows,
        bytes=size,
        seconds_low=round(FIXED_S + loading, 1),
        seconds_high=round(FIXED_S + loading * factor, 1),
        tables=tuple(tables),
    )


def _table(table: PlannedTable) -> TableEstimate:
    size = sum(piece.estimated_bytes for piece in table.ranges)
    if table.mode == "generate":
        rows = table.rows if table.events_of is None else round(table.estimated_rows)
        return TableEstimate(table=str(table.name), rows=rows, bytes=round(rows * ROW_BYTES))
    known = None if table.estimated_rows < 0 else round(table.estimated_rows)
    return TableEstimate(table=str(table.name), rows=known, bytes=size)
