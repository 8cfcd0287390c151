"""Which rows of each table are read, as SQL over the source: the job's conditions, row limits, and what gaps leave out.

Every query here has the table in question as ``t`` and the row that it refers to as ``p``. A condition that is nested keeps
its meaning: it was checked on its own table alone, and names are looked for from the inside out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from tailrace_shared.catalogue.model import Catalogue, Table, TableName
from tailrace_shared.plan.conditions import quote_literal
from tailrace_shared.plan.gaps import Gap, Gaps, Scope
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.model import Leaf, Problem, RowEnd, TableFilter
from tailrace_shared.plan.ranges import leaves_of
from tailrace_shared.types import Frozen, qualified, quote_ident

NESTED_MAX: Final = 300
"""Look-ups in one condition: above that, PostgreSQL takes long to plan each of the range's queries."""

Place = tuple[int, int, int]
"""Heap of the table, block, line pointer."""


class ScopeFacts(Frozen):
    """What planning asked the source about the rows that are carried. Conditions may hold values: they never travel in clear."""

    where: dict[str, str] = Field(default_factory=dict)
    """Per ``schema.table`` the condition with literals for its variables, as PostgreSQL has accepted it."""
    looks_up: frozenset[str] = frozenset()
    """Tables whose condition has a query of its own."""
    reads: dict[str, tuple[Leaf, ...]] = Field(default_factory=dict)
    """Heaps that a table's condition looks into."""
    estimates: dict[str, float] = Field(default_factory=dict)
    """Rows that a condition leaves, by PostgreSQL's estimate."""
    ends: dict[str, RowEnd | None] = Field(default_factory=dict)
    """Where row limits end; None where there are no more rows than that."""
    excluded: dict[str, tuple[Place, ...]] = Field(default_factory=dict)
    """Rows that a cycle of exclusions leaves out, beyond what conditions say."""
    missing: dict[str, bool] = Field(default_factory=dict)
    """Per link (``Link.about``) whether a carried row refers to one that is not."""
    orphans: dict[str, int] = Field(default_factory=dict)
    """Per virtual link the carried rows whose referenced row the source lacks itself."""
    problems: tuple[Problem, ...] = ()


class Filters:
    """SQL for the rows of a job's tables."""

    def __init__(self, scope: Scope, source: Catalogue, gaps: Gaps, asked: ScopeFacts) -> None:
        self.scope = scope
        self.source = source
        self.gaps = gaps
        self.asked = asked
        self.too_deep: set[TableName] = set()
        self._rows: dict[TableName, str] = {}

    def relation(self, name: TableName) -> str:
        """The table in FROM: rows of tables that inherit from it are not its own, those of partitions are."""
        table = self.source.table(name)
        only = "ONLY " if table is None or table.kind == "r" else ""
        return f"{only}{qualified(name.schema_name, name.name)} AS t"

    def condition(self, name: TableName) -> str:
        """Which rows are carried, of those before the row limit's end. Empty: all."""
        parts = []
        if where := self.asked.where.get(str(name)):
            parts.append(f"({where}\n)")
        parts += [self.kept(gap) for gap in self.gaps.of(name, "exclude") if not gap.inner]
        parts += self._not_excluded(name)
        return self._bounded(name, " AND ".join(parts))

    def rows(self, name: TableName) -> str:
        """Which rows are carried, the row limit included. Empty: all."""
        if name not in self._rows:
            parts = (self.condition(name), self._before_end(name))
            self._rows[name] = " AND ".join(part for part in parts if part)
        return self._rows[name]

    def kept(self, gap: Gap) -> str:
        """Whether a row's reference may stay: it does not count, it is NULL, or its row is carried."""
        return self.holds(gap.link, outside=gap.outside)

    def holds(self, link: Link, *, outside: bool = False) -> str:
        """Whether a row's reference leads to a carried row, or nowhere by its own decision."""
        child = self.source.table(link.child)
        parts = [
            f"t.{quote_ident(column)}::text IS DISTINCT FROM {quote_literal(value)}" for column, value in link.when
        ]
        nulls = [f"t.{quote_ident(c)} IS NULL" for c in link.columns if _may_be_null(child, c)]
        if link.full and nulls:
            parts.append(f"({' AND '.join(nulls)})" if len(nulls) == len(link.columns) else "false")
        else:
            parts += nulls
        if not outside:
            names = ", ".join(quote_ident(c) for c in dict.fromkeys(link.referenced))
            where = f" WHERE {rows}" if (rows := self.rows(link.parent)) else ""
            parts.append(
                f"EXISTS (SELECT FROM (SELECT {names} FROM {self.relation(link.parent)}{where}) AS p WHERE {link.equal})"
            )
        return f"({' OR '.join(parts) or 'false'})"

    def filter(self, number: int, name: TableName) -> TableFilter | None:
        """What the reader is told; None where it reads the table as it is."""
        kept: dict[str, list[str]] = {}
        for gap in self.gaps.of(name, "nullify"):
            for column in gap.nulled:
                kept.setdefault(column, []).append(self.kept(gap))
        condition = self.condition(name)
        if not condition and not kept:
            return None
        looks_up = str(name) in self.asked.looks_up or any(
            not gap.outside and not gap.inner for gap in self.gaps.of(name, "exclude", "nullify")
        )
        return TableFilter(
            table=number,
            condition=condition,
            kept={column: self._bounded(name, " AND ".join(parts)) for column, parts in kept.items()},
            looks_up=looks_up,
            reads=self._reads(name),
        )

    def missing(self, gap: Gap) -> str:
        """Whether a carried row refers to an existing one that is not carried."""
        link = gap.link
        exists = "" if gap.outside or link.certain else f" AND {self._whole(link)}"
        return f"SELECT EXISTS (SELECT FROM {self.relation(link.child)} WHERE {self._and(link.child)}NOT {self.kept(gap)}{exists})"

    def orphans(self, link: Link) -> str:
        """How many carried rows refer to no carried one."""
        return f"SELECT count(*) FROM {self.relation(link.child)} WHERE {self._and(link.child)}NOT {self.holds(link)}"

    def dragged(self, name: TableName) -> str:
        """Places of rows that a cycle of exclusions takes with it next, given those that are excluded already."""
        inner = " AND ".join(self.kept(gap) for gap in self.gaps.of(name, "exclude") if gap.inner)
        return (
            f"SELECT t.tableoid::bigint AS heap, t.ctid AS place FROM {self.relation(name)} "
            f"WHERE {self._and(name)}NOT ({inner})"
        )

    def _and(self, name: TableName) -> str:
        return f"{rows} AND " if (rows := self.rows(name)) else ""

    def _whole(self, link: Link) -> str:
        """The referenced row exists, carried or not."""
        return f"EXISTS (SELECT FROM {self.relation(link.parent).removesuffix(' AS t')} AS p WHERE {link.equal})"

    def _before_end(self, name: TableName) -> str:
        end = self.asked.ends.get(str(name))
        table = self.source.table(name)
        if end is None or table is None:
            return ""
        place = f"t.ctid < '({end.block},{end.item})'::tid"
        if table.kind != "p":
            return place
        leaves = leaves_of(table)
        here = f"(t.tableoid = {leaves[end.leaf].oid} AND {place})"
        before = ", ".join(str(leaf.oid) for leaf in leaves[: end.leaf])
        return f"(t.tableoid IN ({before}) OR {here})" if before else here

    def _not_excluded(self, name: TableName) -> list[str]:
        table = self.source.table(name)
        by_leaf: dict[int, list[str]] = {}
        for leaf, block, item in self.asked.excluded.get(str(name), ()):
            by_leaf.setdefault(leaf, []).append(f'"({block},{item})"')
        found = []
        for leaf, places in sorted(by_leaf.items()):
            among = f"t.ctid = ANY('{{{','.join(places)}}}'::tid[])"
            heap = f"t.tableoid = {leaves_of(table)[leaf].oid} AND " if table and table.kind == "p" else ""
            found.append(f"NOT ({heap}{among})")
        return found

    def _bounded(self, name: TableName, sql: str) -> str:
        """The condition, or nothing where it has grown out of bounds: with each path to a table it is repeated."""
        if sql.count("EXISTS (") <= NESTED_MAX:
            return sql
        self.too_deep.add(name)
        return ""

    def _reads(self, name: TableName) -> tuple[Leaf, ...]:
        seen: set[TableName] = set()
        heaps: dict[int, Leaf] = {}
        waiting = [name]
        while waiting:
            table = waiting.pop()
            if table in seen:
                continue
            seen.add(table)
            heaps |= {leaf.oid: leaf for leaf in self.asked.reads.get(str(table), ())}
            actions: Sequence[Gap] = self.gaps.of(table, "exclude", *(("nullify",) if table == name else ()))
            for gap in actions:
                parent = self.source.table(gap.link.parent)
                if not gap.outside and not gap.inner and parent is not None:
                    heaps |= {leaf.oid: leaf for leaf in leaves_of(parent)} if parent.kind in ("r", "p") else {}
                    waiting.append(gap.link.parent)
        return tuple(heaps[oid] for oid in sorted(heaps))


def _may_be_null(table: Table | None, column: str) -> bool:
    found = table.column(column) if table else None
    return found is None or found.nullable
