"""Control messages: *facts* (past tense, to the deciders), *tasks* and *work* (imperative, from them), and the run record.

All are small JSON. Every fact is harmless when delivered twice, late or out of order: the state tables decide (see
``docs/adr``). No message carries a value of a masked column; samples in ``CheckLeaks`` are values that Tailrace has made.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, field_serializer

from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.generators import Rule
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import Fingerprints, Problem
from tailrace_shared.types import Frozen

ServiceName = Literal["reader", "trainer", "generator", "writer"]

State = Literal[
    "submitted", "planned", "preparing", "loading", "finishing", "streaming", "paused", "verifying", "stopping", "done", "failed",
    "cancelled",
]  # fmt: skip
TERMINAL_STATES: frozenset[State] = frozenset({"done", "failed", "cancelled"})


class Failure(Frozen):
    """Why a run failed, in words that may be shown: no value in it."""

    code: str
    message: str
    remedy: str = ""
    where: str = ""


# --- facts -----------------------------------------------------------------------------------------------------------


class RunSubmitted(Frozen):
    fact: Literal["run-submitted"] = "run-submitted"
    run: str
    job: Job
    at: datetime


class CancelRequested(Frozen):
    fact: Literal["cancel-requested"] = "cancel-requested"
    run: str


class PauseRequested(Frozen):
    """A continuous run shall stop applying changes; capture goes on."""

    fact: Literal["pause-requested"] = "pause-requested"
    run: str


class ResumeRequested(Frozen):
    fact: Literal["resume-requested"] = "resume-requested"
    run: str


class StopRequested(Frozen):
    """A continuous run shall end in good order: apply what is captured, verify, keep what is there."""

    fact: Literal["stop-requested"] = "stop-requested"
    run: str


class ResyncRequested(Frozen):
    """A table of a continuous run shall be loaded again."""

    fact: Literal["resync-requested"] = "resync-requested"
    run: str
    table: str
    """``schema.table``."""
    columns: dict[str, Rule] = Field(default_factory=dict)
    """Rules for columns that have appeared, as if the job had had them."""


class ComparisonRequested(Frozen):
    """A continuous run's destination shall be compared with its source, while both go on."""

    fact: Literal["comparison-requested"] = "comparison-requested"
    run: str
    id: str
    """Of whoever asks, to know the answer by."""
    tables: tuple[str, ...] = ()
    """``schema.table``; none: all that follow the source."""


class ComparisonPoint(Frozen):
    """A reader holds a snapshot of the source that has every commit below ``point``, and no other."""

    fact: Literal["comparison-point"] = "comparison-point"
    run: str
    attempt: int
    number: int
    replica: str
    point: str


class ComparisonRead(Frozen):
    """A table was read in that snapshot, and all its batches are acknowledged by Kafka; or why it was not."""

    fact: Literal["comparison-read"] = "comparison-read"
    run: str
    attempt: int
    number: int
    replica: str
    table: int
    rows: int = 0
    batches: int = 0
    left_out: str = ""


class ComparisonFailed(Frozen):
    """A stage cannot go on with a comparison. Nothing else suffers: it is begun again, or given up."""

    fact: Literal["comparison-failed"] = "comparison-failed"
    run: str
    attempt: int
    number: int
    replica: str
    failure: Failure


class ReplicaSeen(Frozen):
    """Heartbeat of a reader, generator or trainer in a run (writers heartbeat in the table themselves)."""

    fact: Literal["replica-seen"] = "replica-seen"
    run: str
    service: ServiceName
    replica: str
    release: str
    fingerprints: Fingerprints | None = None
    """A generator's own."""
    rows: int = 0
    bytes: int = 0
    """Made for this run by this replica since it started."""
    memory_bytes: int = 0
    memory_limit: int = 0
    """Of its control group; 0: none, or not known."""
    leaving: bool = False
    """It stops in good order: this is its last heartbeat, and its silence means nothing."""


class ReplicaRefused(Frozen):
    """A replica that differs from the plan joins none of the run's groups and says why."""

    fact: Literal["replica-refused"] = "replica-refused"
    run: str
    service: ServiceName
    replica: str
    failure: Failure


class Planned(Frozen):
    """A reader has planned and published the plan under this digest; it holds the snapshot."""

    fact: Literal["planned"] = "planned"
    run: str
    attempt: int
    replica: str
    digest: str
    snapshot: str


class PlanRefused(Frozen):
    fact: Literal["plan-refused"] = "plan-refused"
    run: str
    attempt: int
    replica: str
    problems: tuple[Problem, ...]


class SnapshotHeld(Frozen):
    """A reader has joined the attempt's snapshot and exported an id of its own."""

    fact: Literal["snapshot-held"] = "snapshot-held"
    run: str
    attempt: int
    replica: str
    snapshot: str
    resync: int = 0
    """Number of the resync that it belongs to; 0: the attempt's own."""


class SnapshotUnavailable(Frozen):
    """None of the listed ids could be imported."""

    fact: Literal["snapshot-unavailable"] = "snapshot-unavailable"
    run: str
    attempt: int
    replica: str
    tried: tuple[str, ...]


class SourceRewritten(Frozen):
    """A table's file changed under the snapshot (VACUUM FULL, TRUNCATE): the attempt cannot go on."""

    fact: Literal["source-rewritten"] = "source-rewritten"
    run: str
    attempt: int
    table: int
    replica: str


class Bound(Frozen):
    """A place in a heap: block and line pointer."""

    block: int
    item: int = 0


class RangeRead(Frozen):
    """A range was read, or an order's rows were made, and all batches are acknowledged by Kafka. ``rest`` is where a range ended
    early, if it did."""

    fact: Literal["range-read"] = "range-read"
    run: str
    attempt: int
    table: int
    load: int
    range: int
    replica: str
    rows: int
    batches: int
    bytes: int
    rest: Bound | None = None
    drawn: int = 0
    """Rows of a learned table that were held against the job's rules, as often as they were drawn."""
    rejected: int = 0
    """Those of them that broke one."""


class StageFailed(Frozen):
    """A stage gave up: retries are spent or the failure is terminal. The run fails."""

    fact: Literal["stage-failed"] = "stage-failed"
    run: str
    attempt: int
    service: ServiceName
    replica: str
    failure: Failure


class LeakCount(Frozen):
    """Of ``sampled`` distinct destination values of a column, ``found`` are in the source's ``source_distinct`` values."""

    table: int
    column: str
    sampled: int
    found: int
    source_distinct: int


class LeaksChecked(Frozen):
    """The answer to one question of the leak scan, all of its columns at once."""

    fact: Literal["leaks-checked"] = "leaks-checked"
    run: str
    attempt: int
    counts: tuple[LeakCount, ...]
    replica: str


class SlotState(Frozen):
    """A replication slot as the source sees it. LSNs as PostgreSQL prints them."""

    name: str
    status: str = ""
    """``wal_status``: reserved, extended, unreserved, lost; empty where the slot is not there."""
    confirmed: str = "0/0"
    retained_bytes: int = 0
    """WAL that the source keeps for it."""
    safe_bytes: int | None = None
    """WAL that may still be written before it is lost; None: without limit."""


class TableWaits(Frozen):
    """Changes of one table that are captured, and that the destination lacked when the capture last heard of it."""

    table: int
    since: datetime
    """When the oldest of them was committed in the source."""
    behind: str
    """Up to this commit LSN the destination lacks none of the table."""
    until: str
    """Once the destination is there, it lacks none of these."""


class CaptureSeen(Frozen):
    """Heartbeat of the reader that captures a continuous run's changes."""

    fact: Literal["capture-seen"] = "capture-seen"
    run: str
    attempt: int
    lane: int
    replica: str
    slot: SlotState
    tail: str
    """Commit LSN of the last record that Kafka has acknowledged."""
    source_end: str = "0/0"
    """Where the source's WAL ends."""
    changes: int = 0
    """Captured by this replica since it took the lease."""
    bytes: int = 0
    held_back: bool = False
    """The disk budget is spent: the source keeps what comes."""
    behind_s: float = 0.0
    """What was committed within so many seconds may be missing of any table; 0: ``waits`` says it all."""
    waits: tuple[TableWaits, ...] = ()


class LaneBroken(Frozen):
    """Changes are missing between the source and the lane: nothing but a new load is right."""

    fact: Literal["lane-broken"] = "lane-broken"
    run: str
    attempt: int
    lane: int
    replica: str
    code: str
    """``slot-lost``, ``tail-lost``, ``gap``, ``timeline``."""
    why: str


class TableChanged(Frozen):
    """A carried table is not what it was in the source, and no change of the lane says so: what was loaded of it is not right
    any more."""

    fact: Literal["table-changed"] = "table-changed"
    run: str
    attempt: int
    table: int
    plan: str
    """Digest of the plan that the reader has compared with: what a later plan has caught up with changes nothing."""
    why: str


class TableAppeared(Frozen):
    """The source has a table that matches the job and is not in the plan."""

    fact: Literal["table-appeared"] = "table-appeared"
    run: str
    attempt: int
    table: str
    """``schema.table``."""
    plan: str


class ColumnsAppeared(Frozen):
    """A carried table has columns that its plan does not know, and is otherwise as it was. The reader that captures stands at the
    first row that has them, and asks to go on with a plan that has them too."""

    fact: Literal["columns-appeared"] = "columns-appeared"
    run: str
    attempt: int
    table: int
    plan: str
    """Digest of the plan that is to have them."""
    columns: tuple[str, ...]


class ResyncPlanned(Frozen):
    """The reader that captures has stopped between two transactions, made a snapshot there, and planned tables anew in it.

    It goes on only when the record says what has become of the offer.
    """

    fact: Literal["resync-planned"] = "resync-planned"
    run: str
    attempt: int
    number: int
    replica: str
    digest: str
    """Of the plan, published: the one before with these tables as they are now."""
    snapshot: str
    """Empty where nothing is to be loaded: columns that have appeared are followed in place."""
    tables: tuple[int, ...]
    """Those that are to be loaded: the ordered ones, and others whose values would not fit theirs any more."""
    refused: dict[int, str] = Field(default_factory=dict)
    """Ordered ones that cannot be planned, and why."""


class ResyncFailed(Frozen):
    """Loading tables anew has failed, or could not begin. They stay in quarantine; the lane goes on without them."""

    fact: Literal["resync-failed"] = "resync-failed"
    run: str
    attempt: int
    number: int
    service: ServiceName
    replica: str
    failure: Failure
    refused: dict[int, str] = Field(default_factory=dict)
    """Why per table, where that differs."""
    passing: bool = False
    """What stands in the way passes by itself: it counts as no try."""


class LaneEnded(Frozen):
    """Capture has ended on request: nothing comes behind ``at``, slot and publication are gone."""

    fact: Literal["lane-ended"] = "lane-ended"
    run: str
    attempt: int
    lane: int
    replica: str
    at: str


class SampleRead(Frozen):
    """A range of rows to learn from was read, and all its batches are acknowledged by Kafka."""

    fact: Literal["sample-read"] = "sample-read"
    run: str
    attempt: int
    table: int
    range: int
    replica: str
    rows: int
    batches: int


class TrainingSeen(Frozen):
    """How far a trainer is with a table's model."""

    fact: Literal["training-seen"] = "training-seen"
    run: str
    attempt: int
    table: int
    replica: str
    rows: int = 0
    """That are learned from; 0 while they are collected."""
    epoch: int = 0
    loss: float = 0.0
    """Nats per row that was held out."""
    remaining_s: float = 0.0
    """At most."""


class ModelReady(Frozen):
    """A model is on the run's topic ``models``. The first one of a table counts."""

    fact: Literal["model-ready"] = "model-ready"
    run: str
    attempt: int
    table: int
    replica: str
    digest: str
    bytes: int
    rows: int
    """That it was learned from."""
    epochs: int
    loss: float
    held_out_loss: float
    seconds: float


class PoolReady(Frozen):
    """The masked keys of a carried table are on the run's topic ``models``. The first answer counts; all are alike."""

    fact: Literal["pool-ready"] = "pool-ready"
    run: str
    attempt: int
    table: int
    replica: str
    digest: str
    rows: int
    bytes: int


class TrainingRefused(Frozen):
    """A table cannot be learned, and why."""

    fact: Literal["training-refused"] = "training-refused"
    run: str
    attempt: int
    table: int
    replica: str
    failure: Failure


Fact = Annotated[
    RunSubmitted
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | StopRequested
    | ResyncRequested
    | ComparisonRequested
    | ComparisonPoint
    | ComparisonRead
    | ComparisonFailed
    | ReplicaSeen
    | ReplicaRefused
    | Planned
    | PlanRefused
    | SnapshotHeld
    | SnapshotUnavailable
    | SourceRewritten
    | RangeRead
    | StageFailed
    | LeaksChecked
    | CaptureSeen
    | LaneBroken
    | LaneEnded
    | TableChanged
    | TableAppeared
    | ColumnsAppeared
    | ResyncPlanned
    | ResyncFailed
    | SampleRead
    | TrainingSeen
    | ModelReady
    | TrainingRefused
    | PoolReady,
    Field(discriminator="fact"),
]
FACT: TypeAdapter[Fact] = TypeAdapter(Fact)


# --- tasks (group per service on `tasks`) ----------------------------------------------------------------------------


class PlanTask(Frozen):
    """For a reader: read the source's catalogue under a new snapshot, plan, publish, hold the snapshot."""

    task: Literal["plan"] = "plan"
    run: str
    attempt: int
    job: Job
    destination: Catalogue
    fingerprints: Fingerprints
    before: str = ""
    """Continuous: digest of the plan of the attempt before. Columns that it does not have have appeared while the run lasts."""

    @field_serializer("destination")
    def _without_defaults(self, destination: Catalogue) -> dict[str, Any]:
        """Less than half as long: a catalogue of 1,000 tables fits a control message."""
        return destination.model_dump(mode="json", exclude_defaults=True)


Task = PlanTask
TASK: TypeAdapter[Task] = TypeAdapter(Task)


# --- work (the run's `work` topic, readers' group) -------------------------------------------------------------------


class ReadRange(Frozen):
    """Read places [low, high) of a leaf in ctid order and publish its batches; high None is open-ended."""

    work: Literal["read-range"] = "read-range"
    run: str
    attempt: int
    table: int
    load: int
    range: int
    leaf: int
    low: Bound
    high: Bound | None
    plan: str = ""
    """Digest of the plan by which the table is read; empty: the attempt's first."""
    resync: int = 0
    """Number of the resync in whose snapshot it is read; 0: the attempt's own."""
    sample: bool = False
    """It is a range of rows to learn from: its batches go to ``training``."""


class LeakSample(Frozen):
    """Distinct values of a destination column, as text."""

    table: int
    column: str
    values: tuple[str, ...]


class CheckLeaks(Frozen):
    """Look up values that the destination holds in source columns, report only counts. Columns of small tables go together.

    The values are the destination's: masked ones. Where masking had failed they would be originals, on the topic ``work`` in
    clear: exactly what is being looked for, and already in the destination by then.
    """

    work: Literal["check-leaks"] = "check-leaks"
    run: str
    attempt: int
    samples: tuple[LeakSample, ...]


class ReadToCompare(Frozen):
    """Take a snapshot of the source at a point of its WAL and send these tables through the pipeline. ``load`` of their batches is
    −``number``: nobody applies them."""

    work: Literal["read-to-compare"] = "read-to-compare"
    run: str
    attempt: int
    number: int
    plan: str
    """Digest of the plan by which the tables are read and masked."""
    tables: tuple[int, ...]


class ReadPool(Frozen):
    """Read the keys of a carried table that made rows refer to, and send them to ``raw`` as one message of the kind ``pool``."""

    work: Literal["read-pool"] = "read-pool"
    run: str
    attempt: int
    table: int


Work = Annotated[ReadRange | CheckLeaks | ReadToCompare | ReadPool, Field(discriminator="work")]
WORK: TypeAdapter[Work] = TypeAdapter(Work)


# --- orders (the run's `orders` topic, generators' group) ------------------------------------------------------------


class MakeRows(Frozen):
    """Make rows [first, first + rows) of a generated table and publish their batches, as a read range's batches are."""

    order: Literal["make-rows"] = "make-rows"
    run: str
    attempt: int
    table: int
    load: int
    range: int
    first: int
    rows: int
    model: str = ""
    """Digest of the model that columns with the generator ai are drawn from, on the run's topic ``models``."""
    pools: dict[int, str] = Field(default_factory=dict)
    """Of carried tables whose keys are drawn: digests of their pools, on the same topic."""


ORDER: TypeAdapter[MakeRows] = TypeAdapter(MakeRows)


# --- the published copy of a run's row -------------------------------------------------------------------------------


class StageProgress(Frozen):
    replicas: int = 0
    rows: int = 0
    bytes: int = 0


class TableProgress(Frozen):
    table: int
    name: str
    state: Literal["waiting", "loading", "loaded", "quarantined", "resync"] = "waiting"
    """resync: it is loaded again while the run streams."""
    why: str = ""
    """What keeps a quarantined table from following its source; of one that follows, what is new about it."""
    estimated_rows: float = -1
    rows_read: int = 0
    rows_loaded: int = 0
    load: int = 0
    """Times that it has been loaded again in this attempt."""
    lag_s: float | None = None
    """Since the oldest change of it that the destination lacks was committed; 0 where it lacks none; None where it does not follow,
    or nothing is known."""
    lag_bytes: int = 0
    """WAL between what the destination holds of it and the source's end."""
    left_at: datetime | None = None
    """Of a table that does not follow any more: the destination lacks none of what was committed until then."""
    left: str = ""
    """…and up to this LSN."""


class LaneProgress(Frozen):
    """How far a lane is behind its source."""

    lane: int
    position: str
    """Commit LSN of the last source transaction that the destination holds."""
    committed_at: datetime | None = None
    """When that was committed in the source."""
    applied_at: datetime | None = None
    lag_s: float | None = None
    """Since the oldest change that the destination lacks was committed; 0 where it lacks none."""
    lag_bytes: int = 0
    """WAL between that position and the source's end."""
    changes: int = 0
    """Applied since the run began to stream."""
    capture: str = ""
    """The reader that captures."""
    slot: SlotState | None = None
    held_back: bool = False


class ModelProgress(Frozen):
    """A table's model. Who is named as its trainer learns it, from these batches of the topic ``training``."""

    table: int
    name: str
    state: Literal["sampling", "waiting", "learning", "ready"]
    """sampling: rows to learn from are read; waiting: for a trainer."""
    trainer: str = ""
    batches: dict[int, int] = Field(default_factory=dict)
    """Of the sample's ranges, once all of them are read."""
    rows: int = 0
    """That are learned from."""
    epoch: int = 0
    loss: float = 0.0
    """Nats per row that was held out."""
    remaining_s: float = 0.0
    digest: str = ""
    rejected: float = 0.0
    """Largest share, over the orders made so far, of drawn rows that broke one of the job's rules and were drawn again."""


class Check(Frozen):
    """One line of the verification."""

    name: str
    """``rows public.customer``, ``foreign key orders_customer_fkey``, ``leak public.customer.email``."""
    passed: bool
    detail: str = ""


class LeftOut(Frozen):
    """A table that a comparison says nothing of."""

    table: str
    why: str


class ComparisonProgress(Frozen):
    """The newest comparison of a continuous run's destination with its source."""

    id: str
    number: int
    state: Literal["asked", "reading", "done", "failed", "refused"]
    reader: str = ""
    """Who reads the source for it: the first that has told a point."""
    point: str = ""
    """Both sides hold every source transaction that commits below, and none that does not."""
    cut_at: datetime | None = None
    """When the destination was there."""
    tables: int = 0
    bytes: int = 0
    """Of the source's rows that have arrived: what its reader waits for."""
    rows: int = 0
    checks: tuple[Check, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    why: str = ""
    """What it was begun anew for, or has failed of."""
    tries: int = 1


class Snapshot(Frozen):
    replica: str
    id: str


class ResyncProgress(Frozen):
    """Tables of a continuous run that are loaded anew while the others wait or flow."""

    number: int
    """Of the run's resyncs; grows."""
    order: str
    """Digest of the ``plan.resync.ResyncOrder`` on the run's ``plan`` topic."""
    tables: tuple[int, ...]
    loading: bool = False
    """The plan is accepted (it is the record's ``revision``): the record's snapshots are this resync's."""


Protection = Literal["masked", "mocked", "key", "made", "learned", "formula", "constant", "null", "duplicated"]
"""What becomes of a column's values. ``made``: of a generated table; ``learned``: sampled from a model."""


class ReplicaLost(Frozen):
    """A replica of which nothing was heard any more while the run went on, and which had not said that it would leave."""

    service: ServiceName
    replica: str
    at: datetime
    """When its silence was noticed."""
    memory_bytes: int = 0
    memory_limit: int = 0
    """By its last heartbeat; 0: not known."""
    cause: Literal["memory", "unknown"] = "unknown"
    """memory: it was about at its limit when it was last heard of. A judgement: who is killed cannot say so."""


class RunRecord(Frozen):
    """Published by the leader on ``jobs`` (key = run) from the run's row; never the truth. A lower version is ignored."""

    run: str
    version: int
    state: State
    attempt: int = 1
    job: Job
    submitted_at: datetime
    updated_at: datetime
    leader: str = ""
    digest: str = ""
    """Of the plan, from ``planned`` on."""
    revision: str = ""
    """Of the newest plan of the attempt, where tables have been planned anew since."""
    resync: ResyncProgress | None = None
    queued: bool = False
    """More than the allowed number of runs are active; it waits its turn."""
    waiting_for: str = ""
    """What the run waits for, in words: ``a generator replica``."""
    cancel_requested: bool = False
    snapshots: tuple[Snapshot, ...] = ()
    credit_used: int = 0
    credit_bytes: int = 0
    stages: dict[ServiceName, StageProgress] = Field(default_factory=dict)
    tables: tuple[TableProgress, ...] = ()
    lanes: tuple[LaneProgress, ...] = ()
    """Of a continuous run."""
    comparison: ComparisonProgress | None = None
    models: tuple[ModelProgress, ...] = ()
    """Of tables that are learned."""
    protection: dict[Protection, int] = Field(default_factory=dict)
    """Columns that the plan carries, by what becomes of them."""
    unprotected: int = 0
    """Of the duplicated ones: those whose name or type says that they may hold something personal."""
    lost: tuple[ReplicaLost, ...] = ()
    """The latest, oldest first."""
    pause_requested: bool = False
    stop_requested: bool = False
    checks: tuple[Check, ...] = ()
    problems: tuple[Problem, ...] = ()
    failure: Failure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def terminal(self) -> bool:
        """True when nothing will change any more: members leave the run's groups."""
        return self.state in TERMINAL_STATES
