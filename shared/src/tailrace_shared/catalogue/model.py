"""Pure models of a PostgreSQL database's structure. Read by ``catalogue.postgres``, planned from by ``plan``.

Nothing here holds a value of a row; statistics are counts and sizes only.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Literal

from pydantic import Field, field_validator

from tailrace_shared.types import ColumnType, Frozen, quote_ident


class TableName(Frozen):
    """A schema-qualified name; sorts by schema, then name."""

    schema_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema_name}.{self.name}"

    def __lt__(self, other: TableName) -> bool:
        return (self.schema_name, self.name) < (other.schema_name, other.name)


class Column(Frozen):
    name: str
    number: int
    """attnum."""
    type: ColumnType
    nullable: bool
    has_default: bool = False
    identity: Literal["", "a", "d"] = ""
    """GENERATED ALWAYS (a) or BY DEFAULT (d) AS IDENTITY."""
    generated: Literal["", "s", "v"] = ""
    """GENERATED … STORED (s) or VIRTUAL (v): never written."""
    loose: bool = False
    """Its collation equates more than upper and lower case (accents, punctuation): no mask can follow such an equality."""
    not_null_proved: bool = True
    """False where a NOT NULL is NOT VALID: rows from before it may hold a NULL."""
    cast: str = ""
    """Of a view: the type that the job reads it as, as SQL; ``type`` is that type then."""

    @property
    def expression(self) -> str:
        """SQL of its value over its relation, without the relation's name."""
        return f"CAST({quote_ident(self.name)} AS {self.cast})" if self.cast else quote_ident(self.name)


class Index(Frozen):
    """Any index; ``columns`` holds None where the index is over an expression."""

    name: str
    definition: str
    """pg_get_indexdef: rebuilds it."""
    columns: tuple[str | None, ...]
    expressions: tuple[str, ...] = ()
    unique: bool = False
    primary: bool = False
    identifies: bool = False
    """The table's replica identity names it."""
    immediate: bool = True
    """Not deferrable."""
    constraint: str | None = None
    """The constraint that owns it (primary key, unique, exclusion)."""
    predicate: str | None = None
    nulls_not_distinct: bool = False
    valid: bool = True
    partitioned: bool = False
    """relkind I: on a partitioned parent."""
    children: tuple[Index, ...] = ()
    """Indexes of partitions that are attached to this one: they go and come with it. Kept where it may be dropped."""
    exclusion: bool = False
    """An exclusion constraint's."""
    uses: tuple[str, ...] = ()
    """All columns that keys, expressions and predicate refer to."""
    on: TableName | None = None
    """The partition that it is on, when it is not on the table itself."""
    extras: tuple[str, ...] = ()
    """Statements that restore what the definition leaves out: clustering, tablespace, statistics targets, comment."""

    @property
    def droppable(self) -> bool:
        """It may go while loading: nothing but queries needs it."""
        return not self.unique and self.constraint is None and self.valid


class ForeignKey(Frozen):
    name: str
    table: TableName
    columns: tuple[str, ...]
    references: TableName
    referenced_columns: tuple[str, ...]
    definition: str
    """pg_get_constraintdef."""
    deferrable: bool = False
    initially_deferred: bool = False
    validated: bool = True
    on_delete: str = "a"
    on_update: str = "a"
    enforced: bool = True
    temporal: bool = False
    """FOREIGN KEY (…, PERIOD …): equality does not decide it."""
    silenced: bool = False
    """Some of its own triggers are disabled, as ``DISABLE TRIGGER ALL`` of a superuser does."""
    extras: tuple[str, ...] = ()
    """Statements that restore what the definition leaves out: comments."""
    parts: tuple[str, ...] = ()
    """Statements that make it first in partitions that have it under a name of their own."""
    operators: tuple[str, ...] = ()
    """Per column, the operator by which PostgreSQL compares referenced with referring value: ``OPERATOR(public.=)``."""


class CheckConstraint(Frozen):
    name: str
    definition: str
    columns: tuple[str, ...] = ()
    domain: str = ""
    """The type that demands it, when it is a domain's."""


class Trigger(Frozen):
    name: str
    enabled: Literal["O", "D", "R", "A"]
    """As pg_trigger.tgenabled."""
    on: TableName | None = None
    """The partition that it is on, when it is not on the table itself."""
    inherited: bool = False
    """A partition's copy of its parent's trigger, enabled otherwise than there."""


class Rule(Frozen):
    """A rewrite rule of a table. COPY passes it over; INSERT, UPDATE and DELETE do not."""

    name: str
    event: Literal["insert", "update", "delete"]
    enabled: Literal["O", "D", "R", "A"]
    on: TableName | None = None
    """The partition that it is on, when it is not on the table itself."""


class Sequence(Frozen):
    schema_name: str
    name: str
    owner: TableName | None = None
    owner_column: str | None = None
    data_type: str = "bigint"
    increment: int = 1
    maximum: int = 2**63 - 1


class Partition(Frozen):
    """A leaf of a partitioned table: it is read on its own, and written through the parent."""

    name: TableName
    oid: int
    filenode: int
    pages: int
    rows: float
    """Estimate of the planner's statistics; −1 is unknown."""
    bytes: int
    """Heap and TOAST."""
    kind: Literal["r", "f"] = "r"
    """Plain, or a foreign table, which has no heap here."""
    bounds: tuple[str, ...] = ()
    """Of every level from the table down: ``FOR VALUES IN ('eu')``, ``DEFAULT``."""
    takes: str = ""
    """The same as one condition over the table's columns; empty where there is none: a lone DEFAULT."""


class Table(Frozen):
    name: TableName
    oid: int
    kind: Literal["r", "p", "v", "m", "f"]
    """Plain, partitioned, view, materialised view, foreign."""
    filenode: int = 0
    pages: int = 0
    rows: float = -1
    bytes: int = 0
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    checks: tuple[CheckConstraint, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    partitions: tuple[Partition, ...] = ()
    """All leaves, of a partitioned table."""
    partition_columns: tuple[str, ...] = ()
    bounded_columns: tuple[str, ...] = ()
    """Those whose values have to be in a partition that exists: neither hashed over all partitions, nor with a default one."""
    rules: tuple[Rule, ...] = ()
    inherited_by: tuple[TableName, ...] = ()
    row_security: bool = False
    """Policies apply to the connected role: it would see only some of the rows."""
    replica_identity: Literal["d", "n", "f", "i"] = "d"
    """As pg_class.relreplident: the primary key, nothing, the whole row, an index."""
    persistence: Literal["p", "u", "t"] = "p"
    """Permanent, unlogged, temporary."""
    owner: str = ""
    owner_rules_all: bool = False
    """The owner is a superuser: nobody should be made a member of it."""
    has_rows: bool | None = None
    """Whether at least one row exists; asked of the destination only."""

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the primary key's columns; empty without one."""
        for index in self.indexes:
            if index.primary:
                return tuple(c for c in index.columns if c is not None)
        return ()


class Ground(Frozen):
    """What is in a destination in which tables are to be made, beyond its tables."""

    taken: tuple[str, ...] = ()
    """``schema.name`` of relations, indexes and types, and routines with their arguments as PostgreSQL identifies them."""
    schemas: tuple[str, ...] = ()
    open_schemas: tuple[str, ...] = ()
    """Those in which the role may create."""
    may_create: bool = False
    """CREATE on the database: schemas and trusted extensions."""
    superuser: bool = False
    bypasses_row_security: bool = False
    roles: tuple[str, ...] = ()
    extensions: dict[str, str] = Field(default_factory=dict)
    """Installed ones, with the schema that they are in."""
    available: dict[str, bool] = Field(default_factory=dict)
    """Those that the server could install; whether that takes no superuser."""
    locks: int = 0
    """Locks that the server has room for, of all sessions; 0 is unknown."""


class Catalogue(Frozen):
    """A database's structure, as far as its role may see it."""

    server_version: int
    """As server_version_num: 180006."""
    database: str
    system_id: str
    tables: tuple[Table, ...]
    """Partitions are inside their parents, not listed on their own."""
    foreign_keys: tuple[ForeignKey, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    privileges: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """What the connected role may do: per ``schema.table``, partitions too (SELECT, INSERT, TRUNCATE, …, OWNER), per
    ``schema.sequence`` (UPDATE, OWNER), per ``schema`` (USAGE, CREATE)."""
    encoding: str = "UTF8"
    """Of the database."""
    role: str = ""
    """The connected role."""
    can_create: bool = False
    """CREATE on the database: the role may make the schema ``tailrace``."""
    can_replicate: bool = False
    """May set session_replication_role."""
    ground: Ground | None = None
    """Of a destination in which tables are to be made."""

    def table(self, name: TableName) -> Table | None:
        """The table of that name, or None."""
        wanted = (name.schema_name, name.name)
        place = bisect_left(self.tables, wanted, key=_name_order)
        found = self.tables[place] if place < len(self.tables) else None
        return found if found is not None and _name_order(found) == wanted else None

    @field_validator("tables")
    @classmethod
    def _in_order(cls, tables: tuple[Table, ...]) -> tuple[Table, ...]:
        """By schema, then name: ``table`` looks names up by it, and thousands of times in a plan."""
        return tuple(sorted(tables, key=_name_order))


def _name_order(table: Table) -> tuple[str, str]:
    return table.name.schema_name, table.name.name
