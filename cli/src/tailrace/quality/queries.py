"""SQL of bounded, seeded samples. Values are read as they are compared: float8, seconds, text up to 256 characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tailrace.quality.columns import Kind
from tailrace_shared.plan.model import PlannedTable, TableFilter
from tailrace_shared.types import ColumnType, qualified, quote_ident

TEXT_CHARS: Final = 256
FLOAT8: Final = "1e308"
"""A numeric beyond this becomes an infinity of its sign: a cast would fail."""
BLOCKS_BEYOND_BYTES: Final = 8 << 30
"""A table of this size is sampled by blocks, not by rows: reading all of it would take minutes."""

ROWS = """
SELECT sum(CASE WHEN c.relpages > 0 AND c.reltuples >= 0
           THEN c.reltuples::float8 / c.relpages * pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int END),
       coalesce(bool_or(c.relpages = 0 AND pg_catalog.pg_relation_size(c.oid) > 0), true),
       coalesce(sum(pg_catalog.pg_relation_size(c.oid)), 0)::bigint
FROM pg_catalog.pg_partition_tree($1::text::regclass) p JOIN pg_catalog.pg_class c ON c.oid = p.relid WHERE p.isleaf
"""
"""As the planner estimates a table's rows; whether the estimate is worth nothing, and bytes."""


def value(expression: str, kind: Kind, type_: ColumnType) -> str:
    """What is read of a column."""
    if kind == "number":
        if type_.base != "numeric":
            return f"({expression})::float8"
        return (
            f"CASE WHEN ({expression}) BETWEEN -{FLOAT8} AND {FLOAT8} THEN ({expression})::float8 "
            f"ELSE pg_catalog.sign({expression})::float8 * 'Infinity'::float8 END"
        )
    if kind == "moment":
        return f"EXTRACT(epoch FROM {expression})::float8"
    if type_.family == "bytes":
        return f"pg_catalog.encode(pg_catalog.substring({expression}, 1, {TEXT_CHARS // 2}), 'hex')"
    return f"pg_catalog.left(({expression})::text, {TEXT_CHARS})"


def sampled(share: float, seed: int, size: int) -> str:
    """The TABLESAMPLE clause for a share of a table's rows; empty for all of them."""
    if share >= 1:
        return ""
    way = "SYSTEM" if size > BLOCKS_BEYOND_BYTES else "BERNOULLI"
    return f" TABLESAMPLE {way} ({share * 100:.9f}) REPEATABLE ({int(seed)})"


def carried(
    table: PlannedTable,
    told: TableFilter | None,
    values: Mapping[str, str],
    sample: str,
    limit: int,
    condition: str = "",
) -> str:
    """Rows of the source that the plan carries, as ``values`` (SQL over the alias ``t``), with a further condition."""
    columns = ", ".join(_kept(name, sql, told) for name, sql in values.items())
    asked = [part for part in (told.condition if told else "", condition) if part]
    if table.view:
        relation = qualified(table.name.schema_name, table.name.name)
        return _limited(f"SELECT {columns} FROM {relation} AS t{_where(asked)}", limit)
    parts = []
    for number, leaf in enumerate(table.leaves):
        ranges = [piece for piece in table.ranges if piece.leaf == number]
        if not ranges:
            continue
        last = ranges[-1]
        end = [] if last.high is None else [f"t.ctid < '({last.high},{last.high_item})'::tid"]
        relation = qualified(leaf.name.schema_name, leaf.name.name)
        parts.append(f"SELECT {columns} FROM ONLY {relation} AS t{sample}{_where([*end, *asked])}")
    return _limited(" UNION ALL ".join(parts) or f"SELECT {columns} FROM (SELECT) AS t WHERE false", limit)


def whole(
    schema: str,
    name: str,
    values: Mapping[str, str],
    sample: str,
    limit: int,
    condition: str = "",
    *,
    only: bool = False,
) -> str:
    """Rows of a table, whatever a plan carries of it."""
    columns = ", ".join(_kept(name, sql, None) for name, sql in values.items())
    relation = f"{'ONLY ' if only else ''}{qualified(schema, name)}"
    return _limited(f"SELECT {columns} FROM {relation} AS t{sample}{_where([condition] if condition else [])}", limit)


def places(schema: str, name: str, percent: float, seed: int) -> str:
    """Where the rows of a heap's random sample lie: those that the reader sends to be learned."""
    relation = qualified(schema, name)
    return f"SELECT tableoid, ctid AS place FROM ONLY {relation} TABLESAMPLE BERNOULLI ({percent:.6g}) REPEATABLE ({int(seed)})"


def counted(query: str) -> str:
    """How many rows a query has."""
    return f"SELECT count(*) FROM ({query}) AS counted"


def events(parents: str, children: str, keys: Sequence[tuple[str, str]], values: Sequence[str], limit: int) -> str:
    """Rows of sampled parents: their parent's number, from 0, then the values. A parent without a row comes once, with NULLs.

    ``parents`` and ``children`` are queries; ``keys`` pairs of the columns by which a child (``c``) finds its parent (``p``).
    """
    equal = " AND ".join(f"c.{quote_ident(child)} = p.{quote_ident(parent)}" for child, parent in keys)
    return (
        f"SELECT p.tailrace_number - 1, c.tailrace_there, {', '.join(f'c.{quote_ident(name)}' for name in values) or 'NULL'} "
        f"FROM (SELECT row_number() OVER () AS tailrace_number, q.* FROM ({parents}) q) p "
        f"LEFT JOIN (SELECT true AS tailrace_there, r.* FROM ({children}) r) c ON {equal} LIMIT {int(limit)}"
    )


def _kept(name: str, sql: str, told: TableFilter | None) -> str:
    kept = told.kept.get(name) if told else None
    return f"CASE WHEN {kept} THEN {sql} END AS {quote_ident(name)}" if kept else f"{sql} AS {quote_ident(name)}"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(f'({one})' for one in conditions)}" if conditions else ""


def _limited(query: str, limit: int) -> str:
    return f"SELECT * FROM ({query}) AS sampled LIMIT {int(limit)}"
