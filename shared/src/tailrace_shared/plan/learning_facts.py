"""What planning asks of rows that are to be learned from: whether there are enough, and whether any value is shared by enough.

A trainer finds out, too, but only when everything else has been prepared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import Field

from tailrace_shared.catalogue.model import Column, Table, TableName
from tailrace_shared.generators import Ai
from tailrace_shared.plan.scope import ScopedTable
from tailrace_shared.types import Family, Frozen, qualified

GROUPS_MIN: Final = 5
"""A table needs so many times k distinct entities, or next to nothing of it could be kept."""
HIDDEN_MAX: Final = 3
"""The threshold in force is k plus up to two, drawn and not recorded: who plants rows cannot know it."""
CLOSED: Final[frozenset[Family]] = frozenset({"json", "bytes", "other"})
"""Families whose values are categories or nothing: nobody can say what else would be a value of the type."""


class LearningFacts(Frozen):
    """Counts of tables that are learned, by ``schema.table``. No value of a row is in them."""

    rows: dict[str, int] = Field(default_factory=dict)
    """Exact, of tables of which the statistics know none."""
    few: dict[str, int] = Field(default_factory=dict)
    """Exact, of tables that have fewer than any model takes."""
    alone: frozenset[str] = frozenset()
    """Columns (``schema.table.column``) of which no value is in as many rows as the table's ``k``."""


def fewest(k: int) -> int:
    """Distinct entities below which nothing is learned."""
    return GROUPS_MIN * (k + HIDDEN_MAX)


def with_counts(scope: Mapping[TableName, ScopedTable], facts: LearningFacts) -> dict[TableName, ScopedTable]:
    """The scope, synthetic tables of unknown size with as many rows as the source has."""
    return {
        name: replace(scoped, limit=facts.rows[str(name)])
        if scoped.mode == "synthesize" and scoped.limit is None and scoped.sequence is None and str(name) in facts.rows
        else scoped
        for name, scoped in scope.items()
    }


async def ask_learning(
    ask: Callable[[str], Awaitable[Any]], scope: Iterable[ScopedTable], readable: Callable[[Table], bool]
) -> LearningFacts:
    """Asks the source; a question that has no answer leaves its fact out."""
    rows: dict[str, int] = {}
    few: dict[str, int] = {}
    alone: set[str] = set()
    for scoped in scope:
        table = scoped.table
        if not scoped.learned or not readable(table) or table.kind not in ("r", "p", "m"):
            continue
        name, relation = str(scoped.name), qualified(table.name.schema_name, table.name.name)
        if table.rows <= 0 and (count := await ask(f"SELECT count(*) FROM {relation}")) is not None:
            rows[name] = count
        if scoped.train.model:
            continue
        least = fewest(scoped.train.k)
        found = await ask(f"SELECT count(*) FROM (SELECT FROM {relation} LIMIT {least}) AS looked_at")
        if found is not None and found < least:
            few[name] = found
            continue
        limit = "" if scoped.train.sample == "all" else f" LIMIT {scoped.train.rows + 1}"
        for column in table.columns:
            if _closed(column, scoped):
                shared = await ask(_most_shared(column, relation, limit))
                # a sample of a larger table may have what its first rows have not
                if shared is not None and 0 < shared[0] < scoped.train.k and shared[1] <= scoped.train.rows:
                    alone.add(f"{name}.{column.name}")
    return LearningFacts(rows=rows, few=few, alone=frozenset(alone))


def _closed(column: Column, scoped: ScopedTable) -> bool:
    rule = scoped.rules.get(column.name)
    listed = column.type.element is not None or column.type.base == "money"
    return (
        (rule is None or isinstance(rule, Ai)) and column.type.family in CLOSED and not listed and not column.generated
    )


def _most_shared(column: Column, relation: str, limit: str) -> str:
    """Rows of the most frequent value, and rows looked at."""
    some = f"SELECT ({column.expression})::text AS value FROM {relation}{limit}"
    return (
        f"SELECT ARRAY[coalesce(max(n) FILTER (WHERE value IS NOT NULL), 0), coalesce(sum(n), 0)]::int8[] "
        f"FROM (SELECT value, count(*) AS n FROM ({some}) AS looked_at GROUP BY value) AS counted"
    )
