"""What planning asks the source about the rows that are carried: whether conditions can be read, where row limits end, which
references lead nowhere. All in the snapshot, so that what is planned is what will be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import asyncpg

from tailrace_shared.catalogue.model import Table, TableName
from tailrace_shared.errors import UsageError
from tailrace_shared.plan.condition_variables import Lookup
from tailrace_shared.plan.conditions import ConditionError, MissingVariable, Resolved, resolve_condition
from tailrace_shared.plan.filters import Filters, Place, ScopeFacts
from tailrace_shared.plan.gaps import Gaps, Scope
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.model import Leaf, RowEnd
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.ranges import leaves_of
from tailrace_shared.plan.scope_asker import ScopeAsker
from tailrace_shared.postgres import map_error
from tailrace_shared.types import qualified

EXCLUDED_MAX: Final = 20_000
"""Rows that a cycle of exclusions may take: each is named in the plan."""
_VOLATILE: Final = """
SELECT DISTINCT p.proname::text FROM pg_catalog.pg_proc p WHERE p.proname = ANY($1::text[]) AND p.provolatile = 'v'
AND (pg_catalog.pg_function_is_visible(p.oid) OR NOT EXISTS (
  SELECT FROM pg_catalog.pg_proc o WHERE o.proname = p.proname AND pg_catalog.pg_function_is_visible(o.oid)))
ORDER BY 1
"""
_HEAPS: Final = """
SELECT n.nspname::text AS schema, c.relname::text AS name, c.oid::bigint AS oid,
       pg_catalog.pg_relation_filenode(c.oid)::bigint AS filenode
FROM unnest($1::text[], $2::text[]) AS w (schema, name) JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL ORDER BY c.oid
"""


async def ask_scope(
    connection: asyncpg.Connection, scope: Scope, links: Sequence[Link], gaps: Gaps, filters: Callable[[ScopeFacts], Filters],
    lookup: Lookup, doubtful: Collection[Link] = (),
) -> ScopeFacts:  # fmt: skip
    """All answers; in the current transaction if there is one.

    ``lookup`` gives the values of variables; ``doubtful`` are links that the destination demands and the source does not guarantee:
    like virtual ones, they are counted. Raises TransientError where the connection is lost; what the source refuses or
    cannot say in time is among the answer's problems, or is missing from it.
    """
    counted = [link for link in links if link.virtual or link in doubtful]
    if not gaps.reduced and not gaps.all and not counted:
        return ScopeFacts()
    asker = ScopeAsker(connection)
    problems = Problems()
    facts = await _conditions(asker, scope, filters(ScopeFacts()), lookup, problems)
    if problems.failed:
        return facts.model_copy(update={"problems": problems.all})
    ends: dict[str, RowEnd | None] = {}
    for name, scoped in scope.items():
        if scoped.loaded and scoped.limit and scoped.table.kind in ("r", "p", "m"):
            found = await _end(asker, scoped.table, scoped.limit, facts)
            if found is not _UNKNOWN:
                ends[str(name)] = found
    facts = facts.model_copy(update={"ends": ends})
    facts = facts.model_copy(update={"excluded": await _cycles(asker, gaps, filters, facts)})
    ready = filters(facts)
    estimates = await _estimates(asker, scope, ready, problems)
    missing: dict[str, bool] = {}
    orphans: dict[str, int] = {}
    if not problems.failed:
        for gap in gaps.all:
            if gap.action == "refuse" and (answer := await asker.value(ready.missing(gap))) is not None:
                missing[gap.link.about] = answer
        filled = {gap.link for gap in gaps.all if gap.action != "refuse" or gap.outside}
        for link in counted:
            sides = (scope.get(link.child), scope.get(link.parent))
            if link not in filled and all(side is not None and side.loaded for side in sides):
                answer = await asker.value(ready.orphans(link))
                if answer is not None:
                    orphans[link.about] = answer
    return facts.model_copy(
        update={"estimates": estimates, "missing": missing, "orphans": orphans, "problems": problems.all}
    )


_UNKNOWN: Final = RowEnd(leaf=-1, block=-1, item=-1)
"""Not said in time."""


async def _conditions(
    asker: ScopeAsker, scope: Scope, filters: Filters, lookup: Lookup, problems: Problems
) -> ScopeFacts:
    where: dict[str, str] = {}
    looks_up: set[str] = set()
    reads: dict[str, tuple[Leaf, ...]] = {}
    now = await asker.value("SELECT pg_catalog.now()::text")
    for name, scoped in scope.items():
        if not scoped.loaded or not scoped.where:
            continue
        try:
            resolved = resolve_condition(scoped.where, lookup, str(now))
        except MissingVariable as error:
            problems.error("where-variable", name, f"`where`, character {error.at}: {error.message}", error.remedy)
            continue
        except ConditionError as error:
            problems.error("where", name, f"`where`, character {error.at}: {error.message}", error.remedy)
            continue
        except UsageError as error:
            problems.error("where-variable", name, error.message, error.remedy)
            continue
        volatile = await asker.rows(_VOLATILE, sorted(resolved.calls)) if resolved.calls else []
        if volatile:
            problems.error(
                "where-volatile", name, f"`where` calls {volatile[0][0]}(), which gives something else every time it is asked",
                "Compare a hash of the key instead of a random number; declare functions of your own STABLE or IMMUTABLE.",
            )  # fmt: skip
            continue
        plan = await _explain(asker, name, filters.relation(name), resolved, path_of(scoped.table), problems)
        if plan is not None:
            where[str(name)] = resolved.sql
            if resolved.looks_up:
                looks_up.add(str(name))
                reads[str(name)] = await _heaps_of(asker, plan)
    return ScopeFacts(where=where, looks_up=frozenset(looks_up), reads=reads)


async def _explain(
    asker: ScopeAsker, name: TableName, relation: str, resolved: Resolved, path: str | None, problems: Problems
) -> dict[str, Any] | None:
    """PostgreSQL's plan of the condition; None where it refuses it."""
    before = f"EXPLAIN (VERBOSE, FORMAT JSON) SELECT FROM {relation} WHERE ("
    try:
        return _plan(await asker.value(f"{before}{resolved.sql}\n)", raises=True, path=path))
    except asyncpg.PostgresError as error:
        position = getattr(error, "position", None)
        place = int(position) - 1 - len(before) if position and str(position).isdigit() else -1
        at = f", character {resolved.place(place)}" if 0 <= place < len(resolved.sql) else ""
        mapped = map_error(error)
        problems.error(
            "where", name, f"`where`{at}: the source refuses it: {mapped.message}",
            mapped.remedy
            if mapped.code == "postgres.privilege"
            else "Write a condition over this table's columns, as after WHERE; qualify what is in other schemas.",
        )  # fmt: skip
        return None


def path_of(table: Table) -> str | None:
    """The search path under which a table's condition is read; None is the session's own."""
    return "pg_catalog" if any(_names_objects(column.type.base) for column in table.columns) else None


def _names_objects(base: str) -> bool:
    """``regclass`` and the like: readers empty the search path for a table with such a column, and its condition with it."""
    return base.removeprefix("_").startswith("reg")


async def _heaps_of(asker: ScopeAsker, plan: dict[str, Any]) -> tuple[Leaf, ...]:
    names = sorted({(node["Schema"], node["Relation Name"]) for node in _nodes(plan) if "Relation Name" in node})
    found = await asker.rows(_HEAPS, [schema for schema, _ in names], [name for _, name in names])
    return tuple(
        Leaf(name=TableName(schema_name=row["schema"], name=row["name"]), oid=row["oid"], filenode=row["filenode"])
        for row in found
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


async def _end(asker: ScopeAsker, table: Table, limit: int, facts: ScopeFacts) -> RowEnd | None:
    """The first row past the limit, in the order of reading; None where there is none, ``_UNKNOWN`` where nobody knows."""
    name = str(table.name)
    where = f" WHERE ({facts.where[name]}\n)" if name in facts.where else ""
    scans = name not in facts.looks_up
    leaves = leaves_of(table)
    left = limit
    for number, leaf in enumerate(leaves):
        heap = f"FROM ONLY {qualified(leaf.name.schema_name, leaf.name.name)} AS t"
        places = f"{where} AND " if where else " WHERE "
        order = "" if scans else " ORDER BY t.ctid"
        question = f"SELECT t.ctid {heap}{places}t.ctid >= '(0,0)'::tid{order} OFFSET {int(left)} LIMIT 1"
        rows = await asker.rows(question, ordered=scans, late=None)
        if rows is None:
            return _UNKNOWN
        if rows:
            block, item = rows[0][0]
            return RowEnd(leaf=number, block=block, item=item)
        if number + 1 < len(leaves):
            count = await asker.value(f"SELECT count(*) {heap}{where}")
            if count is None:
                return _UNKNOWN
            left -= count
    return None


async def _cycles(
    asker: ScopeAsker, gaps: Gaps, filters: Callable[[ScopeFacts], Filters], facts: ScopeFacts
) -> dict[str, tuple[Place, ...]]:
    """Rows that go with excluded ones, round after round until none is added. Nothing where they are too many or it takes long.

    Each round asks all tables of the cycles given what was excluded so far, so that a round's answer is that of the fixpoint
    when it is empty.
    """
    tables = sorted({gap.link.child for gap in gaps.all if gap.inner})
    found: dict[str, set[Place]] = {str(name): set() for name in tables}
    grown = bool(tables)
    while grown:
        grown = False
        now = {name: tuple(sorted(places)) for name, places in found.items()}
        ready = filters(facts.model_copy(update={"excluded": now}))
        for name in tables:
            table = ready.source.table(name)
            heaps = {leaf.oid: number for number, leaf in enumerate(leaves_of(table))} if table else {}
            rows = await asker.rows(f"{ready.dragged(name)} LIMIT {EXCLUDED_MAX + 1}", late=None)
            if rows is None or len(rows) + sum(map(len, found.values())) > EXCLUDED_MAX:
                return {}
            found[str(name)] |= {(heaps[row["heap"]], *row["place"]) for row in rows}
            grown = grown or bool(rows)
    return {name: tuple(sorted(places)) for name, places in found.items()}


async def _estimates(asker: ScopeAsker, scope: Scope, filters: Filters, problems: Problems) -> dict[str, float]:
    """Rows that will be read, as PostgreSQL estimates them; what it refuses would stop the readers."""
    found = {}
    for name, scoped in scope.items():
        told = filters.filter(0, name) if scoped.loaded else None
        if told is None:
            continue
        kept = ", ".join(f"({sql})" for sql in told.kept.values())
        where = f" WHERE {told.condition}" if told.condition else ""
        try:
            answer = await asker.value(
                f"EXPLAIN (FORMAT JSON) SELECT {kept} FROM {filters.relation(name).removesuffix(' AS t')} AS t{where}",
                raises=True,
            )
        except asyncpg.PostgresError as error:
            problems.error(
                "filter", name, f"the source refuses to follow its references: {map_error(error).message}",
                "Grant SELECT on the tables that it refers to; tie only columns whose types have an equality.",
            )  # fmt: skip
            continue
        if (plan := _plan(answer)) is not None:
            rows = float(plan["Plan Rows"])
            found[str(name)] = min(rows, scoped.limit) if scoped.limit is not None else rows
    return found


def _plan(answer: Any) -> dict[str, Any] | None:
    return None if answer is None else json.loads(answer)[0]["Plan"]
