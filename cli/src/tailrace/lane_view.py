"""How a continuous run follows its source, as numbers and in words. Pure: records go in."""

from __future__ import annotations

from typing import NamedTuple

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tailrace.console import duration, number, size
from tailrace_shared.freshness import TableLag, table_lag
from tailrace_shared.messages import LaneProgress, RunRecord

NAMED = 2
"""Tables that a line names; `tailrace status` lists all."""
STALE_S = 1.0
"""A table that is behind by more is worth a word: what is under way takes less."""


class TableBehind(NamedTuple):
    """A table that is not as its source."""

    name: str
    lag: TableLag


class LaneView(NamedTuple):
    """What there is to show of a lane at one moment."""

    lag_s: float | None
    lag_bytes: int
    changes: int
    changes_per_second: float
    capture: str
    """The reader that captures; empty where none does."""
    slot_status: str
    retained_bytes: int
    safe_bytes: int | None
    """What the source may still write before the slot is lost; None without a limit."""
    held_back: bool
    quarantined: tuple[str, ...]
    loading: tuple[str, ...] = ()
    """Tables that are loaded again."""
    behind: tuple[TableBehind, ...] = ()
    """Tables that are not fresh, the worst first."""
    told: int = 0
    """Tables of which it is known."""


def lane_of(record: RunRecord, changes_per_second: float) -> LaneView | None:
    """The record's lane; None for a run that has none yet."""
    if not record.lanes:
        return None
    lane = record.lanes[0]
    slot = lane.slot
    lags = [TableBehind(t.name, lag) for t in record.tables if (lag := table_lag(t, record.updated_at)) is not None]
    behind = sorted((t for t in lags if t.lag.seconds > STALE_S), key=lambda t: -t.lag.seconds)
    return LaneView(
        lag_s=lane.lag_s,
        lag_bytes=lane.lag_bytes,
        changes=lane.changes,
        changes_per_second=changes_per_second,
        capture=lane.capture,
        slot_status=(slot.status or "gone") if slot else "",
        retained_bytes=slot.retained_bytes if slot else 0,
        safe_bytes=slot.safe_bytes if slot else None,
        held_back=lane.held_back,
        quarantined=tuple(t.name for t in record.tables if t.state == "quarantined"),
        loading=tuple(t.name for t in record.tables if t.state == "resync"),
        behind=tuple(behind),
        told=len(lags),
    )


def lag(lane: LaneView | LaneProgress) -> str:
    """``0.2 s, 1.5 KiB behind``."""
    seconds = "unknown" if lane.lag_s is None else duration(lane.lag_s)
    return f"{seconds}, {size(lane.lag_bytes)} behind"


def lane_words(lane: LaneView) -> str:
    """``lag 0.2 s, 1.5 KiB behind; 1,200 changes/s, 45,000 applied; slot reserved, 16.0 MiB kept``."""
    text = f"lag {lag(lane)}; {number(lane.changes_per_second)} changes/s, {number(lane.changes)} applied"
    if lane.slot_status:
        text += f"; slot {slot_words(lane)}"
    return "; ".join([text, *_stale(lane), *_again(lane), *alarms(lane)])


def _stale(lane: LaneView) -> list[str]:
    """``stale: public.orders 4.2 s, 1.1 MiB``."""
    worst = [f"{t.name} {duration(t.lag.seconds)}, {size(t.lag.bytes)}" for t in lane.behind[:NAMED]]
    more = f" and {len(lane.behind) - NAMED} more" if len(lane.behind) > NAMED else ""
    return [f"stale: {'; '.join(worst)}{more}"] if worst else []


def _again(lane: LaneView) -> list[str]:
    return [f"loading again: {_named(lane.loading)}"] if lane.loading else []


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else "")


def slot_words(lane: LaneView) -> str:
    """``reserved, 16.0 MiB kept, 1.0 GiB to go``."""
    text = f"{lane.slot_status}, {size(lane.retained_bytes)} kept"
    return text if lane.safe_bytes is None else f"{text}, {size(max(0, lane.safe_bytes))} to go"


def alarms(lane: LaneView) -> list[str]:
    """What somebody should look at, in words; docs/continuous.md says what to do."""
    found = []
    if lane.quarantined:
        found.append(f"quarantined: {_named(lane.quarantined)}")
    if lane.held_back:
        found.append("held back: the disk budget is spent, the source keeps what comes")
    if lane.slot_status in ("unreserved", "lost", "gone"):
        found.append(f"the slot is {lane.slot_status}")
    return found


def lane_panel(lane: LaneView) -> Table:
    """The same as lines of a panel."""
    table = Table.grid(padding=(0, 2))
    table.add_column(width=9)
    table.add_column()
    table.add_row("  lag", Text(lag(lane), style="green" if not alarms(lane) else "yellow"))
    table.add_row("  changes", f"{number(lane.changes_per_second)} /s, {number(lane.changes)} applied")
    if lane.slot_status:
        table.add_row("  slot", f"{slot_words(lane)}[dim]{_by(lane)}[/dim]")
    if lane.told:
        table.add_row("  tables", f"{lane.told - len(lane.behind)} of {lane.told} fresh")
    for word in (*_stale(lane), *_again(lane)):
        table.add_row("", Text(word))
    for alarm in alarms(lane):
        table.add_row("", Text(alarm, style="bold yellow"))
    return table


def _by(lane: LaneView) -> str:
    return f", read by {escape(lane.capture)}" if lane.capture else ""
