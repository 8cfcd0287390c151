"""The plan's models: every column's generator and what is proved of it, wire types, order, ranges, DDL, fingerprints.

The plan travels as one content-addressed, compressed message on the run's ``plan`` topic; ``jobs`` carries its digest. Ranges
are block numbers, so that nothing in it was read from a row.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import zstandard
from pydantic import Field

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.generators import MaskColumn, Rule
from tailrace_shared.job.drawing import Draw
from tailrace_shared.types import ColumnType, Frozen, quote_ident

PLAN_VERSION = 1


class Problem(Frozen):
    """Something that would fail the run (error) or that somebody should know (warning)."""

    severity: Literal["error", "warning"]
    code: str
    """Stable: ``plan.no-rule``."""
    where: str
    """The thing: ``public.customer.email``."""
    message: str
    remedy: str = ""


class Proof(Frozen):
    """What is known of a unique index, foreign key or NOT NULL under the plan's generators."""

    about: str
    """``public.customer unique customer_email_key``."""
    verdict: Literal["proved", "estimated", "verified-after"]
    reason: str


ORDER = -1
"""Leaf of a range that is made, not read: an order."""


class Slot(Frozen):
    """A column's digit of one number, below ``total``, that is another for every row of a generated table.

    Row n draws ``permutation(n) // divisor % size``: together the digits of a unique index differ from row to row.
    """

    name: str
    """Of the unique index; keys the permutation."""
    total: int
    divisor: int
    size: int


class ParentKey(Frozen):
    """The generated key that a column refers to: its value is that column's, of a row that is drawn."""

    name: str
    """Of the foreign key: its columns draw alike."""
    table: int
    column: str
    rows: int
    """Of the parent; at least one."""
    earlier: bool = False
    """Its own table: a row before this one, none for the first."""
    pool: bool = False
    """The parent's rows are carried: its key is one of the table's pool. See ``PlannedPool``."""
    fan_out: tuple[tuple[int, int], ...] = ()
    """Groups of parents that have about equally many rows in the source, by how many: parents, and rows that refer to them. Empty:
    rows are drawn evenly, or by the rule's skew."""
    owner: bool = False
    """No row is drawn: it is the one to which this event belongs."""


class PlannedColumn(Frozen):
    """A column that is carried, in the order of the wire schema."""

    name: str
    type: ColumnType
    """Of the source; decides the wire type."""
    destination_type: ColumnType
    rule: Rule
    mask: MaskColumn | None = None
    """What its kernel is built from; None for duplicate, null and constant."""
    why: str = ""
    """Where the rule comes from: the job, inherited through a foreign key, a policy."""
    masked: bool = False
    """True where no original value may arrive: the leak scan looks at it."""
    slot: Slot | None = None
    """Of a generated table: what makes its unique indexes hold."""
    parent: ParentKey | None = None
    """Of ``make.reference``."""
    cast: str = ""
    """Of a view: the type that it is read as, as SQL."""

    @property
    def expression(self) -> str:
        """SQL of its value in the source, without the relation's name."""
        return f"CAST({quote_ident(self.name)} AS {self.cast})" if self.cast else quote_ident(self.name)


class PlannedRange(Frozen):
    """A unit of reading: blocks [low, high) of one heap, read in ctid order; high None is open-ended.

    Of a generated table it is an order: rows [low, high) by their ordinals, from 0; ``leaf`` is ``ORDER``.
    """

    number: int
    leaf: int
    low: int
    high: int | None
    estimated_bytes: int
    high_item: int = 0
    """Line pointer in block ``high`` at which the range ends: a row limit may end inside a block."""


class CapturedColumn(Frozen):
    """A column as the change stream describes it."""

    name: str
    type_oid: int
    typmod: int
    key: bool = False
    number: int = 0
    """Of the source's table; 0: a plan of before this was noted."""


class CapturedRelation(Frozen):
    """A table as the change stream described it when the run was planned: what comes otherwise has been changed since."""

    oid: int
    identity: Literal["d", "n", "f", "i"]
    columns: tuple[CapturedColumn, ...]
    last: int = 0
    """The highest number that a column has had when this was noted, whether it is there or not."""


class TableCut(Frozen):
    """Of a table that was loaded anew while the run streamed: where its load stands in the stream."""

    revision: int
    """Of the plan that it was planned in."""
    since: str
    """Commit LSN up to which everything is in the snapshot: the capture stood still here."""
    snapshot: str
    """As ``pg_current_snapshot`` prints it."""
    filter_until: str
    """From this commit on no transaction can be in the snapshot."""


class Growth(Frozen):
    """Columns that a table got while the run streamed, and that are followed in place. They were NULL in all rows at first."""

    revision: int
    """Of the plan that it was planned in."""
    at: str
    """Commit LSN of the last source transaction in which rows may come without them."""
    columns: tuple[str, ...]
    statements: tuple[str, ...]
    """What the destination's table needs before the first such row. Applied once."""


class Alteration(Frozen):
    """What a destination table needs before it is loaded anew, once it is empty."""

    table: int
    statements: tuple[str, ...]


class Leaf(Frozen):
    """A heap that is read: the table itself, or one partition."""

    name: TableName
    oid: int
    filenode: int


class RowEnd(Frozen):
    """Where a row limit ends: at the first row that is not carried any more, in one of the table's heaps."""

    leaf: int
    block: int
    item: int


class PlannedTable(Frozen):
    number: int
    """Position in the plan; named in every batch header."""
    name: TableName
    mode: Literal["carry", "duplicate", "truncate", "generate"]
    columns: tuple[PlannedColumn, ...] = ()
    leaves: tuple[Leaf, ...] = ()
    ranges: tuple[PlannedRange, ...] = ()
    after: tuple[int, ...] = ()
    """Tables that must be complete before this one's ranges are released (respect only)."""
    copy_format: Literal["binary", "csv"] = "binary"
    estimated_rows: float = -1
    rows_per_batch: int = 16_384
    view: bool = False
    """Read from a view, in the order of ``order_by``; a range's blocks are then row positions in that order."""
    order_by: tuple[str, ...] = ()
    """Columns of the declared key of a view; empty: the whole row's text."""
    materialised: bool = False
    """Read from a materialised view, whose heap is read like a table's."""
    shape: str = ""
    """Of a view: digest of its columns, its definition and the files under it. See ``catalogue.views``."""
    relation: CapturedRelation | None = None
    """Continuous: how the source describes it."""
    cut: TableCut | None = None
    """Continuous: where it was loaded anew; None: by the attempt's own snapshot."""
    appeared: tuple[str, ...] = ()
    """Continuous: columns that have come while the run streamed."""
    grown: tuple[Growth, ...] = ()
    """…and are followed in place since the table was loaded, in their order."""
    identity: tuple[str, ...] = ()
    """Continuous: the columns by which a change finds its row; empty: all of them (REPLICA IDENTITY FULL, no key)."""
    filtered: bool = False
    """Fewer rows are carried than the source has: by a condition, a row limit, or because a referenced row is not carried."""
    only: bool = False
    """Other tables of the destination inherit from it: it is counted and emptied with ONLY."""
    rows: int = 0
    """Of a generated table: how many are made, ordinals 0 to rows - 1; of events at most so many, as drawn lengths decide."""
    events_of: int | None = None
    """Of a table of events: the one of their entities. Its orders are over these, [low, high) by their ordinals."""
    strict: bool = False
    """Of events: no two of one entity are at the same place of their order."""
    learning: Learning | None = None
    """Of a generated table with columns that are sampled from a model."""


class Learning(Frozen):
    """What a table's model is learned from, and how."""

    source: PlannedTable
    """What is read of the source: the columns to learn, and the one that says to whom a row belongs. Its ranges are those of the
    sample."""
    columns: tuple[str, ...]
    """Those that are learned, in the order of the source."""
    sample: Literal["random", "first", "all"]
    rows: int
    """At most so many are learned from; 0: as many as the trainer takes."""
    percent: float = 100.0
    """Of the source's rows that are read, at random, when that is less than all."""
    seed: int = 1
    epochs: int = 0
    """At most; 0: as many as suit the number of rows."""
    k: int = 10
    rare: Literal["resample", "constant"] = "resample"
    replacement: str = "*"
    epsilon: float | None = None
    delta: float = 1e-5
    together: tuple[tuple[str, ...], ...] = ()
    """Columns whose values come only in combinations that the source has."""
    ordered: tuple[tuple[str, str], ...] = ()
    """Pairs of columns of which the second is never below the first."""
    entity: str | None = None
    context: tuple[str, ...] = ()
    """Learned columns whose drawn values go through their rule."""
    draw: Draw = Draw()
    """What rows are held against. It has no seeds: those are in ``Plan.seeds``."""
    seeded: tuple[str, ...] = ()
    """Columns whose values are given."""
    model: str = ""
    """Digest of a saved model that is drawn from; empty: one is learned."""
    key: str = ""
    """With ``events``: the column that they refer to."""
    events: LearnedEvents | None = None
    """A second table that the same model is of."""

    def sampled(self, number: int) -> tuple[PlannedTable, str]:
        """What a range of the sample is read of, and the column by whose value a row is in the sample or not; empty where rows
        are chosen one by one. The ranges of events have the numbers after the entities'."""
        if self.events is None:
            return self.source, ""
        mine = any(piece.number == number for piece in self.source.ranges)
        return (self.source, self.key) if mine else (self.events.source, self.events.foreign_key)

    @property
    def pieces(self) -> tuple[PlannedRange, ...]:
        """All ranges of the sample."""
        return self.source.ranges + (self.events.source.ranges if self.events else ())


class LearnedEvents(Frozen):
    """Events that are learned with their entities: they see them, and each other in order."""

    source: PlannedTable
    """What is read: the columns to learn, the reference to the entities, and what puts events in order."""
    columns: tuple[str, ...]
    foreign_key: str
    order: str = ""
    """Empty: as they are stored."""
    length_max: int


class PlannedPool(Frozen):
    """Keys of a carried table that made rows refer to: read from the source, masked as the table's own, and drawn from."""

    table: int
    """Of the plan, whose rows are carried. A table has one pool."""
    columns: tuple[str, ...]
    """That are referred to, in the table's order; rows that are NULL in one of them are not in the pool."""
    rows: int
    """Exactly so many keys: all of them, or those whose hashes are the smallest."""
    drawn_by: tuple[int, ...]
    """Tables whose orders need it."""


class TableFilter(Frozen):
    """Which rows of a source table are read, and which references of theirs are kept. SQL; it may hold values.

    ``condition`` and ``kept`` are over the table's own columns, unqualified or by the alias ``t``.
    """

    table: int
    condition: str = ""
    kept: dict[str, str] = Field(default_factory=dict)
    """Per column the condition under which its value is kept; NULL is read otherwise."""
    looks_up: bool = False
    """It looks into other rows: the plan of the query is PostgreSQL's, and its order has to be asked for."""
    reads: tuple[Leaf, ...] = ()
    """Heaps that it looks into. A rewrite of one of them would hide its rows from the snapshot, silently."""


class TableSeeds(Frozen):
    """Rows of a learned table that are given in some columns, as texts; row n of the table has the values of seed n modulo how
    many they are. They may be values of the source."""

    table: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]


class DdlStep(Frozen):
    """Something dropped or disabled while loading, and how it comes back.

    Rebuild statements run in order, each in its own transaction; every statement may be repeated.
    """

    number: int
    kind: Literal[
        "foreign-key", "index", "trigger", "append",
        "create", "create-index", "create-attach", "create-foreign-key", "create-rest",
    ]  # fmt: skip
    """``create…``: something that the run makes, by ``create`` before the load or by ``rebuild`` after it; ``drop`` removes it, and
    is empty where it goes with something else."""
    table: TableName
    name: str
    drop: str
    rebuild: tuple[str, ...]
    create: tuple[str, ...] = ()
    """Statements that make it, in the transaction that prepares the destination."""
    makes: tuple[str, ...] = ()
    """Names that it takes, as ``catalogue.model.Ground.taken`` has them."""

    @property
    def creates(self) -> bool:
        """The run makes it: it was not there before."""
        return self.kind.startswith("create")


class SequenceStep(Frozen):
    """A destination sequence that must start above what was loaded."""

    schema_name: str
    name: str
    table: int
    """Planned table that owns it."""
    column: str


class ForeignKeyCheck(Frozen):
    """A foreign key of the destination that touches a carried table: no orphan may be left."""

    name: str
    table: TableName
    columns: tuple[str, ...]
    references: TableName
    referenced_columns: tuple[str, ...]
    when: dict[str, str] = Field(default_factory=dict)
    """Polymorphic: it holds for rows whose columns have these values."""
    virtual: bool = False
    """Declared by the job alone: PostgreSQL does not know of it."""
    orphans: int | None = 0
    """Rows without a referenced row that the source has itself, among those that are carried; None: not counted."""
    only: bool = False
    references_only: bool = False
    """Other tables inherit from this side: their rows are not its own."""
    operators: tuple[str, ...] = ()
    """Per column, what compares referenced with referring value; empty: ``=``, as the search path has it."""
    temporal: bool = False
    """The last column is a PERIOD: the referenced rows' periods together have to hold it."""


class ContinuousPlan(Frozen):
    """How an attempt follows its source: from where, by what, and how changes are applied. See ``docs/adr``."""

    slot: str
    publication: str
    managed: bool = True
    """The publication is the run's own, and goes with it."""
    lane: int = 0
    system: str = ""
    timeline: int = 1
    start: str = "0/0"
    """Where the slot begins: the lane's first predecessor."""
    snapshot: str = ""
    """As ``pg_current_snapshot`` prints it: what the tables' load has seen."""
    filter_until: str = "0/0"
    """From this commit on no transaction can be in that snapshot."""
    apply: Literal["replica-role", "bare"] = "bare"
    """replica-role: under session_replication_role. bare: foreign keys that touch carried tables are absent while streaming."""


class Fingerprints(Frozen):
    """What every generator replica must agree on; digests that reveal nothing."""

    mask_secret: str
    catalogue: str
    """Version and digest of the generator catalogue."""
    pools: str
    numeric: str = ""
    """Of the numeric library, for ``ai`` columns."""


class DataKey(Frozen):
    """The run's AES-256 data key, wrapped with the transport key; new with every attempt's plan."""

    id: str
    wrapped: str
    """base64."""


class Plan(Frozen):
    version: int = PLAN_VERSION
    release: str
    """Version of Tailrace that planned."""
    run: str
    attempt: int
    job_digest: str
    source_system: str
    destination_system: str
    regime: Literal["bypass", "respect"]
    replica_role: bool = False
    """Respect: batch transactions set session_replication_role=replica (the destination role may)."""
    truncate_first: bool = False
    continuous: ContinuousPlan | None = None
    revision: int = 0
    """0: the attempt's first plan; else the number of the resync that has made this one of it."""
    alterations: tuple[Alteration, ...] = ()
    """Of a revision: what the tables that it plans anew need."""
    mode: Literal["existing", "create", "truncate", "append"] = "existing"
    tables: tuple[PlannedTable, ...]
    ddl: tuple[DdlStep, ...] = ()
    sequences: tuple[SequenceStep, ...] = ()
    foreign_keys: tuple[ForeignKeyCheck, ...] = ()
    proofs: tuple[Proof, ...] = ()
    warnings: tuple[Problem, ...] = ()
    fingerprints: Fingerprints
    key: DataKey
    pools: tuple[PlannedPool, ...] = ()
    filters: tuple[TableFilter, ...] = Field(default=(), exclude=True)
    """As planned, in the planning process alone: no form in which a plan is written down has them. See ``sealed``."""
    sealed: str = ""
    """``filters`` encrypted with ``TransportKey.seal``, since they may hold values; empty where there are none."""
    seeds: tuple[TableSeeds, ...] = Field(default=(), exclude=True)
    """Like ``filters``: in the planning process alone, and sealed where the plan travels."""
    sealed_seeds: str = ""
    partitions: int = 12
    message_bytes: int = 8 << 20
    batch_bytes: int = 4 << 20
    range_bytes_max: int = 64 << 20
    credit_bytes: int = 256 << 20
    leak_sample: int = 10_000
    digest: bool = False
    """The run's verification makes a digest of every table."""
    canaries: tuple[str, ...] = ()
    """References ``${NAME}``; the strings themselves are originals and never travel."""

    def encode(self) -> bytes:
        """Compressed JSON, the form in which the plan travels."""
        return zstandard.compress(self.model_dump_json().encode(), 9)

    @staticmethod
    def decode(data: bytes) -> Plan:
        """The plan of ``encode``; raises pydantic's ValidationError for what is none."""
        return Plan.model_validate_json(Plan.text_of(data))

    @staticmethod
    def text_of(data: bytes) -> bytes:
        """The JSON of ``encode``, of whatever version it is."""
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 30)

    @staticmethod
    def digest_of(data: bytes) -> str:
        """SHA-256, hexadecimal, of the encoded plan: its name in ``jobs`` and in every batch header."""
        return hashlib.sha256(data).hexdigest()

    def table(self, number: int) -> PlannedTable:
        """The table of that number. Raises IndexError."""
        if number < len(self.tables) and self.tables[number].number == number:
            return self.tables[number]
        found = next((table for table in self.tables if table.number == number), None)  # a revision may leave one out
        if found is None:
            raise IndexError(number)
        return found


class PlanResult(Frozen):
    """What planning found: a plan when nothing stands against it, and all problems."""

    plan: Plan | None
    problems: tuple[Problem, ...] = Field(default=())
