"""Which tables cannot follow their lane any more from a record on, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tailrace_shared.changes.controls import Control, Quarantined, RelationChanged
from tailrace_shared.changes.head import ChangeHead
from tailrace_shared.plan.model import Plan
from tailrace_writer.lane.rows import Mark
from tailrace_writer.lane.seen import Seen


def leaving(
    controls: Iterable[Control], follows: Mapping[int, Seen | None], marks: Mapping[int, Mark]
) -> Iterable[tuple[int, str]]:
    """Tables that cannot follow any more from this record on, and why. What was so before a table was loaded anew is past."""
    for entry in controls:
        if not isinstance(entry, Quarantined | RelationChanged) or entry.table not in follows:
            continue
        if entry.table in marks and entry.lsn <= marks[entry.table].since:
            continue
        if isinstance(entry, Quarantined):
            yield entry.table, entry.why
        elif entry.broken or any(change.change == "added" for change in entry.changes):
            yield entry.table, f"its definition has changed in the source: {_told(entry)}"


def _told(entry: RelationChanged) -> str:
    words = []
    for change in entry.changes:
        column = getattr(change, "column", "")
        words.append(f"column {column} {change.change}" if column else change.change)
    return ", ".join(words)


def passed(plan: Plan, head: ChangeHead, marks: Mapping[int, Mark]) -> Iterable[tuple[int, str]]:
    """Tables whose changes this record leaves out: a capture that had not heard of their new plan has made it."""
    for number, mark in marks.items():
        if plan.revision < mark.revision and head.last > mark.since:
            yield number, "changes of it went by before the capture knew of its new plan"
