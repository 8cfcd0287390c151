"""The job file's models. They are the reference: JSON Schema and the reference page are generated from them.

A job names secrets and never holds them: every URL, secret and canary is ``${NAME}``, resolved by each service from its own
environment or from the file that ``NAME_FILE`` names. Only names travel.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from tailrace_shared.generators import Rule
from tailrace_shared.job.canaries import check_canaries
from tailrace_shared.job.drawing import Draw
from tailrace_shared.types import Frozen

Reference = Annotated[str, StringConstraints(pattern=r"^\$\{[A-Z][A-Z0-9_]*\}$")]
"""``${NAME}``: the name of a variable that holds a URL or a secret."""

Policy = Literal["halt", "mask", "null", "pass"]
"""What happens to a column without a rule: refuse the plan, mask it by its type, write NULL, carry it as it is."""

Mode = Literal["carry", "duplicate", "generate", "synthesize", "truncate", "exclude"]
"""carry: by column rules; duplicate: every column as it is; generate: made rows, nothing is read; synthesize: made rows whose
columns come from a model unless their rule says otherwise; truncate: empty it, load nothing; exclude: leave it alone."""


MissingParents = Literal["refuse", "nullify", "exclude"]
"""What happens to rows whose referenced row is not carried: refuse the plan, write NULL instead, leave the row out."""


class Source(Frozen):
    """The database that is read, and only read."""

    url: Reference = Field(description="Variable that holds the source's PostgreSQL URL.")


class Destination(Frozen):
    """The lower environment that is written."""

    url: Reference = Field(description="Variable that holds the destination's PostgreSQL URL.")
    mode: Literal["existing", "create", "truncate", "append"] = Field(
        default="existing",
        description="existing: the carried tables exist and must be empty. create: they do not exist and are made as the source "
        "has them. truncate: they are emptied first, never with CASCADE. append: rows are added to those that are there, in one "
        "transaction at the end: they come all or not at all.",
    )
    constraints: Literal["bypass", "respect"] = Field(
        default="bypass",
        description="bypass: foreign keys and secondary indexes are dropped while loading and rebuilt exactly. respect: nothing "
        "is dropped; parents load before children. In the mode append nothing is dropped either way.",
    )


class Train(Frozen):
    """How a table is learned whose columns use the generator ai, and how what is learned is protected."""

    sample: Literal["random", "first", "all"] = Field(
        default="random",
        description="Which rows are learned from: so many at random, the first ones of each heap, or all that the trainer takes.",
    )
    rows: int = Field(default=100_000, ge=1, le=10_000_000, description="How many.")
    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="At most; learning ends before when it stops to improve. Default: 60, and more for small tables.",
    )
    seed: int = Field(
        default=1, ge=0, lt=1 << 31, description="Of sampling, learning and drawing: another one makes other rows."
    )
    k: int = Field(
        default=10,
        ge=2,
        le=1000,
        description="Distinct entities behind every value, edge and knot that is kept: rows, unless `entity` is given.",
    )
    rare: Literal["resample", "constant"] = Field(
        default="resample",
        description="What rarer categories become: another category, or `replacement` in columns of text.",
    )
    replacement: str = Field(default="*", max_length=100, description="Of `rare: constant`.")
    entity: str | None = Field(
        default=None,
        description="Column of the source that says to whom a row belongs: protection counts these, not rows.",
    )
    epsilon: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="Differential privacy of every entity, of all that is learned; default: none. From 1 to 10 is usual.",
    )
    delta: float = Field(
        default=1e-5,
        gt=0,
        le=1e-2,
        description="Chance that the guarantee of `epsilon` does not hold; far less than one in the number of entities.",
    )
    together: tuple[tuple[str, ...], ...] = Field(
        default=(), description="Groups of columns whose values come only in combinations that the source has."
    )
    ordered: tuple[tuple[str, str], ...] = Field(
        default=(), description="Pairs of columns of which the second is never below the first."
    )
    context: tuple[str, ...] = Field(
        default=(),
        description="Columns whose rule works on values (`duplicate`, `mask.…`, a mock): a value that k entities share is drawn "
        "from the model, before the other columns, which agree with it; then it goes through its rule.",
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Digest of a saved model, as `tailrace models` lists it: it is drawn from, and nothing is learned.",
    )


class EventSequence(Frozen):
    """A table whose rows are events of another table's rows: both are learned together, and drawn together."""

    entity: str = Field(
        description="`schema.table` that the events refer to, by a foreign key of one column; synthetic, too."
    )
    order: str | None = Field(
        default=None,
        description="Column that puts the events of one entity in order: a number, a date, a time. Default: none, and they come "
        "as they are stored.",
    )
    by: str | None = Field(
        default=None, description="Column of the foreign key, where several lead to the entity; default: the only one."
    )
    length_max: int = Field(
        default=1000, ge=1, le=1000, description="Events that one entity has at most; never more than k entities have."
    )


class TableRule(Frozen):
    """How one table, or all tables that a pattern matches, travel."""

    mode: Mode = Field(default="carry", description="carry, duplicate, generate, synthesize, truncate or exclude.")
    columns: dict[str, Rule] = Field(
        default_factory=dict,
        description="Generator per column: a name such as mock.email, or a mapping with `generator` and its options.",
    )
    policy: Policy | None = Field(
        default=None, description="For this table's columns without a rule; default: the job's."
    )
    where: str = Field(
        default="",
        description="SQL condition over the source's rows: only those that meet it are carried. `${NAME}` stands for the value "
        "of that variable, which the reader puts in as a literal; what is written here itself travels with the job.",
    )
    rows: int | None = Field(
        default=None,
        ge=0,
        le=10**12,
        description="At most so many rows are carried, the first of those that `where` leaves. Mode generate: so many rows "
        "are made. Mode synthesize: the same; default: about as many as the source has.",
    )
    train: Train = Field(
        default_factory=Train, description="How the columns with the generator ai are learned, and protected."
    )
    sequence: EventSequence | None = Field(
        default=None,
        description="Mode synthesize: its rows are events, so many per row of another synthetic table as are drawn for it. How "
        "both are learned is said by that table's `train`.",
    )
    draw: Draw = Field(default_factory=Draw, description="How rows are drawn from what was learned.")
    missing_parents: MissingParents | None = Field(
        default=None,
        description="Rows of this table that refer to a row which is not carried: refuse, nullify or exclude; default: the job's.",
    )
    key: tuple[str, ...] = Field(
        default=(), description="Of a view: the columns that identify a row. It is read in their order."
    )
    types: dict[str, str] = Field(
        default_factory=dict, description="Of a view: types by column, where the view's own do not fit."
    )


class VirtualForeignKey(Frozen):
    """A foreign key that the source's schema does not declare."""

    table: str = Field(description="`schema.table` that refers.")
    columns: tuple[str, ...] = Field(min_length=1, description="Its columns.")
    references: str = Field(description="`schema.table` that is referred to.")
    referenced_columns: tuple[str, ...] = Field(
        default=(), description="Its columns, in the same order; default: its primary key."
    )
    when: dict[str, str] = Field(
        default_factory=dict,
        description="Polymorphic: it holds for rows whose columns have these values, such as `owner_type: Customer`.",
    )


class Continuous(Frozen):
    """How a continuous run follows its source."""

    columns: Policy | None = Field(
        default=None,
        description="What happens to a column that appears while the run lasts; default: the job's policy.",
    )
    ddl: Literal["resync", "ask"] = Field(
        default="resync",
        description="A table whose definition has changed is loaded again by itself, or when `tailrace resync` says so.",
    )
    slot_lost: Literal["resync", "stop"] = Field(
        default="resync",
        description="When the source has dropped changes that were not read yet: load everything again, or end the run.",
    )
    publication: str | None = Field(
        default=None,
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="An existing publication of all carried tables; default: the run makes its own and drops it at its end.",
    )
    disk_bytes: int = Field(
        default=8 << 30,
        ge=1 << 20,
        description="Changes kept on Kafka that the destination has not taken yet; above it the source keeps them, within "
        "its own limit.",
    )
    replay_bytes: int = Field(
        default=64 << 20, ge=0, description="Changes kept on Kafka behind what the destination has taken."
    )
    heartbeat_s: float = Field(
        default=10.0, gt=0, description="An idle source is written a heartbeat this often, so that its WAL is let go."
    )


class Verification(Frozen):
    """What is checked after the load."""

    leak_sample: int = Field(
        default=10_000,
        ge=0,
        le=1_000_000,
        description="Distinct destination values looked up in the source per masked column; 0 turns the leak scan off.",
    )
    canaries: tuple[Reference, ...] = Field(
        default=(),
        description="Variables that hold strings of the source, one per line, that must not be anywhere in the destination. "
        "The writer and `tailrace verify` look them up; only the names travel.",
    )
    digest: bool = Field(
        default=False,
        description="The run's own verification ends with a digest of every table, which equal runs share. It scans every table; "
        "`tailrace verify` makes it anyway.",
    )


class Limits(Frozen):
    """Batch and memory settings that hold."""

    rows_per_batch: int = Field(default=16_384, ge=1, le=1_000_000, description="A batch closes at this many rows…")
    batch_bytes: int = Field(
        default=4 << 20,
        ge=1 << 10,
        le=64 << 20,
        description="…or at this many bytes of row text, whichever comes first.",
    )
    range_bytes: int = Field(default=32 << 20, ge=1 << 13, description="Aimed size of a range, the unit of reading.")
    range_bytes_max: int = Field(
        default=64 << 20, ge=1 << 13, description="A range ends early at the first row past this."
    )
    credit_bytes: int = Field(
        default=256 << 20,
        ge=1 << 20,
        description="Bytes released for reading that the destination has not committed: the backpressure.",
    )
    partitions: int = Field(
        default=12, ge=1, le=1000, description="Partitions of the run's topics: the highest replica count per stage."
    )
    message_bytes: int = Field(
        default=8 << 20,
        ge=1 << 16,
        le=64 << 20,
        description="Largest Kafka message; a single row above it fails the run by name.",
    )
    restarts: int = Field(default=3, ge=0, description="Attempts after the first when the source snapshot is lost.")


class Job(Frozen):
    """A job: from which source, to which destination, which tables, and what makes each column."""

    version: Literal[1] = Field(default=1, description="Version of this format.")
    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Name of the job: lower case, digits, dashes.")
    source: Source
    destination: Destination
    mode: Literal["once", "continuous"] = Field(
        default="once",
        description="once: carry what is there. continuous: carry it and follow every change until the run is stopped.",
    )
    secret: Reference = Field(
        default="${TAILRACE_MASK_SECRET}", description="Variable that holds the mask secret; the generator's alone."
    )
    policy: Policy = Field(default="halt", description="What happens to a column without a rule.")
    schemas: tuple[str, ...] = Field(default=("public",), description="Schemas whose tables are carried.")
    default_mode: Mode = Field(default="carry", description="Mode of tables that no entry of `tables` names.")
    tables: dict[str, TableRule] = Field(
        default_factory=dict,
        description="Rules by `schema.table`; `*` matches any characters. An exact name wins over patterns, "
        "among patterns the first.",
    )
    missing_parents: MissingParents = Field(
        default="refuse",
        description="Rows that refer to a row which is not carried (its table is excluded, filtered or limited): refuse the plan, "
        "nullify the reference, exclude the row.",
    )
    foreign_keys: tuple[VirtualForeignKey, ...] = Field(
        default=(),
        description="Foreign keys that the source does not declare: their columns mask alike and are verified.",
    )
    foreign_keys_file: str | None = Field(
        default=None,
        description="JSON file with more of them, a list of the same form, beside the job file. It is read with the job and "
        "does not travel.",
    )
    continuous: Continuous = Field(default_factory=Continuous, description="Of `mode: continuous`.")
    verify: Verification = Field(default_factory=Verification)
    limits: Limits = Field(default_factory=Limits)

    @field_validator("verify")
    @classmethod
    def _no_secret_is_a_canary(cls, verify: Verification, info: ValidationInfo) -> Verification:
        known = info.data
        named = {field: known[field] for field in ("secret",) if field in known}
        named |= {f"{field}.url": known[field].url for field in ("source", "destination") if field in known}
        check_canaries(verify.canaries, named)
        return verify


def learns(job: Job) -> bool:
    """Whether columns of some table come from a model."""
    return job.default_mode == "synthesize" or any(
        rule.mode == "synthesize" or any(column.generator == "ai" for column in rule.columns.values())
        for rule in job.tables.values()
    )
