"""Pools: keys of carried tables that made rows refer to, in a plan; and how many rows refer to each, as the source has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log
from typing import TYPE_CHECKING, Final

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.generators import MakeReference
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.model import PlannedPool, PlannedTable, Proof
from tailrace_shared.plan.pool_facts import POOL_ROWS_MAX, FanOutFacts, KeyFacts, key_columns

if TYPE_CHECKING:
    from tailrace_shared.plan.generated import Generation

POOLS_BYTES: Final = 64 << 20
"""Of all pools of a plan together, as text: generators hold them."""
COLUMN_BYTES: Final = 8
"""Of a value, besides its text."""
EXACT_COUNTS: Final = 20
"""Up to so many rows per parent every number is a group of its own; above, numbers within 5 % of each other are one."""
STEP: Final = 1.05


def pool_rows(name: TableName, context: Generation) -> int | None:
    """Keys in the pool of a carried table; None where nobody knows."""
    facts = context.keys.get(str(name))
    if facts is None:
        return None
    pools = len(key_columns(context.scope, context.links))
    return min(facts.rows, most_rows(facts, pools, context.job.limits.message_bytes))


def most_rows(facts: KeyFacts, pools: int, message_bytes: int) -> int:
    """What a pool holds: half a message, and all pools together no more than their bytes."""
    room = min(message_bytes // 2, POOLS_BYTES // max(1, pools))
    return max(1, min(POOL_ROWS_MAX, int(room / (facts.bytes + COLUMN_BYTES * len(facts.columns)))))


def plan_pools(tables: Sequence[PlannedTable], context: Generation) -> tuple[PlannedPool, ...]:
    """The pools that orders need, with all that need them: also those who refer to a row whose own key is one of a pool."""
    needs = {table.number: _needs(tables, table.number, set()) for table in tables if table.mode == "generate"}
    found = []
    for table in tables:
        facts = context.keys.get(str(table.name))
        by = tuple(number for number, pools in needs.items() if table.number in pools)
        rows = pool_rows(table.name, context)
        if by and facts is not None and rows:
            found.append(PlannedPool(table=table.number, columns=facts.columns, rows=rows, drawn_by=by))
    return tuple(found)


def _needs(tables: Sequence[PlannedTable], number: int, seen: set[int]) -> set[int]:
    if number in seen:
        return set()
    seen.add(number)
    found: set[int] = set()
    for column in tables[number].columns:
        if column.parent is not None and isinstance(column.rule, MakeReference):
            found |= {column.parent.table} if column.parent.pool else _needs(tables, column.parent.table, seen)
    return found


def fan_out_of(link: Link, context: Generation) -> tuple[tuple[int, int], ...]:
    """Groups of parents and the rows that refer to them, at least ``k`` parents in each; empty where rows are drawn evenly."""
    facts = context.fan_outs.get(link.about)
    return () if facts is None else grouped(facts, context.scope[link.child].train.k)


def null_share(link: Link, context: Generation) -> float:
    """Of the source's rows, those that refer to none."""
    facts = context.fan_outs.get(link.about)
    return round(facts.nulls / facts.rows, 4) if facts is not None and facts.rows else 0.0


def grouped(facts: FanOutFacts, k: int) -> tuple[tuple[int, int], ...]:
    """Parents and their rows by how many they have, ascending; a group of fewer than ``k`` parents joins its neighbour, so that no
    number is one parent's own. Empty where there are fewer parents than that."""
    referred = sum(many for _, many in facts.counts)
    parents = max(facts.parents, referred)
    if parents < k or not facts.counts:
        return ()
    near: dict[int, list[int]] = {}
    for count, many in ((0, parents - referred), *facts.counts):
        group = near.setdefault(count if count <= EXACT_COUNTS else EXACT_COUNTS + ceil(log(count) / log(STEP)), [0, 0])
        group[0] += many
        group[1] += many * count
    groups: list[list[int]] = []
    for _, (many, rows) in sorted(near.items()):
        if groups and groups[-1][0] < k:
            groups[-1][0] += many
            groups[-1][1] += rows
        elif many:
            groups.append([many, rows])
    if len(groups) > 1 and groups[-1][0] < k:
        many, rows = groups.pop()
        groups[-1][0] += many
        groups[-1][1] += rows
    return tuple((many, rows) for many, rows in groups)


def told_pools(
    pools: Sequence[PlannedPool], tables: Sequence[PlannedTable], keys: Mapping[str, KeyFacts]
) -> list[Proof]:
    """What is said of a pool that holds fewer keys than there are."""
    return [
        Proof(
            about=f"{tables[pool.table].name} keys", verdict="estimated",
            reason=f"made rows refer to {pool.rows:,} of its rows, chosen by a hash of their keys: a pool holds no more",
        )
        for pool in pools if keys[str(tables[pool.table].name)].rows > pool.rows
    ]  # fmt: skip
