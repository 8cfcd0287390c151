"""How far each table is behind, as the capture sees it: what an alarm needs while the destination, whose leader tells it otherwise,
is away. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tailrace_reader.capture.held import Waits
from tailrace_reader.lane_opening import lsn_of
from tailrace_shared.freshness import TableLag, named_lags
from tailrace_shared.messages import TableProgress


class Captured(NamedTuple):
    """A capture at one moment."""

    now: float
    """Seconds since the epoch."""
    end: int
    """Of the source's WAL."""
    known: int
    """Up to here it is known of every table whether changes of it wait."""
    behind_s: float
    """How long ago that was the source's end; 0: it is now."""
    waits: Mapping[int, Waits]


def lags_of(tables: Sequence[TableProgress], captured: Captured) -> dict[str, TableLag]:
    """By name, the largest tables and a rest. Tables whose load is not done have none."""
    found = {table.table: lag for table in tables if (lag := _lag(table, captured)) is not None}
    return named_lags(tables, found)


def _lag(table: TableProgress, captured: Captured) -> TableLag | None:
    if table.left_at is not None:
        behind = captured.end - lsn_of(table.left) if table.left else 0
        return TableLag(max(0.0, captured.now - table.left_at.timestamp()), max(0, behind))
    if table.state != "loaded":
        return None
    seconds, known = captured.behind_s, captured.known if captured.behind_s else captured.end
    if (waits := captured.waits.get(table.table)) is not None:
        seconds, known = max(seconds, captured.now - waits.since), min(known, waits.behind)
    return TableLag(max(0.0, seconds), max(0, captured.end - known))
