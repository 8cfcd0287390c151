"""Comparing a destination with its source, from outside: what a run checks of itself, asked again by somebody else.

The destination's own checks are those that the writer makes, by the same code; what needs both databases is here. Both are only
read. The source is compared as it is now: rows that changed since the run show as differences.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from tailrace.planning import Databases
from tailrace_shared.catalogue.model import Catalogue, ForeignKey, Index
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import ForeignKeyCheck, Plan, PlannedColumn, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.verify import queries
from tailrace_shared.verify.constraints import constraint_checks
from tailrace_shared.verify.leak import judge_leak
from tailrace_shared.verify.references import foreign_key_check
from tailrace_shared.verify.sequences import sequence_check
from tailrace_shared.verify.structure import structure_checks

LOADED = frozenset({"carry", "duplicate"})
"""Modes whose rows come from the source."""


def as_if_empty(job: Job) -> Job:
    """The job with a destination that may hold rows: a plan to verify by is made after the load."""
    return job.model_copy(update={"destination": job.destination.model_copy(update={"mode": "truncate"})})


async def verify(ends: Databases, plan: Plan, canaries: tuple[str, ...], job: Job) -> AsyncIterator[Check]:
    """All checks, in the order of their kinds, each as soon as it is done. Raises mapped PostgreSQL errors.

    ``canaries`` are the strings that the plan's references stand for; ``job`` is as the user wrote it.
    """
    loaded = [table for table in plan.tables if table.mode in LOADED]
    there = [table for table in plan.tables if table.mode != "truncate"]
    with translated():
        for table in plan.tables:
            yield await _rows(ends, plan, table, job)
        for key in foreign_keys(plan, ends.source_catalogue, ends.destination_catalogue):
            yield await foreign_key_check(ends.destination, key, rebuilt=False)
        for check in await constraint_checks(ends.destination, [table.name for table in plan.tables]):
            yield check
        for table in loaded:
            async for check in _unique(ends, table):
                yield check
        for table in loaded:
            async for check in _not_null(ends, plan, table):
                yield check
        for step in plan.sequences:
            yield await sequence_check(ends.destination, plan, step)
        demanded = job.destination.mode == "create"
        names = [table.name for table in plan.tables]
        for check in structure_checks(ends.source_catalogue, ends.destination_catalogue, names, demanded=demanded):
            yield check
        if plan.leak_sample:
            for table in loaded:
                for column in table.columns:
                    if column.masked:
                        yield await _leak(ends, table, column, plan.leak_sample)
        if canaries:
            for table in there:
                yield await _canaries(ends, table, canaries)


def foreign_keys(plan: Plan, source: Catalogue, destination: Catalogue) -> list[ForeignKeyCheck]:
    """Keys to check: the plan's, and the source's between carried tables that the destination does not declare.

    One that is not enforced demands nothing.
    """
    carried = {table.name for table in plan.tables if table.mode != "truncate"}
    known = [*plan.foreign_keys]
    seen = {_identity(key) for key in known}
    for key in source.foreign_keys:
        if not key.enforced:
            continue
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
                        temporal=key.temporal,
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


async def _rows(ends: Databases, plan: Plan, table: PlannedTable, job: Job) -> Check:
    """The rows of a table against those that the job carries."""
    name = f"rows {table.name}"
    there = await ends.destination.fetchval(queries.row_count(table.name, only=table.only))
    if table.mode == "truncate":
        return Check(name=name, passed=there == 0, detail=f"{there:,}, to be empty")
    if table.events_of is not None:
        return Check(name=name, passed=there <= table.rows, detail=f"{there:,} events, {table.rows:,} at most")
    if table.mode == "generate":
        return Check(name=name, passed=there == table.rows, detail=f"{there:,}, to be {table.rows:,}")
    told = next((told for told in plan.filters if told.table == table.number), None)
    ours = await ends.source.fetchval(queries.carried_count(table, told))
    said = f"source {ours:,}" + (" that the job carries" if table.filtered else "")
    if job.destination.mode == "append":  # others' rows are there, too
        return Check(name=name, passed=there >= ours, detail=f"{said}, destination {there:,}, added to those before")
    return Check(name=name, passed=ours == there, detail=f"{said}, destination {there:,}")


async def _unique(ends: Databases, table: PlannedTable) -> AsyncIterator[Check]:
    there, here = ends.destination_catalogue.table(table.name), ends.source_catalogue.table(table.name)
    if there is None or here is None:
        return
    names = [column.name for column in table.columns]
    for index, enforced in unique_keys(here.indexes, there.indexes, names):
        if enforced:
            continue  # told with the destination's own constraints
        columns = [column for column in index.columns if column is not None]
        name = f"unique {table.name} ({', '.join(columns)}), in the source only"
        query = queries.duplicates(table.name, columns, nulls_distinct=not index.nulls_not_distinct, only=table.only)
        groups = await ends.destination.fetchval(query)
        yield Check(name=name, passed=groups == 0, detail=_count(groups, "groups of equal rows"))


async def _not_null(ends: Databases, plan: Plan, table: PlannedTable) -> AsyncIterator[Check]:
    there, here = ends.destination_catalogue.table(table.name), ends.source_catalogue.table(table.name)
    if there is None or here is None:
        return
    nulled = {column for told in plan.filters if told.table == table.number for column in told.kept}
    for planned in table.columns:
        own, origin = there.column(planned.name), here.column(planned.name)
        if planned.name in nulled:
            continue
        if own is None or origin is None or origin.nullable or planned.rule.nulls == "made":
            continue
        if not own.nullable:  # told with the destination's own constraints
            continue
        name = f"not null {table.name}.{planned.name}, in the source only"
        found = await ends.destination.fetchval(queries.nulls(table.name, planned.name, only=table.only))
        yield Check(name=name, passed=found == 0, detail=_count(found, "NULLs"))


async def _leak(ends: Databases, table: PlannedTable, column: PlannedColumn, limit: int) -> Check:
    query = queries.sample(table.name, column.name, only=table.only)
    rows = await ends.destination.fetch(query, limit, queries.SAMPLE_BYTES)
    values = [row["v"] for row in rows]
    distinct = await ends.source.fetchval(queries.distinct_values(table.name, column.name))
    found = await ends.source.fetchval(queries.overlap(table.name, column.name), values) if values else 0
    return judge_leak(table, column, values, found, distinct)


async def _canaries(ends: Databases, table: PlannedTable, canaries: tuple[str, ...]) -> Check:
    columns = [column.name for column in table.columns]
    found = (
        await ends.destination.fetchval(queries.strings_found(table.name, columns, only=table.only), list(canaries))
        if columns
        else 0
    )
    return Check(name=f"canaries {table.name}", passed=found == 0, detail=f"{found} of {len(canaries)} found")


def _identity(key: ForeignKey | ForeignKeyCheck) -> tuple[object, ...]:
    pairs = sorted(zip(key.columns, key.referenced_columns, strict=True))
    return (key.table, key.references, tuple(pairs))


def _unique_identity(index: Index) -> tuple[object, ...]:
    return (frozenset(index.columns), index.nulls_not_distinct)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number else f"no {what}"
