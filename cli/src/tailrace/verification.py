"""Comparing a destination with its source, from outside: what a run checks of itself, asked again by somebody else.

Both databases are only read. The source is compared as it is now: rows that changed since the run show as differences.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from tailrace.planning import Databases
from tailrace_shared.catalogue.model import Catalogue, ForeignKey, Index, TableName
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import ForeignKeyCheck, Plan, PlannedColumn, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified
from tailrace_shared.verify import queries
from tailrace_shared.verify.leak import judge_leak


def as_if_empty(job: Job) -> Job:
    """The job with a destination that may hold rows: a plan to verify by is made after the load."""
    return job.model_copy(update={"destination": job.destination.model_copy(update={"mode": "truncate"})})


async def verify(ends: Databases, plan: Plan, canaries: tuple[str, ...]) -> AsyncIterator[Check]:
    """All checks, in the order of their kinds, each as soon as it is done. Raises mapped PostgreSQL errors.

    ``canaries`` are the strings that the plan's references stand for.
    """
    loaded = [table for table in plan.tables if table.mode != "truncate"]
    with translated():
        for table in plan.tables:
            yield await _rows(ends, table)
        for key in foreign_keys(plan, ends.source_catalogue, ends.destination_catalogue):
            orphans = await ends.destination.fetchval(queries.orphans(key))
            yield Check(
                name=f"foreign key {key.table} {key.name}", passed=orphans == 0, detail=_count(orphans, "orphans")
            )
        for table in loaded:
            async for check in _unique(ends, table):
                yield check
        for table in loaded:
            async for check in _not_null(ends, table):
                yield check
        for step in plan.sequences:
            owner = plan.table(step.table)
            column = next(c for c in owner.columns if c.name == step.column)
            yield await _sequence(ends, step.schema_name, step.name, owner.name, column)
        if plan.leak_sample:
            for table in loaded:
                for column in table.columns:
                    if column.masked:
                        yield await _leak(ends, table, column, plan.leak_sample)
        if canaries:
            for table in loaded:
                yield await _canaries(ends, table, canaries)


def foreign_keys(plan: Plan, source: Catalogue, destination: Catalogue) -> list[ForeignKeyCheck]:
    """Keys to check: the plan's, and the source's between carried tables that the destination does not declare."""
    carried = {table.name for table in plan.tables if table.mode != "truncate"}
    known = [*plan.foreign_keys]
    seen = {_identity(key) for key in known}
    for key in source.foreign_keys:
        if key.table in carried and key.references in carried and _identity(key) not in seen:
            there = (destination.table(key.table), destination.table(key.references))
            if all(there):
                known.append(
                    ForeignKeyCheck(
                        name=key.name,
                        table=key.table,
                        columns=key.columns,
                        references=key.references,
                        referenced_columns=key.referenced_columns,
                    )
                )
    return known


def unique_keys(
    source: Iterable[Index], destination: Iterable[Index], columns: Iterable[str]
) -> list[tuple[Index, bool]]:
    """Unique indexes over carried columns, and whether the destination enforces them itself."""
    enforced = {_unique_identity(i) for i in destination if i.unique and i.valid and i.predicate is None}
    carried = set(columns)
    found: dict[Any, tuple[Index, bool]] = {}
    for index in (*destination, *source):
        plain = index.unique and index.predicate is None and not index.expressions
        if plain and all(column in carried for column in index.columns):
            found.setdefault(_unique_identity(index), (index, _unique_identity(index) in enforced))
    return list(found.values())


async def _rows(ends: Databases, table: PlannedTable) -> Check:
    destination = await ends.destination.fetchval(queries.row_count(table.name))
    if table.mode == "truncate":
        return Check(name=f"rows {table.name}", passed=destination == 0, detail=f"{destination:,}, to be empty")
    source = await ends.source.fetchval(queries.row_count(table.name))
    return Check(
        name=f"rows {table.name}",
        passed=source == destination,
        detail=f"source {source:,}, destination {destination:,}",
    )


async def _unique(ends: Databases, table: PlannedTable) -> AsyncIterator[Check]:
    there, here = ends.destination_catalogue.table(table.name), ends.source_catalogue.table(table.name)
    if there is None or here is None:
        return
    names = [column.name for column in table.columns]
    for index, enforced in unique_keys(here.indexes, there.indexes, names):
        columns = [column for column in index.columns if column is not None]
        name = f"unique {table.name} ({', '.join(columns)})"
        if enforced:
            yield Check(name=name, passed=True, detail="a valid unique index holds it")
            continue
        query = queries.duplicates(table.name, columns, nulls_distinct=not index.nulls_not_distinct)
        groups = await ends.destination.fetchval(query)
        yield Check(name=name, passed=groups == 0, detail=_count(groups, "groups of equal rows"))


async def _not_null(ends: Databases, table: PlannedTable) -> AsyncIterator[Check]:
    there, here = ends.destination_catalogue.table(table.name), ends.source_catalogue.table(table.name)
    if there is None or here is None:
        return
    for planned in table.columns:
        own, origin = there.column(planned.name), here.column(planned.name)
        if own is None or origin is None or origin.nullable or planned.rule.nulls == "made":
            continue
        name = f"not null {table.name}.{planned.name}"
        if not own.nullable:
            yield Check(name=name, passed=True, detail="a constraint holds it")
            continue
        found = await ends.destination.fetchval(queries.nulls(table.name, planned.name))
        yield Check(name=name, passed=found == 0, detail=_count(found, "NULLs"))


async def _sequence(ends: Databases, schema: str, sequence: str, table: TableName, column: PlannedColumn) -> Check:
    following = await ends.destination.fetchval(queries.next_value(schema, sequence), qualified(schema, sequence))
    largest = await ends.destination.fetchval(queries.largest(table, column.name))
    return Check(
        name=f"sequence {schema}.{sequence}",
        passed=largest is None or following > largest,
        detail=f"next value is {'above' if largest is None or following > largest else 'not above'} {table}.{column.name}",
    )


async def _leak(ends: Databases, table: PlannedTable, column: PlannedColumn, limit: int) -> Check:
    rows = await ends.destination.fetch(queries.sample(table.name, column.name), limit, queries.SAMPLE_BYTES)
    values = [row["v"] for row in rows]
    distinct = await ends.source.fetchval(queries.distinct_values(table.name, column.name))
    found = await ends.source.fetchval(queries.overlap(table.name, column.name), values) if values else 0
    return judge_leak(table, column, values, found, distinct)


async def _canaries(ends: Databases, table: PlannedTable, canaries: tuple[str, ...]) -> Check:
    columns = [column.name for column in table.columns]
    found = (
        await ends.destination.fetchval(queries.strings_found(table.name, columns), list(canaries)) if columns else 0
    )
    return Check(name=f"canaries {table.name}", passed=found == 0, detail=f"{found} of {len(canaries)} found")


def _identity(key: ForeignKey | ForeignKeyCheck) -> tuple[object, ...]:
    pairs = sorted(zip(key.columns, key.referenced_columns, strict=True))
    return (key.table, key.references, tuple(pairs))


def _unique_identity(index: Index) -> tuple[object, ...]:
    return (frozenset(index.columns), index.nulls_not_distinct)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number else f"no {what}"
