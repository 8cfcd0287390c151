"""Candidates that become NULL or a constant under a check: the source's rows tell which of them meet it.

A draft whose plan does not prove a check takes such a candidate before one that nobody can judge, and leaves one that some row
breaks. It ends: each column is tried once, and what breaks a check spends a candidate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import asyncpg

from tailrace.init_draft import Choice, Draft
from tailrace.init_settle import Places, problems_of, settle
from tailrace_shared.generators import Constant, Duplicate, Null
from tailrace_shared.plan.check_facts import ask_checks
from tailrace_shared.plan.columns import plan_columns
from tailrace_shared.plan.domains import domains_of, partition_owners
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.filters import Filters, ScopeFacts
from tailrace_shared.plan.gaps import gaps_of
from tailrace_shared.plan.links import links_of
from tailrace_shared.plan.model import PlannedColumn
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import decide
from tailrace_shared.plan.scope import ColumnRef, ScopedTable, scope_of
from tailrace_shared.plan.scope_asker import ScopeAsker

TRIALS_MAX: Final = 100
"""Columns that are tried: each trial plans the draft again."""


async def settle_counted(draft: Draft, facts: SourceFacts, source: asyncpg.Connection) -> SourceFacts:
    """Settles the draft, by what the source's rows say of its checks as well; the facts with that in them."""
    asker = ScopeAsker(source)
    tried: set[ColumnRef] = set()
    before = None
    while before != draft.job:
        before = draft.job
        facts = await _counted(draft, facts, asker)
        settle(draft, facts)
        facts = await _prefer(draft, facts, asker, tried)
    return facts


async def _prefer(draft: Draft, facts: SourceFacts, asker: ScopeAsker, tried: set[ColumnRef]) -> SourceFacts:
    """Takes for one column a candidate that the rows prove, where there is one."""
    doubts = _doubts(draft, facts)
    for choice in list(_doubtful(draft, doubts)):
        if choice.ref in tried or len(tried) >= TRIALS_MAX:
            continue
        tried.add(choice.ref)
        options, place = choice.options, choice.place
        for at, candidate in enumerate(options[place + 1 :], place + 1):
            if not isinstance(candidate.rule, Null | Constant):
                continue
            choice.options = (*options[:place], candidate, *options[place:at], *options[at + 1 :])
            found = await _counted(draft, facts, asker)
            left = _doubts(draft, found)
            if left < doubts:
                return found
            choice.options = options
    return facts


def _doubts(draft: Draft, facts: SourceFacts) -> frozenset[tuple[str, str]]:
    """Everything that stands against the draft, and the checks that are not proved."""
    return frozenset(
        (p.code, p.where) for p in problems_of(draft, facts) if p.severity == "error" or p.code == "plan.check"
    )


def _doubtful(draft: Draft, doubts: frozenset[tuple[str, str]]) -> Iterator[Choice]:
    places = Places(draft)
    for code, where in sorted(doubts):
        if code == "plan.check" and where in places.checks:
            table, check = places.checks[where]
            for name in check.columns:
                choice = draft.choices.get(draft.leader(ColumnRef(table, name)))
                if choice and choice.taken.rule is not None and not isinstance(choice.taken.rule, Duplicate):
                    yield choice


async def _counted(draft: Draft, facts: SourceFacts, asker: ScopeAsker) -> SourceFacts:
    """The facts with the answers that the draft's rules need."""
    problems = Problems()  # planning finds them again
    job, source, target = draft.job, draft.source, draft.destination
    scope = scope_of(job, source, problems)
    names = partition_owners(source, target)
    links = links_of(job, source, target, names, problems)
    domains = domains_of(scope, source, target, names, links)
    decisions = decide(scope, domains, target, problems)
    filters = Filters(scope, source, gaps_of(scope, links, target, decisions, problems), ScopeFacts())

    async def broken(scoped: ScopedTable, question: str) -> Any:
        return await asker.value(question, path="pg_catalog")

    def planned(scoped: ScopedTable) -> tuple[PlannedColumn, ...]:
        return plan_columns(scoped, target, decisions, domains, SourceFacts(), problems)

    checks = await ask_checks(broken, filters, target, planned, lambda table: not table.row_security, facts.checks)
    return facts.model_copy(update={"checks": checks})
