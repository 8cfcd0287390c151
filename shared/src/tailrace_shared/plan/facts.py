"""What planning asks the source beyond its catalogue: only what a proof or a warning needs, in bounded time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import asyncpg
from pydantic import Field

from tailrace_shared.catalogue.model import Catalogue, Column, Table
from tailrace_shared.generators import Key, MaskHash, UniqueMock
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.domains import Closure, domains_of, in_unique_index, partition_owners
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import Decision, decide
from tailrace_shared.plan.scope import ColumnRef, scope_of
from tailrace_shared.postgres import translated
from tailrace_shared.types import Frozen, qualified, quote_ident

QUESTION_MS: Final = 20_000
"""Longest time for one question; then the statistics must do, and the proof is labelled an estimate."""
SAMPLE_PAGES: Final = 512
"""Blocks sampled for a table's widest row: 4 MB of heap."""
VARLENA: Final = frozenset({"text", "bytes", "json", "other", "number"})


class SourceFacts(Frozen):
    """Counts, sizes and key bounds of the source. The bounds are values: they never leave the planner."""

    distinct: dict[str, int] = Field(default_factory=dict)
    """Exact number of distinct values per ``schema.table.column``."""
    largest: dict[str, int] = Field(default_factory=dict)
    """Largest integer per ``schema.table.column``."""
    widest_bytes: dict[str, int] = Field(default_factory=dict)
    """Stored bytes of the widest sampled row per ``schema.table``; at least so wide are its largest."""


async def gather_facts(connection: asyncpg.Connection, job: Job, catalogue: Catalogue) -> SourceFacts:
    """Asks in the current transaction if there is one (the snapshot's). A question that takes too long is dropped.

    Raises TransientError where the connection is lost, TerminalError where the source refuses a question.
    """
    problems = Problems()  # planning finds them again, and reports them
    scope = scope_of(job, catalogue, problems)
    domains = domains_of(scope, catalogue, catalogue, partition_owners(catalogue))
    decisions = decide(scope, domains, catalogue, problems)
    distinct: dict[str, int] = {}
    largest: dict[str, int] = {}
    widest: dict[str, int] = {}
    for table in scope.values():
        if (
            not table.loaded
            or table.table.row_security
            or "SELECT" not in catalogue.privileges.get(str(table.name), ())
        ):
            continue
        for column in table.table.columns:
            ref = ColumnRef(table.name, column.name)
            decision = decisions.get(ref)
            if decision is None:
                continue
            if _needs_count(column, decision, table.table):
                await _ask(connection, _distinct(ref), str(ref), distinct)
            elif _needs_largest(column, decision, domains.of(ref), ref):
                await _ask(connection, _largest(ref, column), str(ref), largest)
        if table.table.bytes > job.limits.message_bytes:
            for question in _widest(table.table):
                await _ask(connection, question, str(table.name), widest)
    return SourceFacts(distinct=distinct, largest=largest, widest_bytes=widest)


def _needs_count(column: Column, decision: Decision, table: Table) -> bool:
    """A generator that may collide, on a column of a unique index."""
    return isinstance(decision.spec, MaskHash | UniqueMock) and in_unique_index(column.name, table)


def _needs_largest(column: Column, decision: Decision, closure: Closure | None, ref: ColumnRef) -> bool:
    """Integer keys at the root of their closure, and numerics that are joined with integers."""
    if not isinstance(decision.spec, Key):
        return False
    if column.type.family == "number":
        return closure is not None and closure.shared and closure.family == "integer"
    return column.type.family == "integer" and (closure is None or closure.root == ref)


def _distinct(ref: ColumnRef) -> str:
    table = qualified(ref.table.schema_name, ref.table.name)
    return f"SELECT count(DISTINCT {quote_ident(ref.column)}) FROM {table}"


def _largest(ref: ColumnRef, column: Column) -> str:
    name, table = quote_ident(ref.column), qualified(ref.table.schema_name, ref.table.name)
    if column.type.family == "integer":
        return f"SELECT max({name})::int8 FROM {table}"
    return f"SELECT trunc(max({name}))::int8 FROM {table} WHERE {name} < {2**63 - 1}"  # not infinity, not NaN


def _widest(table: Table) -> Iterable[str]:
    """Stored width of the widest row in a sample of blocks, per heap; the columns' widths do not fetch the values."""
    columns = [c.name for c in table.columns if c.type.family in VARLENA]
    width = " + ".join(f"COALESCE(pg_column_size({quote_ident(c)}), 0)" for c in columns)
    heaps = table.partitions or (table,)
    for heap in heaps:
        if width and heap.pages > 0 and getattr(heap, "kind", "r") == "r":
            percent = min(100.0, 100.0 * SAMPLE_PAGES / heap.pages)
            relation = qualified(heap.name.schema_name, heap.name.name)
            yield f"SELECT max({width})::int8 FROM {relation} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (0)"


async def _ask(connection: asyncpg.Connection, question: str, key: str, answers: dict[str, int]) -> None:
    """Keeps the largest answer per key; nothing where the question takes too long."""
    within = (
        connection.is_in_transaction()
    )  # the snapshot's, begun by hand: asyncpg's own transactions refuse to nest in it
    begin, back = ("SAVEPOINT question", "ROLLBACK TO question") if within else ("BEGIN", "ROLLBACK")
    with translated():
        await connection.execute(begin)
        try:
            await connection.execute(f"SET LOCAL statement_timeout = {QUESTION_MS}")
            answer = await connection.fetchval(question)
            if answer is not None:
                answers[key] = max(answer, answers.get(key, answer))
        except asyncpg.QueryCanceledError:
            pass
        finally:
            if not connection.is_closed():
                await connection.execute(back)  # drops the lock and the time limit
