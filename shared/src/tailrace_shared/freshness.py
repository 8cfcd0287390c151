"""How far tables of a continuous run are behind their source, as readers, writers and the command tell it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from tailrace_shared.messages import TableProgress

TABLES_KEPT: Final = 200
"""Tables that have a series of their own."""
REST: Final = "(others)"
"""All tables of a run that are not among its largest."""


class TableLag(NamedTuple):
    """Of one table, or the largest of several."""

    seconds: float
    """Since the oldest change that the destination lacks was committed in the source; 0 where it lacks none."""
    bytes: int
    """WAL between what the destination holds of it and the source's end."""


def table_lag(table: TableProgress, now: datetime) -> TableLag | None:
    """As a published record has it; None before the table follows. ``now``: what a table is behind that has left its lane grows."""
    if table.left_at is not None:
        return TableLag(max(0.0, (now - table.left_at).total_seconds()), table.lag_bytes)
    return None if table.lag_s is None else TableLag(table.lag_s, table.lag_bytes)


def named_lags(tables: Sequence[TableProgress], lags: Mapping[int, TableLag]) -> dict[str, TableLag]:
    """By name instead of number: the largest tables, and of all others the worst as ``REST``."""
    shown, rest = largest(tables)
    found = {table.name: lags[table.table] for table in shown if table.table in lags}
    others = [lags[table.table] for table in rest if table.table in lags]
    if others:
        found[REST] = TableLag(max(lag.seconds for lag in others), max(lag.bytes for lag in others))
    return found


def largest(tables: Sequence[TableProgress]) -> tuple[Sequence[TableProgress], tuple[TableProgress, ...]]:
    """The tables with the most expected rows, in their order, and all others."""
    if len(tables) <= TABLES_KEPT:
        return tables, ()
    ranked = {t.table for t in sorted(tables, key=lambda t: -t.estimated_rows)[:TABLES_KEPT]}
    return [t for t in tables if t.table in ranked], tuple(t for t in tables if t.table not in ranked)
