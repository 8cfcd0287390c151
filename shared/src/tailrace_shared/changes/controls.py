"""Control entries of a change record: what happens to whole tables, in order with the rows by ``seq``. Names only, no values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Literal, Union

from pydantic import Field, TypeAdapter, ValidationError

from tailrace_shared.errors import TerminalError
from tailrace_shared.types import Frozen


class Entry(Frozen):
    """What every entry says."""

    seq: int
    """Order inside the record, in one count with the rows' ``_seq``."""
    xid: int = 0
    lsn: int = 0
    """Commit LSN; of an entry outside of a transaction its own LSN."""
    time: int = 0
    """Commit time, µs since 1970; 0 outside of a transaction."""


class Truncated(Entry):
    """TRUNCATE: every table that it emptied, those reached by CASCADE among them."""

    kind: Literal["truncated"] = "truncated"
    tables: tuple[int, ...]
    cascade: bool = False
    restart_identity: bool = False


class Heartbeat(Entry):
    """Something that the run wrote into the source's WAL so that an idle database moves its slot."""

    kind: Literal["heartbeat"] = "heartbeat"
    token: str


class Marker(Entry):
    """A point in the lane that the run asked for."""

    kind: Literal["marker"] = "marker"
    token: str


def comparison_token(number: int) -> str:
    """The marker of a comparison: its point comes behind."""
    return f"compare {number}"


class ColumnAdded(Frozen):
    change: Literal["added"] = "added"
    column: str
    type_oid: int
    typmod: int
    type_name: str = ""
    """As the stream named it (``schema.name``), of types that are not built in."""


class ColumnDropped(Frozen):
    change: Literal["dropped"] = "dropped"
    column: str


class ColumnRenamed(Frozen):
    """One name for another at the same place with the same type: a rename, or a drop and an add that look like one."""

    change: Literal["renamed"] = "renamed"
    column: str
    to: str


class ColumnRetyped(Frozen):
    change: Literal["retyped"] = "retyped"
    column: str
    type_oid: int
    typmod: int


class IdentityChanged(Frozen):
    """Replica identity: ``d`` default, ``i`` index, ``f`` full, ``n`` nothing; and its columns."""

    change: Literal["identity"] = "identity"
    identity: str
    columns: tuple[str, ...]


class TableRenamed(Frozen):
    change: Literal["table-renamed"] = "table-renamed"
    to: str


class TableReplaced(Frozen):
    """Another table has taken the name: dropped and created anew."""

    change: Literal["table-replaced"] = "table-replaced"
    oid: int


RelationChange = Annotated[
    Union[ColumnAdded, ColumnDropped, ColumnRenamed, ColumnRetyped, IdentityChanged, TableRenamed, TableReplaced],  # noqa: UP007
    Field(discriminator="change"),
]


class RelationChanged(Entry):
    """From here on the table's rows have another shape. Rows that follow are carried only where ``broken`` is false."""

    kind: Literal["relation-changed"] = "relation-changed"
    table: int
    changes: tuple[RelationChange, ...]
    broken: bool
    """A carried column or what identifies rows is not as planned: no row of the table follows until it is planned anew."""


class Quarantined(Entry):
    """The table's rows of this record could not be masked, and are not in it: from here on the table does not follow its source."""

    kind: Literal["quarantined"] = "quarantined"
    table: int
    code: str
    why: str
    """Names, never a value."""


Control = Union[Truncated, Heartbeat, Marker, RelationChanged, Quarantined]  # noqa: UP007 — one value for pydantic and for mypy


@cache
def _entries() -> TypeAdapter[list[Control]]:
    return TypeAdapter(list[Annotated[Control, Field(discriminator="kind")]])


def encode_controls(controls: Sequence[Control]) -> bytes:
    """JSON; nothing at all for no entries."""
    return _entries().dump_json(list(controls)) if controls else b""


def decode_controls(data: bytes) -> tuple[Control, ...]:
    """What ``encode_controls`` wrote. Raises TerminalError (``changes.malformed``)."""
    if not data:
        return ()
    try:
        return tuple(_entries().validate_json(data))
    except ValidationError:
        raise TerminalError(
            "changes.malformed", "the control entries of a change record cannot be read", "Run the same version of all services."
        ) from None  # fmt: skip
