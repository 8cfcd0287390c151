"""Trying a draft against the planner until it refuses nothing that a draft can mend.

The planner is the judge: what it refuses gives way to the next candidate of the column, and a table that cannot be carried is
left out with the planner's own reason. Pure; facts are given. It ends: every step spends a candidate, a table or a key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from tailrace.init_create import as_if_empty
from tailrace.init_draft import Draft
from tailrace_shared.catalogue.model import CheckConstraint, ForeignKey, Index, TableName
from tailrace_shared.generators import Constant, Duplicate, Key, MaskDate, MaskHash, MaskNumber, Mock, Null
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.domains import partition_owners
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import DataKey, Fingerprints, Problem
from tailrace_shared.plan.scope import ColumnRef

LEAVES_TABLE_OUT: Final = frozenset(
    {
        "plan.missing-table", "plan.inheritance", "plan.foreign-partition", "plan.not-a-table", "plan.no-partition",
        "plan.no-columns", "plan.missing-column", "plan.unfed-column",
    }
)  # fmt: skip
MAY_REPEAT: Final = (Mock, MaskNumber, MaskDate, MaskHash, Constant)


def settle(draft: Draft, facts: SourceFacts) -> Draft:
    """Mend and plan again, as long as there is something to mend. Keeps what the planner says at last."""
    places = Places(draft)
    errors = _errors(draft, facts)
    while _leave_out(draft, places, errors) or _mend(draft, places, errors):
        errors = _errors(draft, facts)
    draft.left = _unasked(draft, errors)
    return draft


def gentler(draft: Draft, facts: SourceFacts) -> Draft:
    """With constraints respected where the destination's role may not drop them, if that leaves less in the way."""
    if not draft.left or draft.head.destination.mode == "create":
        return draft
    destination = draft.head.destination.model_copy(update={"constraints": "respect"})
    other = replace(draft, head=draft.head.model_copy(update={"destination": destination}))
    left = _unasked(other, _errors(other, facts))
    return replace(other, left=left) if len(left) < len(draft.left) else draft


class Places:
    """What the planner's problems name, by how they name it."""

    def __init__(self, draft: Draft) -> None:
        owners = partition_owners(draft.source, draft.destination)
        self.columns: dict[str, ColumnRef] = {}
        self.tables: dict[str, TableName] = {str(p): t for p, t in owners.items() if t in draft.scope}
        self.indexes: dict[str, tuple[TableName, Index]] = {}
        self.keys: dict[str, tuple[TableName, ForeignKey]] = {}
        self.checks: dict[str, tuple[TableName, CheckConstraint]] = {}
        self.domains: dict[str, ColumnRef] = {c.domain: c.root for c in draft.domains.closures.values()}
        for name in draft.scope:
            self.tables[str(name)] = name
            target = draft.destination.table(name)
            for column in (*draft.scope[name].table.columns, *(target.columns if target else ())):
                self.columns[f"{name}.{column.name}"] = ColumnRef(name, column.name)
            for index in target.indexes if target else ():
                self.indexes[f"{name} index {index.name}"] = (name, index)
            for check in target.checks if target else ():
                of = f" (domain {check.domain})" if check.domain else ""
                self.checks[f"{name} check {check.name}{of}"] = (name, check)
        for key in draft.destination.foreign_keys:
            table = owners.get(key.table, key.table)
            if table in draft.scope:
                self.keys[f"{key.table} foreign key {key.name}"] = (table, key)

    def table(self, where: str) -> TableName | None:
        """The table that is named, or whose column or partition is."""
        column = self.columns.get(where)
        return column.table if column else self.tables.get(where)


def problems_of(draft: Draft, facts: SourceFacts) -> tuple[Problem, ...]:
    """What the planner says of the draft, whatever the destination's tables hold now."""
    job = draft.job
    result = build_plan(
        job.model_copy(update={"destination": as_if_empty(job.destination)}),
        draft.source,
        draft.destination,
        run="",
        attempt=1,
        fingerprints=Fingerprints(mask_secret="", catalogue="", pools=""),
        key=DataKey(id="", wrapped=""),
        facts=facts,
    )
    return result.problems


def _errors(draft: Draft, facts: SourceFacts) -> list[Problem]:
    return [p for p in problems_of(draft, facts) if p.severity == "error"]


def _unasked(draft: Draft, errors: Iterable[Problem]) -> tuple[Problem, ...]:
    """Errors but for the questions that the draft asks on purpose."""
    asked = {str(c.ref) for c in draft.choices.values() if c.open}
    return tuple(p for p in errors if p.code != "plan.no-rule" or p.where not in asked)


def _leave_out(draft: Draft, places: Places, errors: Iterable[Problem]) -> bool:
    """Tables that cannot be carried; first of all, since without them other problems are gone."""
    left = False
    for problem in errors:
        table = places.table(problem.where)
        if table and (problem.code in LEAVES_TABLE_OUT or _unreadable(draft, table)):
            inner = problem.where.removeprefix(str(table)).lstrip(".")
            left |= draft.leave_out(table, f"{inner}: {problem.message}" if inner else problem.message)
    return left


def _unreadable(draft: Draft, table: TableName) -> bool:
    """Whether the source's role does not see the table's rows, or not all of them."""
    found = draft.source.table(table)
    names = [str(table), *(str(p.name) for p in (found.partitions if found else ()))]
    may = draft.source.privileges
    granted = all("SELECT" in may.get(n, ("SELECT",)) for n in names)
    return not granted or bool(found and found.row_security)


def _mend(draft: Draft, places: Places, errors: Iterable[Problem]) -> bool:
    """The next candidates of the columns that are to blame, each column once."""
    refused: set[ColumnRef] = set()
    mended = False
    for problem in _unasked(draft, errors):
        if problem.code == "plan.outside-parent":
            mended |= _cut(draft, places, problem)
            continue
        for ref in set(_to_blame(draft, places, problem.where)) - refused:
            if draft.choices[ref].refuse(problem.message):
                refused.add(ref)
                mended = True
    return _unlink(draft) or mended


def _cut(draft: Draft, places: Places, problem: Problem) -> bool:
    """A foreign key to a table that gets no rows: NULL where it may be, else its table stays out, too."""
    if problem.where not in places.keys:
        return False
    table, key = places.keys[problem.where]
    target = draft.destination.table(table)
    for name in key.columns:
        column = target.column(name) if target else None
        if column and column.nullable and ColumnRef(table, name) not in draft.nulled:
            draft.nulled[ColumnRef(table, name)] = f"{key.references} does not travel"
            return True
    return draft.leave_out(table, problem.message)


def _to_blame(draft: Draft, places: Places, where: str) -> list[ColumnRef]:
    """Columns with a rule of their own that a problem is about."""
    if where in places.columns:
        refs = [places.columns[where]]
    elif where in places.indexes:
        refs = _repeating(draft, *places.indexes[where])
    elif where in places.checks:
        refs = _breaking(draft, *places.checks[where])
    else:
        refs = [places.domains[where]] if where in places.domains else []
    leaders = dict.fromkeys(draft.leader(r) for r in refs)
    return [r for r in leaders if r in draft.choices]


def _repeating(draft: Draft, table: TableName, index: Index) -> list[ColumnRef]:
    """Of the columns of a unique index, those whose rules may repeat a value; else all that are changed."""
    refs = [draft.leader(ColumnRef(table, name)) for name in index.uses]
    rules = {r: draft.choices[r].taken.rule for r in refs if r in draft.choices}
    repeat = [r for r, rule in rules.items() if isinstance(rule, MAY_REPEAT)]
    return repeat or [r for r, rule in rules.items() if rule is not None and not isinstance(rule, Duplicate)]


def _breaking(draft: Draft, table: TableName, check: CheckConstraint) -> list[ColumnRef]:
    """Of the columns of a check that become NULL or a constant, one: rather one that something else may be tried for."""
    refs = [draft.leader(ColumnRef(table, name)) for name in check.columns]
    fixed = [r for r in refs if r in draft.choices and isinstance(draft.choices[r].taken.rule, Null | Constant)]
    left = [r for r in fixed if any(c.rule is not None for c in draft.choices[r].options[draft.choices[r].place + 1 :])]
    return (left or fixed)[:1]


def _unlink(draft: Draft) -> bool:
    """A guessed reference to a key that is not masked by `key` after all goes on to its next candidate."""
    linked = [c for c in draft.choices.values() if isinstance(c.taken.rule, Key) and c.taken.rule.domain]
    keys = {str(r) for r, c in draft.choices.items() if isinstance(c.taken.rule, Key)} if linked else set()
    changed = False
    for choice in linked:
        domain = choice.taken.rule.domain if choice.taken.rule else None
        if domain not in keys:
            changed |= choice.refuse(f"{domain} has another rule")
    return changed
