"""What the leader sees of a run when it decides: a picture of the tables at one moment, times in seconds of their clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tailrace_shared.messages import State


class RangeKey(NamedTuple):
    """A range within a run's attempt."""

    table: int
    load: int
    range: int


@dataclass(frozen=True, slots=True)
class TableView:
    number: int
    after: tuple[int, ...] = ()
    """Tables that must be loaded before this one's ranges are released."""
    loaded: bool = False
    unfinished: bool = True
    """A range is not done."""
    made: bool = False
    """What is not done are orders only."""
    resync: bool = False
    """It is being loaded again while the run streams."""
    wants: bool = False
    """It should be loaded again, and it is time to try."""
    grows: bool = False
    """Columns of it have appeared, and its capture waits for a plan that has them."""


@dataclass(frozen=True, slots=True)
class OpenRange:
    """A range that was released and is not done."""

    key: RangeKey
    estimated_bytes: int
    sent: bool
    """Its work item is acknowledged by Kafka."""
    released_at: float
    read_at: float | None = None
    rows: int = 0
    batches: int = 0
    bytes: int = 0
    """As the reader reported; valid from ``read_at`` on."""
    ledger_batches: int = 0
    """Batches of which the ledger holds all parts."""
    ledger_rows: int = 0
    ledger_bytes: int = 0
    made: bool = False
    """An order: generators make it, no reader."""

    @property
    def read(self) -> bool:
        return self.read_at is not None

    @property
    def complete(self) -> bool:
        """Read, and the ledger holds every batch."""
        return self.read and self.ledger_batches >= self.batches

    @property
    def outstanding_bytes(self) -> int:
        """What credit counts: released and not yet in the ledger."""
        whole = self.bytes if self.read else self.estimated_bytes
        return max(0, whole - self.ledger_bytes)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A range that may be released."""

    key: RangeKey
    estimated_bytes: int
    made: bool = False
    """An order."""


@dataclass(frozen=True, slots=True)
class LeakView:
    """One column's leak scan."""

    table: int
    column: str
    asked_at: float
    answered: bool


@dataclass(frozen=True, slots=True)
class LaneView:
    """A continuous run's lane."""

    broken: str = ""
    """Why changes are missing, in words."""
    ended: bool = False
    """Capture has ended on request."""
    caught_up: bool = False
    """…and the destination holds everything up to there."""


@dataclass(frozen=True, slots=True)
class ResyncView:
    """Tables that are loaded anew while the run streams: one such at a time."""

    number: int
    loading: bool = False
    """The plan is accepted; ranges are released."""
    planned: bool = False
    """A reader has offered a plan and holds its snapshot."""
    asked_at: float = 0.0
    why: str = ""
    """Why it cannot go on, in words."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A table's model, before its orders can be released."""

    table: int
    ready: bool = False
    """It is on the run's topic, and kept."""
    digest: str = ""
    """Of what a trainer has published, or of the saved model that the plan names."""
    trainer: str = ""
    """Who is to learn it."""
    unsent: tuple[int, ...] = ()
    """Ranges of its sample whose work items are not on the topic, or were sent so long ago that they are sent again."""
    unread: int = 0
    """Ranges of its sample that nobody has read."""


@dataclass(frozen=True, slots=True)
class PoolView:
    """Keys of a carried table, before the orders of those that refer to it can be released."""

    table: int
    drawn_by: tuple[int, ...] = ()
    """Tables that refer to it."""
    ready: bool = False
    """They are masked, and on the run's topic."""
    unsent: bool = False
    """Its work item is not on the topic, or was sent so long ago that it is sent again."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run's row and what belongs to it."""

    run: str
    state: State
    attempt: int = 1
    epoch: int = 0
    restarts: int = 3
    """Attempts allowed after the first."""
    credit_bytes: int = 256 << 20
    digest: str = ""
    active: bool = True
    """Among the lowest non-terminal runs of the namespace."""
    prepared: bool = False
    """The destination was changed in this attempt."""
    cancel_requested: bool = False
    failed: bool = False
    """A failure is recorded."""
    outcome: str = ""
    """failed or cancelled, once stopping."""
    restart_because: str = ""
    """Evidence that the attempt cannot go on: the source's snapshot is unusable."""
    tasked_at: float | None = None
    """When the plan task of this attempt was sent."""
    undone: int = 0
    """Rebuild steps, of any attempt, that are not done."""
    fingerprints: bool = False
    """A live generator has told its fingerprints."""
    readers: int = 0
    generators: int = 0
    writers: int = 1
    """Live replicas that do not differ from the plan."""
    refusal: str = ""
    """Why a live replica of a stage that has none other stays out, in words."""
    hindrance: str = ""
    """What keeps a writer's batches from being applied, as it has told."""
    snapshots: int = 0
    """Snapshot ids that live readers hold."""
    settled: bool = True
    """Heartbeats have been flowing long enough for their absence to mean something."""
    tables: tuple[TableView, ...] = ()
    open: tuple[OpenRange, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """In the order of release; only of tables whose prerequisites hold."""
    last_applied_at: float = 0.0
    """When the ledger of an open range last grew."""
    moved_at: float = 0.0
    """When the leader last saw anything arrive: a range read, rows in the ledger, an answer of the leak scan."""
    deserted_at: float = 0.0
    """When a reader was last found gone, or this leader began: what was asked before may never have reached anybody."""
    verified: bool = False
    """The verification has asked its questions."""
    leaks: tuple[LeakView, ...] = field(default=())
    continuous: bool = False
    pause_requested: bool = False
    stop_requested: bool = False
    lane: LaneView | None = None
    """Once the destination is prepared."""
    models: tuple[ModelView, ...] = ()
    """Of tables that are learned."""
    pools: tuple[PoolView, ...] = ()
    """Of carried tables that made rows refer to."""
    trainers: tuple[str, ...] = ()
    """Live replicas that can learn."""
    resync: ResyncView | None = None
    keeps: bool = False
    """What it has loaded stays although it fails: it has followed its source, and nothing was found that must not be there."""
    slot_lost: str = "resync"
    """What to do when changes are missing: load anew, or stop."""

    @property
    def outstanding_bytes(self) -> int:
        """Credit in use."""
        return sum(r.outstanding_bytes for r in self.open)


def releasable(
    tables: tuple[TableView, ...], models: tuple[ModelView, ...] = (), pools: tuple[PoolView, ...] = ()
) -> tuple[int, ...]:
    """Numbers of the tables whose ranges may be released: every prerequisite is loaded, its model and pools are there."""
    loaded, unlearned = {t.number for t in tables if t.loaded}, {m.table for m in models if not m.ready}
    unlearned |= {table for pool in pools if not pool.ready for table in pool.drawn_by}
    return tuple(
        t.number
        for t in tables
        if t.resync or (not t.loaded and t.number not in unlearned and loaded.issuperset(t.after))
    )
