"""Columns that a carried table gets while its run streams, followed in place: when that is right, and the plan that comes of it.

It is right where every row had NULL in the column when it came and its rule leaves NULL alone: then what is in the destination is
what a fresh load would hold, and the stream brings everything since. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tailrace_shared.catalogue.model import Catalogue, ForeignKey, Table, TableName
from tailrace_shared.plan.model import CapturedRelation, Growth, Plan, PlannedColumn, PlannedTable
from tailrace_shared.plan.resync import alike, unlike
from tailrace_shared.types import qualified, quote_ident


class NotInPlace(Exception):
    """The table has to be loaded anew instead; the text says why."""


def trimmed(source: Catalogue, name: TableName, described: Collection[str]) -> Catalogue:
    """The catalogue as if the table had no columns but the described ones and generated ones: the stream may be behind it."""
    table = source.table(name)
    if table is None:
        return source
    later = {c.name for c in table.columns if not c.generated and c.name not in described}
    if not later:
        return source
    without = table.model_copy(
        update={
            "columns": tuple(c for c in table.columns if c.name not in later),
            "indexes": tuple(i for i in table.indexes if not later & {*i.uses, *i.columns}),
            "checks": tuple(c for c in table.checks if not later & set(c.columns)),
        }
    )
    return source.model_copy(
        update={
            "tables": tuple(without if t.name == name else t for t in source.tables),
            "foreign_keys": tuple(k for k in source.foreign_keys if not _stands_on(k, name, later)),
        }
    )


def require_plain(source: Catalogue, name: TableName, new: Collection[str]) -> None:
    """Raises NotInPlace where one of the columns is more than a column that may be NULL."""
    table = source.table(name)
    for column in new:
        there = table.column(column) if table else None
        if table is None or there is None:
            raise NotInPlace(f"column {column} is not there any more")
        if not there.nullable or there.identity or there.generated:
            raise NotInPlace(f"column {column} is not one that is NULL at first")
        if any(index.unique and column in (*index.uses, *index.columns) for index in table.indexes):
            raise NotInPlace(f"column {column} is part of a unique index")
        if any(_stands_on(key, name, {column}) for key in source.foreign_keys):
            raise NotInPlace(f"column {column} is part of a foreign key")


def grow(
    plan: Plan,
    fresh: Plan,
    number: int,
    relation: CapturedRelation,
    destination: Catalogue,
    *,
    revision: int,
    at: str,
) -> Plan:
    """The plan with the table's new columns, as a fresh plan has them; everything else stays. Raises NotInPlace."""
    table = plan.table(number)
    known = {c.name for c in table.columns}
    described = {c.name for c in table.relation.columns} if table.relation else known
    now = next((t for t in fresh.tables if t.name == table.name), None)
    if now is None:
        raise NotInPlace("the job does not carry it")
    new = [c for c in now.columns if c.name not in known]
    before = [c for c in now.columns if c.name in known]
    if not alike(table.columns, before) or now.identity != table.identity:
        raise NotInPlace("its other columns would be made otherwise now")
    if others := unlike(plan, fresh, [table.name]):
        raise NotInPlace(f"{', '.join(str(t.name) for t in others)} would be made otherwise now")
    for column in new:
        if column.name in described:
            raise NotInPlace(f"column {column.name} was there before, and was not carried")
        if not column.why:
            raise NotInPlace(f"column {column.name} has no rule")
        if column.rule.nulls == "filled":
            raise NotInPlace(f"{column.rule.generator} fills column {column.name} also where it is NULL")
    names = tuple(c.name for c in relation.columns if c.name not in described)
    growth = Growth(revision=revision, at=at, columns=names, statements=_statements(table, new, destination))
    grown = table.model_copy(
        update={
            "mode": now.mode,
            "columns": (*table.columns, *new),
            "relation": relation,
            "appeared": (*table.appeared, *names),
            "grown": (*table.grown, growth),
            "copy_format": now.copy_format,
        }
    )
    tables = tuple(grown if t.number == number else t for t in plan.tables)
    return plan.model_copy(update={"revision": revision, "tables": tables, "alterations": ()})


def growth_of(plan: Plan) -> tuple[PlannedTable, Growth] | None:
    """What a plan adds in place to the one before it; None where it is no such plan."""
    if plan.revision:
        for table in plan.tables:
            if table.grown and table.grown[-1].revision == plan.revision:
                return table, table.grown[-1]
    return None


def rules_told(table: PlannedTable) -> str:
    """What its new columns are followed as, for people."""
    rules = {c.name: c for c in table.columns}
    said = [
        f"column {name} has appeared and is followed as {rules[name].rule.generator} ({rules[name].why})"
        for growth in table.grown
        for name in growth.columns
        if name in rules
    ]
    return f"{'; '.join(said)}; another rule: tailrace resync RUN {table.name} --rule COLUMN=GENERATOR" if said else ""


def _statements(table: PlannedTable, new: Sequence[PlannedColumn], destination: Catalogue) -> tuple[str, ...]:
    theirs = destination.table(table.name)
    if theirs is None:
        raise NotInPlace("the destination has no such table any more")
    name = qualified(theirs.name.schema_name, theirs.name.name)
    made = []
    for column in new:
        quoted, there = quote_ident(column.name), theirs.column(column.name)
        if there is None:
            made.append(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {quoted} {column.destination_type.name}")
        elif there.has_default or not there.nullable or there.identity or there.generated:
            raise NotInPlace(f"column {column.name} of the destination is not NULL by itself")
        else:
            made.append(f"UPDATE {_rows(theirs, name)} SET {quoted} = NULL WHERE {quoted} IS NOT NULL")
    return tuple(made)


def _rows(table: Table, name: str) -> str:
    return name if table.kind == "p" else f"ONLY {name}"


def _stands_on(key: ForeignKey, table: TableName, columns: Collection[str]) -> bool:
    return (key.table == table and bool(set(columns) & set(key.columns))) or (
        key.references == table and bool(set(columns) & set(key.referenced_columns))
    )
