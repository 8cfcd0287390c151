"""What becomes of a comparison: a pure function from what the tables say of it to what its leader does. Times in seconds.

A comparison has one number after the other: each is a new snapshot of the source with batches of its own, and what still arrives of
a former one counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tailrace_shared.messages import Check, LeftOut, State

ComparisonState = Literal["asked", "reading", "done", "failed", "refused"]
TRIES = 3
"""How often one is begun before it is given up."""
STILL_S = 90.0
"""Where nothing moves for so long, something was lost."""


@dataclass(frozen=True, slots=True)
class Side:
    """A table on one side."""

    rows: int = 0
    batches: int = 0
    lanes: tuple[int, int] = (0, 0)
    """Sums of both halves of its rows' hashes."""
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """A table of the comparison. ``source``: as its reader has told it; ``arrived``: what its batches make."""

    name: str
    source: Side | None = None
    arrived: Side = Side()
    destination: Side | None = None

    @property
    def left_out(self) -> str:
        """Why nothing can be said of it."""
        return next((side.left_out for side in (self.source, self.destination) if side and side.left_out), "")

    @property
    def complete(self) -> bool:
        """Both sides are known, or the table is left out."""
        if self.left_out:
            return True
        if self.source is None or self.destination is None:
            return False
        return self.arrived.batches >= self.source.batches


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """A comparison, and what of its run and its stages concerns it."""

    state: ComparisonState
    run: State = "streaming"
    tries: int = 1
    readers: int = 1
    same_plan: bool = True
    resync: bool = False
    """A table is being loaded anew."""
    told: bool = False
    """A reader has told its point."""
    cut: bool = False
    """The destination is being read."""
    deserted: bool = False
    """A reader has gone since it was begun."""
    reader_lives: bool = True
    owner_lives: bool = True
    """The writer that reads the destination."""
    trouble: str = ""
    """What a stage has said, in words."""
    source_done: bool = False
    destination_done: bool = False
    tables: tuple[ComparedTable, ...] | None = None
    """Looked at once both sides are done."""
    still_s: float = 0.0
    """Since anything has moved."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Choose the tables, ask a reader."""


@dataclass(frozen=True, slots=True)
class BeginAnew:
    """The next number."""

    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It has failed."""

    why: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """Everything is known."""

    checks: tuple[Check, ...]
    left_out: tuple[LeftOut, ...]


ComparisonDecision = Begin | BeginAnew | GiveUp | Conclude


def decide_comparison(view: ComparisonView) -> ComparisonDecision | None:
    """What to do now; None: wait."""
    if view.state not in ("asked", "reading"):
        return None
    if view.run != "streaming":
        return GiveUp(f"the run is {view.run}: a comparison needs one that streams")
    if view.state == "asked":
        if view.readers and not view.resync:
            return Begin()
        lacking = "a reader replica" if not view.readers else "the end of a resync"
        return GiveUp(f"it has waited for {lacking}") if view.still_s >= STILL_S else None
    if why := _spoiled(view):
        return BeginAnew(why) if view.tries < TRIES else GiveUp(why)
    if view.tables is not None and all(table.complete for table in view.tables):
        return verdict(view.tables)
    return None


def _spoiled(view: ComparisonView) -> str:
    """Why this number cannot come to its end."""
    if view.trouble:
        return view.trouble
    if not view.same_plan or view.resync:
        return "a table was planned anew meanwhile"
    if view.deserted and not view.told:
        return "a reader is gone, which may have been the one that was to read"
    if view.told and not view.source_done and not view.reader_lives:
        return "the reader that held the source's snapshot is gone"
    if view.cut and not view.destination_done and not view.owner_lives:
        return "the writer that held the destination's snapshot is gone"
    if view.still_s >= STILL_S:
        return f"nothing has moved for {STILL_S:.0f} s"
    return ""


def verdict(tables: tuple[ComparedTable, ...]) -> Conclude:
    """A check per table that was compared. No value is in it: counts, and whether all rows are the same."""
    checks = []
    for table in tables:
        if table.left_out or table.destination is None:
            continue
        ours, theirs = table.arrived, table.destination
        if ours.rows != theirs.rows:
            said = f"source {ours.rows:,} rows, destination {theirs.rows:,}"
        elif ours.lanes != theirs.lanes:
            said = f"{ours.rows:,} rows on both sides, not all of them the same"
        else:
            said = f"{ours.rows:,} rows on both sides, the same"
        passed = (ours.rows, ours.lanes) == (theirs.rows, theirs.lanes)
        checks.append(Check(name=f"live {table.name}", passed=passed, detail=said))
    left = tuple(LeftOut(table=table.name, why=table.left_out) for table in tables if table.left_out)
    return Conclude(tuple(checks), left)
