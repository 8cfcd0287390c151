"""What verification asks a database, as SQL text. Each statement returns one number or one column; none returns a row's key.

Identifiers are always quoted; values travel as parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.model import ForeignKeyCheck, PlannedTable, TableFilter
from tailrace_shared.types import qualified, quote_ident

SAMPLE_BYTES = 1 << 20
"""For a column's sample: one message far below the topic's limit, so that one answer counts a column once."""
VALUE_BYTES = 4
"""Counted per value of a sample: quotes, comma and an escape or two."""


def row_count(table: TableName, *, only: bool = False, condition: str = "") -> str:
    """Rows of a table, partitions included; ``only``: without those of tables that inherit from it. ``condition`` is over ``t``."""
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT count(*) FROM {_name(table, only=only)} t{where}"


def carried_count(table: PlannedTable, told: TableFilter | None) -> str:
    """Rows of the source that the plan carries: its ranges, under its filter; asked of the source as it is now."""
    where = f"({told.condition})" if told and told.condition else ""
    if table.view:
        inner = f"SELECT FROM {_name(table.name)} AS t{f' WHERE {where}' if where else ''}"
        high = table.ranges[0].high if table.ranges else 0
        return f"SELECT count(*) FROM ({inner}{'' if high is None else f' LIMIT {high}'}) AS carried"
    parts = []
    for number, leaf in enumerate(table.leaves):
        ranges = [piece for piece in table.ranges if piece.leaf == number]
        if not ranges:
            continue
        last = ranges[-1]
        end = "" if last.high is None else f"t.ctid < '({last.high},{last.high_item})'::tid"
        chosen = " AND ".join(part for part in (end, where) if part)
        parts.append(f"(SELECT count(*) FROM ONLY {_name(leaf.name)} AS t{f' WHERE {chosen}' if chosen else ''})")
    return f"SELECT {' + '.join(parts) or '0::bigint'}"


def orphans(key: ForeignKeyCheck) -> str:
    """Rows of the referencing side without a referenced row, as MATCH SIMPLE sees it: a NULL in the key exempts.

    MATCH FULL asks for no more: a key that is NULL in part is refused when the row comes in.
    """
    children, parents = _name(key.table, only=key.only), _name(key.references, only=key.references_only)
    return unreferenced(key, children, [parents])


def unreferenced(key: ForeignKeyCheck, children: str, parents: Sequence[str]) -> str:
    """``orphans`` between other tables of the same columns: rows of ``children`` that find theirs in none of ``parents``."""
    present = [f"c.{quote_ident(column)} IS NOT NULL" for column in key.columns]
    meant = [f"c.{quote_ident(column)}::text = {quote_text(value)}" for column, value in sorted(key.when.items())]
    operators = key.operators or ("=",) * len(key.columns)
    equal = [
        f"p.{quote_ident(parent)} {operator} c.{quote_ident(child)}"
        for child, parent, operator in zip(key.columns, key.referenced_columns, operators, strict=True)
    ]
    if key.temporal:
        absent = [_uncovered(key, equal[:-1], parents)]
    else:
        absent = [f"NOT EXISTS (SELECT FROM {parent} p WHERE {' AND '.join(equal)})" for parent in parents]
    return f"SELECT count(*) FROM {children} c WHERE {' AND '.join([*present, *meant, *absent])}"


def _uncovered(key: ForeignKeyCheck, equal: Sequence[str], parents: Sequence[str]) -> str:
    """As PostgreSQL's own trigger asks it of one row (``RI_FKey_check``): the periods of all referenced rows together hold it."""
    names = ", ".join(quote_ident(column) for column in key.referenced_columns)
    rows = " UNION ALL ".join(f"SELECT {names} FROM {parent}" for parent in parents)
    period, periods = f"c.{quote_ident(key.columns[-1])}", f"p.{quote_ident(key.referenced_columns[-1])}"
    where = " AND ".join([*equal, f"{periods} OPERATOR(pg_catalog.&&) {period}"])
    held = f"{period} OPERATOR(pg_catalog.<@) pg_catalog.range_agg({periods})"
    return f"(SELECT {held} FROM ({rows}) p WHERE {where}) IS NOT TRUE"


def duplicates(table: TableName, columns: Sequence[str], *, nulls_distinct: bool = True, only: bool = False) -> str:
    """Groups of rows that are equal in the columns."""
    names = ", ".join(quote_ident(column) for column in columns)
    present = " AND ".join(f"{quote_ident(column)} IS NOT NULL" for column in columns)
    where = f" WHERE {present}" if nulls_distinct else ""
    return f"SELECT count(*) FROM (SELECT FROM {_name(table, only=only)}{where} GROUP BY {names} HAVING count(*) > 1) d"


def nulls(table: TableName, column: str, *, only: bool = False) -> str:
    """Rows with NULL in the column."""
    return f"SELECT count(*) FROM {_name(table, only=only)} WHERE {quote_ident(column)} IS NULL"


def largest(table: TableName, column: str) -> str:
    """The column's largest value as bigint; NULL when there is none."""
    return f"SELECT max({quote_ident(column)})::bigint FROM {_name(table)}"


def smallest(table: TableName, column: str) -> str:
    """The column's smallest value as bigint; NULL when there is none."""
    return f"SELECT min({quote_ident(column)})::bigint FROM {_name(table)}"


def next_value(schema: str, sequence: str) -> str:
    """What nextval would return, without taking it."""
    increment = "(SELECT seqincrement FROM pg_catalog.pg_sequence WHERE seqrelid = $1::text::regclass)"
    return f"SELECT CASE WHEN is_called THEN last_value + {increment} ELSE last_value END FROM {qualified(schema, sequence)}"


def distinct_values(table: TableName, column: str) -> str:
    """Distinct values of a column, by their text."""
    return f"SELECT count(DISTINCT {quote_ident(column)}::text) FROM {_name(table)}"


def sample(table: TableName, column: str, *, only: bool = False) -> str:
    """At most $1 distinct values as text, as many as have $2 bytes together: wide columns get smaller samples.

    The choice depends on the values alone, not on their order on disk.
    """
    text = f"{quote_ident(column)}::text"
    return (
        f"SELECT v FROM (SELECT v, sum(octet_length(v) + {VALUE_BYTES}) OVER (ORDER BY md5(v) ROWS UNBOUNDED PRECEDING) AS used "
        f"FROM (SELECT DISTINCT {text} AS v FROM {_name(table, only=only)} WHERE {quote_ident(column)} IS NOT NULL) d "
        "ORDER BY md5(v) LIMIT $1::bigint) s WHERE used <= $2::bigint ORDER BY md5(v)"
    )


def samples(table: TableName, columns: Sequence[str], *, only: bool = False) -> str:
    """The samples of several columns in one statement: (position of the column, value), each bounded as ``sample`` is."""
    parts = [f"SELECT {n} AS n, v FROM ({sample(table, column, only=only)}) s{n}" for n, column in enumerate(columns)]
    return " UNION ALL ".join(parts)


def overlap(table: TableName, column: str) -> str:
    """How many of the texts $1 are values of the column."""
    return (
        "SELECT count(*) FROM unnest($1::text[]) AS s(v) "
        f"WHERE EXISTS (SELECT FROM {_name(table)} t WHERE t.{quote_ident(column)}::text = s.v)"
    )


def strings_found(table: TableName, columns: Sequence[str], *, only: bool = False) -> str:
    """How many of the strings $1 are in the text of any of the columns of any row."""
    anywhere = " OR ".join(f"position(s.v IN t.{quote_ident(column)}::text) > 0" for column in columns)
    return (
        "SELECT count(*) FROM unnest($1::text[]) AS s(v) "
        f"WHERE EXISTS (SELECT FROM {_name(table, only=only)} t WHERE {anywhere})"
    )


def quote_text(value: str) -> str:
    """A literal, whatever ``standard_conforming_strings`` says."""
    quoted = value.replace("'", "''")
    return f"'{quoted}'" if "\\" not in value else " E'" + quoted.replace("\\", "\\\\") + "'"


def _name(table: TableName, *, only: bool = False) -> str:
    """The table in FROM; ``only``: without the rows of tables that inherit from it."""
    return f"{'ONLY ' if only else ''}{qualified(table.schema_name, table.name)}"
