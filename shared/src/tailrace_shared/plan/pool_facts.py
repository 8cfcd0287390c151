"""What planning asks the source about tables that made rows refer to: how many keys there are, and how many rows refer to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tailrace_shared.catalogue.model import Table, TableName
from tailrace_shared.plan.filters import Filters
from tailrace_shared.plan.generated_links import drawn, generated
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.scope import ScopedTable
from tailrace_shared.plan.scope_asker import ScopeAsker
from tailrace_shared.types import Frozen, qualified, quote_ident

POOL_ROWS_MAX: Final = 500_000
"""Keys of a pool, at most; so many rows are looked at to tell how many there are."""
COUNTED_ROWS_MAX: Final = 5_000_000
"""Rows of a table, by PostgreSQL's estimate, up to which they are counted per row that they refer to: about a second."""


class KeyFacts(Frozen):
    """Keys of a table that made rows may refer to."""

    columns: tuple[str, ...]
    rows: int
    """Without NULL in any of the columns, among the carried ones; ``POOL_ROWS_MAX + 1``: more than the maximum."""
    bytes: float
    """Of a key as text, on average."""


class FanOutFacts(Frozen):
    """How rows of the source refer to rows of another table. Counts only."""

    rows: int
    nulls: int
    """Rows that refer to none."""
    parents: int
    counts: tuple[tuple[int, int], ...]
    """Rows per referenced one, and how many have so many; ascending."""


async def ask_keys(asker: ScopeAsker, links: Sequence[Link], filters: Filters) -> dict[str, KeyFacts]:
    """By ``schema.table``; without those that could not be counted in time."""
    found = {}
    for name, columns in key_columns(filters.scope, links).items():
        table = filters.scope[name].table
        rows = await asker.rows(key_question(table, columns, filters), late=None)
        if rows:
            found[str(name)] = KeyFacts(columns=columns, rows=rows[0][0], bytes=rows[0][1])
    return found


async def ask_fan_outs(
    asker: ScopeAsker, links: Sequence[Link], scope: Mapping[TableName, ScopedTable]
) -> dict[str, FanOutFacts]:
    """By ``Link.about``, for tables that are learned as they are; without those that could not be counted in time."""
    found = {}
    for link in links:
        if not counts_fan_out(link, scope):
            continue
        child, parent = scope[link.child].table, scope[link.parent].table
        rows = await asker.rows(fan_out_question(link, child, parent), late=None)
        if rows:
            counts = tuple((count, many) for count, many in rows if count > 0)
            totals = dict(rows)
            found[link.about] = FanOutFacts(
                rows=sum(count * many for count, many in counts) + totals[-1], nulls=totals[-1], parents=totals[-2],
                counts=counts,
            )  # fmt: skip
    return found


def key_columns(scope: Mapping[TableName, ScopedTable], links: Sequence[Link]) -> dict[TableName, tuple[str, ...]]:
    """Per carried table the columns that generated ones refer to, in the table's order."""
    wanted: dict[TableName, set[str]] = {}
    for link in links:
        if link.child in scope and generated(scope, link.child) and drawn(scope, link):
            wanted.setdefault(link.parent, set()).update(link.referenced)
    return {
        name: tuple(column.name for column in scope[name].table.columns if column.name in columns)
        for name, columns in wanted.items()
    }


def key_question(table: Table, columns: Sequence[str], filters: Filters) -> str:
    """Rows, at most one more than a pool takes, and the average length of their keys."""
    told = filters.filter(0, table.name)
    values = []
    for name in columns:
        column = table.column(name)
        value = f"t.{quote_ident(name)}" if column is None or not column.cast else column.expression
        kept = told.kept.get(name) if told else None
        values.append(f"(CASE WHEN {kept} THEN {value} END)" if kept else f"({value})")
    where = [f"{value} IS NOT NULL" for value in values]
    if rows := filters.rows(table.name):
        where.insert(0, f"({rows})")
    width = " + ".join(f"pg_catalog.octet_length({value}::text)" for value in values)
    return (
        f"SELECT count(*)::int8, coalesce(avg(w), 0)::float8 FROM (SELECT {width} AS w FROM {filters.relation(table.name)} "
        f"WHERE {' AND '.join(where)} LIMIT {POOL_ROWS_MAX + 1}) AS k"
    )


def counts_fan_out(link: Link, scope: Mapping[TableName, ScopedTable]) -> bool:
    """Whether it is looked up how many rows refer to each: only of tables that are learned without a guarantee of privacy that
    the counts would break, and that are not too large."""
    child, parent = scope.get(link.child), scope.get(link.parent)
    if child is None or parent is None or link.parent == link.child or link.when or link.temporal:
        return False
    return (
        child.mode == "synthesize"
        and child.train.epsilon is None
        and (parent.generated or parent.loaded)
        and child.table.kind in ("r", "p")
        and max(child.table.rows, parent.table.rows) <= COUNTED_ROWS_MAX
        and not any(column in child.rules for column in link.columns)
    )


def fan_out_question(link: Link, child: Table, parent: Table) -> str:
    """Rows per referenced one and how many have so many; behind -1 the rows that refer to none, behind -2 the parents."""
    columns = ", ".join(quote_ident(column) for column in link.columns)
    there = " AND ".join(f"{quote_ident(column)} IS NOT NULL" for column in link.columns)
    return (
        f"WITH g AS MATERIALIZED (SELECT count(*) AS c, ({there}) AS there FROM {_whole(child)} GROUP BY {columns}) "
        "SELECT c::int8, count(*)::int8 FROM g WHERE there GROUP BY c "
        "UNION ALL SELECT -1, coalesce(sum(c), 0)::int8 FROM g WHERE NOT there "
        f"UNION ALL SELECT -2, (SELECT count(*) FROM {_whole(parent)})::int8 ORDER BY 1"
    )


def _whole(table: Table) -> str:
    only = "ONLY " if table.kind == "r" else ""
    return f"{only}{qualified(table.name.schema_name, table.name.name)}"
