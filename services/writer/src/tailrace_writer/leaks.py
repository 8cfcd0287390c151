"""The writer's half of the leak scan: which values of the destination the readers look up in the source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import groupby

import asyncpg

from tailrace_shared.messages import Check, CheckLeaks, LeakSample
from tailrace_shared.plan.model import Plan, PlannedColumn, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.verify import queries
from tailrace_shared.verify.leak import leak_check, leak_weight
from tailrace_writer.leak_questions import Asked, Bundle, scan_bytes
from tailrace_writer.staging import place
from tailrace_writer.state.moves import Seat

_AT_ONCE = 16
"""Columns sampled by one statement: their samples are in memory together, 1 MB each."""

Question = tuple[Asked, ...]


def scanned(plan: Plan) -> Iterator[tuple[PlannedTable, PlannedColumn]]:
    """Columns where no original value may arrive."""
    if plan.leak_sample:
        for table in plan.tables:
            for column in table.columns:
                if table.mode != "truncate" and column.masked:
                    yield table, column


async def questions(
    connection: asyncpg.Connection, seat: Seat, plan: Plan, only: frozenset[tuple[int, str]] | None
) -> AsyncIterator[Question | Check]:
    """Sample columns, all or ``only`` some: questions for the readers; where there is nothing to ask, the check that says so."""
    bundle = Bundle(_limit_bytes(plan))
    chosen = [(t, c) for t, c in scanned(plan) if only is None or (t.number, c.name) in only]
    for number, group in groupby(chosen, key=lambda pair: pair[0].number):
        table, scan = plan.table(number), scan_bytes(plan.table(number))
        every = [column for _, column in group]
        for first in range(0, len(every), _AT_ONCE):
            columns = every[first : first + _AT_ONCE]
            sampled = await _samples(connection, plan, table, columns)
            weights = await asyncio.to_thread(_weights, columns, sampled)
            for column, values, weight in zip(columns, sampled, weights, strict=True):
                if weight is None or not values:
                    yield leak_check(table, column, len(values), found=0, source_distinct=0, weight=weight)
                    continue
                sample = LeakSample(table=number, column=column.name, values=tuple(values))
                if full := bundle.add(Asked(sample, weight), scan):
                    yield full
    if rest := bundle.take():
        yield rest


def _weights(columns: Sequence[PlannedColumn], sampled: Sequence[Sequence[str]]) -> list[float | None]:
    return [leak_weight(column, values) for column, values in zip(columns, sampled, strict=True)]


async def _samples(
    connection: asyncpg.Connection, plan: Plan, table: PlannedTable, columns: Sequence[PlannedColumn]
) -> list[list[str]]:
    query = queries.samples(place(plan, table), [column.name for column in columns], only=table.only)
    with translated():
        rows = await connection.fetch(query, plan.leak_sample, _limit_bytes(plan))
    sampled: list[list[str]] = [[] for _ in columns]
    for row in rows:
        sampled[row["n"]].append(row["v"])
    return sampled


def _limit_bytes(plan: Plan) -> int:
    """Of one column's sample, and of one question: far below the topic's limit, whatever JSON makes of the characters."""
    return min(queries.SAMPLE_BYTES, plan.message_bytes // 8)


def message(seat: Seat, question: Question) -> CheckLeaks:
    """The work item."""
    return CheckLeaks(run=seat.run, attempt=seat.attempt, samples=tuple(asked.sample for asked in question))


async def note_question(connection: asyncpg.Connection, seat: Seat, question: Question) -> None:
    """Remember that the question was put; asking again renews it."""
    with translated():
        await connection.execute(
            "INSERT INTO tailrace.leak (run, attempt, table_no, column_name, sampled, weight) "
            "SELECT $1, $2, * FROM unnest($3::int[], $4::text[], $5::int[], $6::float8[]) "
            "ON CONFLICT (run, attempt, table_no, column_name) DO UPDATE SET asked_at = clock_timestamp()",
            seat.run, seat.attempt,
            [asked.sample.table for asked in question], [asked.sample.column for asked in question],
            [len(asked.sample.values) for asked in question], [asked.weight for asked in question],
        )  # fmt: skip
