"""What planning asks the source beyond its catalogue: only what a proof or a warning needs, in bounded time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import asyncpg
from pydantic import Field

from tailrace_shared.catalogue.model import Catalogue, Column, Partition, Table
from tailrace_shared.deadline import Deadline
from tailrace_shared.generators import Duplicate, Key, MaskHash, MaskText, UniqueMock
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.check_facts import ask_checks
from tailrace_shared.plan.columns import plan_columns
from tailrace_shared.plan.condition_variables import condition_lookup
from tailrace_shared.plan.create import destination_to_be
from tailrace_shared.plan.demands import count_demands
from tailrace_shared.plan.domains import Closure, domains_of, in_unique_index, partition_owners
from tailrace_shared.plan.drawing import SeedRows, ask_seeds
from tailrace_shared.plan.filters import Filters, ScopeFacts
from tailrace_shared.plan.gaps import gaps_of
from tailrace_shared.plan.learning_facts import LearningFacts, ask_learning
from tailrace_shared.plan.links import doubtful_links, links_of
from tailrace_shared.plan.model import PlannedColumn
from tailrace_shared.plan.pool_facts import FanOutFacts, KeyFacts, ask_fan_outs, ask_keys
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import Decision, decide
from tailrace_shared.plan.scope import ColumnRef, ScopedTable, scope_of
from tailrace_shared.plan.scope_asker import ScopeAsker
from tailrace_shared.plan.scope_facts import ask_scope, path_of
from tailrace_shared.plan.view_facts import ViewFacts, view_facts, views_of
from tailrace_shared.plan.views import declared_views
from tailrace_shared.postgres import translated
from tailrace_shared.types import Frozen, qualified, quote_ident

QUESTION_MS: Final = 20_000
"""Longest time for one question; then the statistics must do, and the proof is labelled an estimate."""
ALL_QUESTIONS_S: Final = 120.0
"""Longest time for all of them together: the snapshot is held meanwhile."""
SAMPLE_PAGES: Final = 512
"""Blocks sampled per heap, for the widest row and for text without letters: 4 MB."""
VARLENA: Final = frozenset({"text", "bytes", "json", "other", "number"})
"""Families that can be large."""
UNCHANGEABLE: Final = r"^[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+$"
"""Only ASCII punctuation and space: a mask that keeps the shape can only give it back."""


class SourceFacts(Frozen):
    """Counts, sizes and key bounds of the source. The bounds are values: they never leave the planner."""

    distinct: dict[str, int] = Field(default_factory=dict)
    """Exact number of distinct values per ``schema.table.column``."""
    largest: dict[str, int] = Field(default_factory=dict)
    """Largest integer per ``schema.table.column``."""
    no_integers: dict[str, int] = Field(default_factory=dict)
    """Of numerics that are joined with integers: how many are none, or beyond bigint."""
    widest_bytes: dict[str, int] = Field(default_factory=dict)
    """Stored bytes of the widest sampled row per ``schema.table``; at least so wide are its largest."""
    views: dict[str, ViewFacts] = Field(default_factory=dict)
    """By name, what the source says of the views that the job names."""
    rows: ScopeFacts = ScopeFacts()
    """Which rows are carried. It may hold values: see ``ScopeFacts``."""
    demands: dict[str, int] = Field(default_factory=dict)
    """By ``plan.demands``, how often the source breaks what only the destination demands."""
    checks: dict[str, int] = Field(default_factory=dict)
    """By ``plan.counted_checks``, how many of the carried rows break a check as they will be, to a limit; with ``demands``."""
    learning: LearningFacts = LearningFacts()
    """Of tables that are learned."""
    seeds: dict[str, SeedRows] = Field(default_factory=dict)
    """By the table that they are for, rows of the source that a learned table is given. They are values."""
    keys: dict[str, KeyFacts] = Field(default_factory=dict)
    """By ``schema.table``, of carried tables that generated ones refer to."""
    fan_outs: dict[str, FanOutFacts] = Field(default_factory=dict)
    """By ``Link.about``, how rows of tables that are learned refer to others."""
    unchangeable: frozenset[str] = frozenset()
    """Text columns (``schema.table.column``) of whose sampled values some have no letter and no digit."""


async def gather_facts(
    connection: asyncpg.Connection,
    job: Job,
    catalogue: Catalogue,
    destination: Catalogue | None = None,
    environ: Mapping[str, str] = os.environ,
) -> SourceFacts:
    """Asks in the current transaction if there is one (the snapshot's). A question that takes too long is dropped.

    ``destination`` tells which foreign keys it has and which columns may be NULL there; without it, it is like the source.
    ``environ`` has the variables of conditions. Raises TransientError where the connection is lost, TerminalError where the
    source refuses a question.
    """
    problems = Problems()  # planning finds them again, and reports them
    asker = _Asker(connection)
    views = {str(table.name): await view_facts(asker.ask, rule, table) for table, rule in views_of(job, catalogue)}
    catalogue = declared_views(job, catalogue, views, problems)
    scope = scope_of(job, catalogue, problems)
    if job.destination.mode == "create":  # what is there now says nothing of the tables that will be
        destination = None
    target = (
        destination_to_be(scope, catalogue, catalogue) if job.destination.mode == "create" else destination or catalogue
    )
    names = partition_owners(catalogue, target)
    links = links_of(job, catalogue, target, names, problems)
    domains = domains_of(scope, catalogue, catalogue, names, links)
    decisions = decide(scope, domains, catalogue, problems)
    gaps = gaps_of(scope, links, target, decisions, problems)
    rows = await ask_scope(
        connection, scope, links, gaps,
        filters=lambda asked: Filters(scope, catalogue, gaps, asked),
        lookup=condition_lookup(job, environ), doubtful=doubtful_links(links, target, names),
    )  # fmt: skip
    keys: dict[str, KeyFacts] = {}
    fan_outs: dict[str, FanOutFacts] = {}
    if any(scoped.generated for scoped in scope.values()) and not rows.problems:
        counting = ScopeAsker(connection)
        keys = await ask_keys(counting, links, Filters(scope, catalogue, gaps, rows))
        fan_outs = await ask_fan_outs(counting, links, scope)
    distinct: dict[str, int] = {}
    largest: dict[str, int] = {}
    no_integers: dict[str, int] = {}
    widest: dict[str, int] = {}
    unchangeable: set[str] = set()
    for scoped in scope.values():
        table = scoped.table
        if not scoped.loaded or not _readable(table, catalogue):
            continue
        texts: list[str] = []
        for column in table.columns:
            ref = ColumnRef(table.name, column.name)
            decision, closure = decisions.get(ref), domains.of(ref)
            if decision is None:
                continue
            if _may_collide(column, decision, (table, target.table(table.name))):
                _keep(distinct, ref, await asker.ask(_distinct(ref, column)))
            elif _needs_largest(column, ref, closure, decisions):
                _keep(largest, ref, await asker.ask(_largest(ref, column)))
                if column.type.family == "number":
                    _keep(no_integers, ref, await asker.ask(_no_integers(ref, column)))
            if column.type.family == "text" and isinstance(decision.spec, Key | MaskText):
                texts.append(column.name)
        for heap in _heaps(table):
            if table.bytes > job.limits.message_bytes:
                _keep(widest, table.name, await asker.ask(_widest(table, heap)))
            found = (await asker.ask(_unchangeable(texts, heap)) or []) if texts else []
            unchangeable |= {f"{table.name}.{c}" for c, some in zip(texts, found, strict=False) if some}
    learning = await ask_learning(asker.ask, scope.values(), lambda table: _readable(table, catalogue))
    demands = {}
    if destination is not None:
        demands = await count_demands(
            asker.ask, scope.values(), lambda table: _readable(table, catalogue), destination,
            lambda ref: (decision := decisions.get(ref)) is not None and isinstance(decision.spec, Duplicate),
        )  # fmt: skip
    checks = {}
    if not rows.problems:
        filters, counting = Filters(scope, catalogue, gaps, rows), ScopeAsker(connection)

        async def broken(scoped: ScopedTable, question: str) -> Any:
            if rows.where and filters.rows(scoped.name):  # names as the readers understand them in the conditions
                return await counting.value(question, path=path_of(scoped.table))
            return await asker.ask(question, foreign=True)

        def planned(scoped: ScopedTable) -> tuple[PlannedColumn, ...]:
            return plan_columns(scoped, target, decisions, domains, SourceFacts(), problems)

        checks = await ask_checks(broken, filters, target, planned, lambda table: _readable(table, catalogue), demands)
    return SourceFacts(
        distinct=distinct, largest=largest, no_integers=no_integers, widest_bytes=widest,
        unchangeable=frozenset(unchangeable), views=views, rows=rows,
        demands=demands, checks=checks, learning=learning, keys=keys, fan_outs=fan_outs,
        seeds=await ask_seeds(asker.ask, scope.values()),
    )  # fmt: skip


def _keep(answers: dict[str, int], about: object, answer: int | None) -> None:
    """The largest answer per thing; none where there is none."""
    if answer is not None:
        answers[str(about)] = max(answer, answers.get(str(about), answer))


def _readable(table: Table, catalogue: Catalogue) -> bool:
    """Whether the role may ask; planning reports it where not."""
    may = catalogue.privileges
    return (
        not table.row_security
        and "SELECT" in may.get(str(table.name), ())
        and "USAGE" in may.get(table.name.schema_name, ())
    )


def _may_collide(column: Column, decision: Decision, sides: Iterable[Table | None]) -> bool:
    """A generator with a probability of collision, on a column of a unique index on either side."""
    return isinstance(decision.spec, MaskHash | UniqueMock) and in_unique_index(column.name, *sides)


def _needs_largest(
    column: Column, ref: ColumnRef, closure: Closure | None, decisions: Mapping[ColumnRef, Decision]
) -> bool:
    """Integer keys, once per closure: the others repeat the root's values. Numerics that are joined with integers."""
    if not isinstance(decisions[ref].spec, Key):
        return False
    if column.type.family == "number":
        return closure is not None and closure.shared and closure.family == "integer"
    members = (closure.root, *closure.members) if closure else (ref,)
    return column.type.family == "integer" and ref == next(m for m in members if m in decisions)


def _distinct(ref: ColumnRef, column: Column) -> str:
    table = qualified(ref.table.schema_name, ref.table.name)
    return f"SELECT count(DISTINCT {column.expression}) FROM {table}"


def _largest(ref: ColumnRef, column: Column) -> str:
    name, table = column.expression, qualified(ref.table.schema_name, ref.table.name)
    if column.type.family == "integer":
        return f"SELECT max({name})::int8 FROM {table}"
    return f"SELECT trunc(max({name}))::int8 FROM {table} WHERE {name} < {2**63 - 1}"  # not infinity, not NaN


def _no_integers(ref: ColumnRef, column: Column) -> str:
    name, table = column.expression, qualified(ref.table.schema_name, ref.table.name)
    return f"SELECT count(*) FROM {table} WHERE {name} <> trunc({name}) OR NOT abs({name}) < {2**63 - 1}"


def _heaps(table: Table) -> Iterable[Table | Partition]:
    """What can be sampled: TABLESAMPLE takes no partitioned table's blocks evenly, and no foreign table."""
    heaps: Iterable[Table | Partition] = table.partitions if table.kind == "p" else (table,)
    return (heap for heap in heaps if heap.pages > 0 and heap.kind in "rm")


def _widest(table: Table, heap: Table | Partition) -> str:
    """Stored width of the widest sampled row; ``pg_column_size`` does not fetch the values."""
    columns = [c.name for c in table.columns if c.type.family in VARLENA]
    width = " + ".join(f"COALESCE(pg_column_size({quote_ident(c)}), 0)" for c in columns) or "0"
    return f"SELECT max({width})::int8 FROM {_sample(heap)}"


def _unchangeable(columns: list[str], heap: Table | Partition) -> str:
    tests = ", ".join(f"COALESCE(bool_or({quote_ident(c)}::text ~ '{UNCHANGEABLE}'), false)" for c in columns)
    return f"SELECT ARRAY[{tests}] FROM {_sample(heap)}"


def _sample(heap: Table | Partition) -> str:
    percent = min(100.0, 100.0 * SAMPLE_PAGES / heap.pages)
    name = qualified(heap.name.schema_name, heap.name.name)
    return f"{name} TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (0)"


class _Asker:
    """Asks one question at a time, and not for ever."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._deadline = Deadline.after(ALL_QUESTIONS_S)

    async def ask(
        self,
        question: str,
        *parameters: object,
        limit_ms: int | None = None,
        row: bool = False,
        rows: bool = False,
        raises: bool = False,
        foreign: bool = False,
    ) -> Any:
        """The answer, or None where there is none, it takes too long, the role may not ask or a value is not one.

        A single value, or a whole ``row``, or all ``rows``. ``raises`` lets the server's refusal through. ``foreign`` says that
        the question is made of the other side's words: what this server does not know of them is no answer.
        """
        if self._deadline.expired:
            return None
        # The readers begin the snapshot's transaction by a statement; asyncpg's own transactions refuse to nest in such a one.
        nested = self._connection.is_in_transaction()
        with translated():
            # One trip for all three: hundreds of tables ask thousands of questions.
            await self._connection.execute(
                f"{'SAVEPOINT question' if nested else 'BEGIN'}; SET LOCAL statement_timeout = {limit_ms or QUESTION_MS}; "
                # Names are qualified, and definitions print alike only under one path.
                "SET LOCAL search_path = pg_catalog"
            )
            try:
                if rows:
                    return await self._connection.fetch(question, *parameters)
                if row:
                    return await self._connection.fetchrow(question, *parameters)
                return await self._connection.fetchval(question, *parameters)
            except asyncpg.QueryCanceledError:
                return None
            except (asyncpg.InsufficientPrivilegeError, asyncpg.DataError):
                if raises:
                    raise
                return None
            except asyncpg.SyntaxOrAccessError:
                if not foreign:
                    raise
                return None
            except asyncpg.IntegrityConstraintViolationError:  # a domain's check, of a value that is not in a row
                return None
            finally:
                if not self._connection.is_closed():
                    # drops the lock and the time limit
                    await self._connection.execute("ROLLBACK TO SAVEPOINT question" if nested else "ROLLBACK")
