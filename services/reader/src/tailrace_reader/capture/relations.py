"""Tables as the stream describes them, and how that differs from what was planned. Pure.

A Relation message comes before a table's first change of a session and again after its definition may have changed; pgoutput says
nothing else of DDL. Names and type oids are compared, since attribute numbers do not travel.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tailrace_shared.changes import (
    ColumnAdded,
    ColumnDropped,
    ColumnRenamed,
    ColumnRetyped,
    IdentityChanged,
    TableRenamed,
)
from tailrace_shared.changes.controls import RelationChange

DEFAULT, INDEX, FULL, NOTHING = "d", "i", "f", "n"


@dataclass(frozen=True, slots=True)
class RelationColumn:
    name: str
    type_oid: int
    typmod: int
    key: bool
    """Part of the replica identity; of FULL every column is."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A published table: columns in the order in which tuples bring them, generated ones left out."""

    oid: int
    schema: str
    name: str
    identity: str
    columns: tuple[RelationColumn, ...]

    def position(self, column: str) -> int | None:
        """Where the column stands, None where it is not published."""
        return next((i for i, c in enumerate(self.columns) if c.name == column), None)

    @property
    def key(self) -> tuple[str, ...]:
        """Columns of the replica identity."""
        return tuple(c.name for c in self.columns if c.key)


def parse_relation(data: bytearray, at: int) -> Relation:
    """A Relation message whose oid begins at ``at``."""
    oid = int.from_bytes(data[at : at + 4], "big")
    schema, at = text_at(data, at + 4)
    name, at = text_at(data, at)
    identity, count, at = chr(data[at]), int.from_bytes(data[at + 1 : at + 3], "big"), at + 3
    columns = []
    for _ in range(count):
        key = bool(data[at] & 1)
        column, at = text_at(data, at + 1)
        type_oid = int.from_bytes(data[at : at + 4], "big")
        typmod = int.from_bytes(data[at + 4 : at + 8], "big", signed=True)
        columns.append(RelationColumn(column, type_oid, typmod, key))
        at += 8
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def text_at(data: bytearray, at: int) -> tuple[str, int]:
    """A zero-terminated text and where the next field begins. The session's encoding is UTF-8."""
    end = data.index(0, at)
    return data[at:end].decode("utf-8", "replace"), end + 1


def differences(known: Relation, now: Relation, type_names: dict[int, str]) -> tuple[RelationChange, ...]:
    """What has changed about a table, in the words of the contract; empty where nothing has."""
    found: list[RelationChange] = []
    if (known.schema, known.name) != (now.schema, now.name):
        found.append(TableRenamed(to=f"{now.schema}.{now.name}"))
    before, after = {c.name: c for c in known.columns}, {c.name: c for c in now.columns}
    dropped = [name for name in before if name not in after]
    added = [name for name in after if name not in before]
    for name in list(dropped):
        place = known.position(name)
        other = now.columns[place].name if place is not None and place < len(now.columns) else ""
        if other in added and len(known.columns) == len(now.columns) and _alike(before[name], after[other]):
            found.append(ColumnRenamed(column=name, to=other))
            dropped.remove(name)
            added.remove(other)
    found += [ColumnDropped(column=name) for name in dropped]
    for name in added:
        column = after[name]
        found.append(
            ColumnAdded(
                column=name,
                type_oid=column.type_oid,
                typmod=column.typmod,
                type_name=type_names.get(column.type_oid, ""),
            )
        )
    for name in before:
        if name in after and not _alike(before[name], after[name]):
            found.append(ColumnRetyped(column=name, type_oid=after[name].type_oid, typmod=after[name].typmod))
    if known.identity != now.identity or _keys_differ(known, now):
        found.append(IdentityChanged(identity=now.identity, columns=now.key))
    return tuple(found)


def breaks(changes: Collection[RelationChange], carried: Collection[str], known: Relation, now: Relation) -> bool:
    """Whether rows of the changed table cannot be carried as planned: a carried column or what identifies rows is not the same.

    A column that was added, and one that is not carried, break nothing.
    """
    for change in changes:
        if isinstance(change, TableRenamed):
            return True
        if isinstance(change, (ColumnDropped, ColumnRenamed, ColumnRetyped)) and change.column in carried:
            return True
        if isinstance(change, IdentityChanged) and (now.identity == NOTHING or not set(known.key) <= set(now.key)):
            return True
    return False


def _alike(one: RelationColumn, other: RelationColumn) -> bool:
    return (one.type_oid, one.typmod) == (other.type_oid, other.typmod)


def _keys_differ(known: Relation, now: Relation) -> bool:
    """FULL flags every column: its key changes with every added column, which is no change of identity."""
    return known.identity != FULL and known.key != now.key
