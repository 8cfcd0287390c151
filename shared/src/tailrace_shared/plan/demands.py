"""What the destination demands and the source does not guarantee, counted in the source: a load that must fail is refused before it
begins, and one that cannot is proved.

Only for tables of which every row is carried, and only over columns whose masks keep values apart: there the source's rows decide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from tailrace_shared.catalogue.model import Catalogue, Index, Table
from tailrace_shared.plan.demanded_checks import (
    check_demand,
    check_question,
    only_there,
    partition_demand,
    partition_question,
)
from tailrace_shared.plan.domains import folds
from tailrace_shared.plan.scope import ColumnRef, ScopedTable
from tailrace_shared.types import qualified, quote_ident

Ask = Callable[..., Awaitable[Any]]


def null_demand(column: object) -> str:
    """Name of the fact how many NULLs ``schema.table.column`` has."""
    return f"{column} not null"


def unique_demand(table: object, index: str) -> str:
    """Name of the fact how many groups of rows are equal in a unique index of the destination."""
    return f"{table} unique {index}"


async def count_demands(
    ask: Ask,
    scope: Iterable[ScopedTable],
    readable: Callable[[Table], bool],
    destination: Catalogue,
    duplicated: Callable[[ColumnRef], bool],
) -> dict[str, int]:
    """Per demand how many rows, or groups of rows, break it; without those that could not be counted in time.

    ``duplicated`` tells which columns arrive as they are: a check over others is not decided by the source's rows.
    """
    counted: dict[str, int] = {}
    for scoped in scope:
        theirs = destination.table(scoped.name)
        whole = scoped.loaded and not scoped.where and scoped.limit is None and scoped.missing_parents != "exclude"
        if theirs is None or not whole or not readable(scoped.table):
            continue
        for name, question in questions(scoped.table, theirs).items():
            answer = await ask(question)
            if answer is not None:
                counted[name] = answer
        foreign = [
            (check_demand(scoped.name, check), check.columns, check_question(scoped.table, theirs, check))
            for check in only_there(scoped.table, theirs)
        ]
        foreign.append(
            (partition_demand(scoped.name), theirs.partition_columns, partition_question(scoped.table, theirs))
        )
        for name, columns, to_ask in foreign:
            kept = all(scoped.mode == "duplicate" or duplicated(ColumnRef(scoped.name, column)) for column in columns)
            if to_ask and kept and (answer := await ask(to_ask, foreign=True)) is not None:
                counted[name] = answer
    return counted


def questions(source: Table, destination: Table) -> Mapping[str, str]:
    """SQL per demand that the source's own constraints do not answer."""
    only = "ONLY " if source.kind == "r" and source.inherited_by else ""
    table = f"{only}{qualified(source.name.schema_name, source.name.name)}"
    found: dict[str, str] = {}
    for theirs in destination.columns:
        ours = source.column(theirs.name)
        if ours and not theirs.nullable and (ours.nullable or not ours.not_null_proved):
            name = null_demand(f"{source.name}.{ours.name}")
            found[name] = f"SELECT count(*) FROM {table} WHERE {ours.expression} IS NULL"
    for index in destination.indexes:
        if _plain(index, source, destination) and not any(_implies(own, index) for own in source.indexes):
            keys = [quote_ident(column) for column in index.columns if column]
            there = "" if index.nulls_not_distinct else " WHERE " + " AND ".join(f"{k} IS NOT NULL" for k in keys)
            found[unique_demand(source.name, index.name)] = (
                f"SELECT count(*) FROM (SELECT FROM {table}{there} GROUP BY {', '.join(keys)} HAVING count(*) > 1) d"
            )
    return found


def _plain(index: Index, source: Table, destination: Table) -> bool:
    """Unique over whole columns, for all rows, and equal there is what is equal here."""
    plain = index.unique and index.predicate is None and not index.expressions and index.on is None
    return plain and source.kind in "rp" and all(_alike(name, source, destination) for name in index.columns)


def _alike(name: str | None, source: Table, destination: Table) -> bool:
    ours, theirs = (side.column(name or "") for side in (source, destination))
    if ours is None or theirs is None or ours.type.name != theirs.type.name or ours.loose or theirs.loose:
        return False
    return folds(source, ours) == folds(destination, theirs)


def _implies(own: Index, index: Index) -> bool:
    plain = own.unique and own.valid and own.predicate is None and not own.expressions and own.on is None
    return plain and set(own.columns) <= set(index.columns) and (own.nulls_not_distinct or not index.nulls_not_distinct)
