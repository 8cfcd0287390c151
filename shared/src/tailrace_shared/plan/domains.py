"""Value domains: columns that foreign keys or a common name tie together, so that equal values mask alike.

Union-find over columns, column by column for composite keys. The root of a closure is the column that is not itself a foreign
key, the smallest by name; without one (a cycle) the smallest of all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tailrace_shared.catalogue.model import Catalogue, Column, Index, Table, TableName
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.scope import ColumnRef, ScopedTable
from tailrace_shared.types import Family

_LOWER: Final = re.compile(r'lower\(\(*(?P<name>"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\)*(?:::[a-z ]+)?\)')
"""``lower(email)``, ``lower((email)::text)`` as pg_get_indexdef prints them."""


@dataclass(frozen=True)
class Closure:
    """Columns whose values must mask alike."""

    root: ColumnRef
    members: tuple[ColumnRef, ...]
    named: str | None = None
    """The domain's explicit name."""
    folded: bool = False
    """One side's equality ignores case: then all sides are masked in lower case."""
    families: frozenset[Family] = frozenset()
    unique: bool = False
    """A unique index has one of the columns: a mock carries enough of the hash in all of them."""

    @property
    def domain(self) -> str:
        return self.named or str(self.root)

    @property
    def shared(self) -> bool:
        """More than one column."""
        return len(self.members) > 1

    @property
    def family(self) -> Family | None:
        """The family of all values; None where they do not go together."""
        if len(self.families) == 1:
            return next(iter(self.families))
        return "integer" if self.families == {"integer", "number"} else None


@dataclass
class Domains:
    """Closures by column; every column of a key is in one."""

    closures: dict[ColumnRef, Closure] = field(default_factory=dict)

    def of(self, ref: ColumnRef) -> Closure | None:
        return self.closures.get(ref)


def domains_of(
    scope: Mapping[TableName, ScopedTable],
    source: Catalogue,
    destination: Catalogue,
    names: Mapping[TableName, TableName],
    links: Iterable[Link] = (),
) -> Domains:
    """Closures over the foreign keys of both databases and the job's ``links``; ``names`` maps partitions to their tables."""
    union = _Union()
    referencing: set[ColumnRef] = set()
    declared = [
        (
            names.get(key.table, key.table),
            key.columns,
            names.get(key.references, key.references),
            key.referenced_columns,
        )
        for key in (*source.foreign_keys, *destination.foreign_keys)
    ]
    virtual = [(link.child, link.columns, link.parent, link.referenced) for link in links if link.virtual]
    for child, columns, parent, referenced in (*declared, *virtual):
        if child not in scope and parent not in scope:
            continue
        if any(name in scope and scope[name].generated for name in (child, parent)):
            continue  # keys that are made have no source values to agree with
        for mine, theirs in zip(columns, referenced, strict=True):
            if (child, mine) != (parent, theirs):
                union.join(ColumnRef(child, mine), ColumnRef(parent, theirs))
                referencing.add(ColumnRef(child, mine))
    named: dict[str, ColumnRef] = {}
    explicit: dict[ColumnRef, str] = {}
    for table in scope.values():
        if table.generated:
            continue
        for column in key_columns(table.table, destination.table(table.name)):
            union.add(ColumnRef(table.name, column))
        for column, rule in table.rules.items():
            if rule.domain:
                ref = ColumnRef(table.name, column)
                explicit[ref] = rule.domain
                union.join(named.setdefault(rule.domain, ref), ref)
    found = Domains()
    for members in union.groups():
        closure = _closure(members, referencing, explicit, source, destination)
        found.closures |= dict.fromkeys(members, closure)
    return found


def key_columns(source: Table, destination: Table | None) -> list[str]:
    """Columns that are in a primary key or a unique index on either side."""
    indexes = (*source.indexes, *(destination.indexes if destination else ()))
    return list(dict.fromkeys(c for i in indexes if i.unique for c in indexed_columns(i)))


def indexed_columns(index: Index) -> list[str]:
    """Columns that an index compares: its own, and those under ``lower()``."""
    return [c for c in index.columns if c is not None] + lowered(index)


def in_unique_index(column: str, *tables: Table | None, alone: bool = False) -> bool:
    """Whether a unique index of one of the tables has the column; ``alone``: it has no other."""
    return any(
        i.unique and column in indexed_columns(i) and (not alone or (len(i.columns) == 1 and i.predicate is None))
        for table in tables if table for i in table.indexes
    )  # fmt: skip


def lowered(index: Index) -> list[str]:
    """Columns that the index compares through ``lower()``."""
    found = (_LOWER.fullmatch(e.strip()) for e in index.expressions)
    names = [m["name"] for m in found if m]
    return [n[1:-1].replace('""', '"') if n.startswith('"') else n for n in names]


def partition_owners(*catalogues: Catalogue) -> dict[TableName, TableName]:
    """Every partition's table."""
    return {p.name: t.name for c in catalogues for t in c.tables for p in t.partitions}


def _closure(
    members: list[ColumnRef],
    referencing: set[ColumnRef],
    explicit: Mapping[ColumnRef, str],
    source: Catalogue,
    destination: Catalogue,
) -> Closure:
    ordered = sorted(members, key=lambda r: r.order)
    root = next((r for r in ordered if r not in referencing), ordered[0])
    sides = [
        (table, column)
        for ref in ordered
        for table in (source.table(ref.table), destination.table(ref.table))
        if table and (column := table.column(ref.column))
    ]
    return Closure(
        root=root,
        members=tuple(ordered),
        named=next((explicit[r] for r in (root, *ordered) if r in explicit), None),
        folded=any(folds(table, column) for table, column in sides),
        families=frozenset(
            c.type.family for r in ordered if (t := source.table(r.table)) and (c := t.column(r.column))
        ),
        unique=any(in_unique_index(column.name, table) for table, column in sides),
    )


def folds(table: Table, column: Column) -> bool:
    """Whether the column's equality ignores case: by its type, its collation, or a unique index over ``lower()``."""
    return column.type.folded or any(i.unique and column.name in lowered(i) for i in table.indexes)


class _Union:
    """Disjoint sets of columns."""

    def __init__(self) -> None:
        self._parent: dict[ColumnRef, ColumnRef] = {}

    def add(self, ref: ColumnRef) -> None:
        self._parent.setdefault(ref, ref)

    def find(self, ref: ColumnRef) -> ColumnRef:
        self.add(ref)
        while self._parent[ref] != ref:
            self._parent[ref] = self._parent[self._parent[ref]]
            ref = self._parent[ref]
        return ref

    def join(self, one: ColumnRef, other: ColumnRef) -> None:
        self._parent[self.find(one)] = self.find(other)

    def groups(self) -> list[list[ColumnRef]]:
        found: dict[ColumnRef, list[ColumnRef]] = defaultdict(list)
        for ref in self._parent:
            found[self.find(ref)].append(ref)
        return list(found.values())
