"""How many rows of the source break checks once a column is NULL or a constant: asked table by table, of the carried rows alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from tailrace_shared.catalogue.model import Catalogue, Table
from tailrace_shared.plan.counted_checks import counted_check
from tailrace_shared.plan.filters import Filters
from tailrace_shared.plan.model import PlannedColumn
from tailrace_shared.plan.scope import ScopedTable

Ask = Callable[[ScopedTable, str], Awaitable[Any]]


async def ask_checks(
    ask: Ask,
    filters: Filters,
    destination: Catalogue,
    planned: Callable[[ScopedTable], Iterable[PlannedColumn]],
    readable: Callable[[Table], bool],
    known: Mapping[str, int],
) -> dict[str, int]:
    """Rows per ``CountedCheck.name``, without what was not answered. ``known`` is not asked again."""
    counted = dict(known)
    for name, scoped in filters.scope.items():
        theirs = destination.table(name)
        if theirs is None or not scoped.loaded or not readable(scoped.table) or not _sayable(scoped, filters):
            continue
        columns = {column.name: column for column in planned(scoped)} if theirs.checks else {}
        nulled = {column for gap in filters.gaps.of(name, "nullify") for column in gap.nulled}
        rows = filters.rows(name)
        for check in theirs.checks:
            asked = counted_check(check, scoped.table, theirs, columns)
            if asked is None or asked.name in counted or nulled & set(check.columns) or name in filters.too_deep:
                continue
            answer = await ask(scoped, asked.question(filters.relation(name), rows))
            if answer is not None:
                counted[asked.name] = answer
    return counted


def _sayable(scoped: ScopedTable, filters: Filters) -> bool:
    """Whether it is known which of its rows are carried, and there are any."""
    if scoped.where and str(scoped.name) not in filters.asked.where:
        return False
    return scoped.limit is None or (scoped.limit > 0 and str(scoped.name) in filters.asked.ends)
