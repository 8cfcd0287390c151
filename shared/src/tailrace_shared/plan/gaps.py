"""Gaps: links whose referenced rows are not all carried, and what becomes of the rows that miss theirs.

A table is *reduced* when fewer of its rows are carried than there are: by its condition, its row limit, or because rows were
excluded along with what they refer to; the last is a fixpoint over the links. Which rows these are is ``filters``' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tailrace_shared.catalogue.model import Catalogue, Table, TableName
from tailrace_shared.generators import Null
from tailrace_shared.job.spec import MissingParents
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.order import components
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import Decision
from tailrace_shared.plan.scope import ColumnRef, ScopedTable

Scope = Mapping[TableName, ScopedTable]


@dataclass(frozen=True)
class Gap:
    """A link with a side that is not carried whole."""

    link: Link
    action: MissingParents
    outside: bool
    """No row at all of the referenced table is carried."""
    nulled: tuple[str, ...] = ()
    """Columns that become NULL (nullify)."""
    inner: bool = False
    """Part of a cycle of exclusions: one excluded row decides about others."""


@dataclass(frozen=True)
class Gaps:
    """All gaps, and the tables that are reduced."""

    reduced: frozenset[TableName]
    all: tuple[Gap, ...]

    def of(self, child: TableName, *actions: MissingParents) -> list[Gap]:
        """A table's gaps with one of these actions."""
        return [gap for gap in self.all if gap.link.child == child and gap.action in actions]


def gaps_of(
    scope: Scope,
    links: Sequence[Link],
    destination: Catalogue,
    decisions: Mapping[ColumnRef, Decision],
    problems: Problems,
) -> Gaps:
    """What the job's ``missing_parents`` says of every link; what it asks for and cannot be is an error."""
    carried = {name for name, table in scope.items() if table.loaded and table.limit != 0}
    made = {name for name, table in scope.items() if table.generated}  # references to made rows are made, too
    live = [k for k in links if k.child in carried and k.parent not in made and not _points_nowhere(k, decisions)]
    reduced = {name for name in carried if scope[name].where or scope[name].limit is not None}
    excluding = [link for link in live if scope[link.child].missing_parents == "exclude"]
    grown = True
    while grown:
        more = {k.child for k in excluding if k.parent in reduced or k.parent not in carried} - reduced
        reduced |= more
        grown = bool(more)
    found = []
    for link in live:
        outside = link.parent not in carried
        action = scope[link.child].missing_parents
        if not outside and link.parent not in reduced:
            continue
        if action == "refuse" and (not link.enforced or (outside and not link.virtual and not _loaded(scope, link))):
            continue  # a declared key to a table that is left alone: ``references`` looks at both sides of it
        if link.temporal and not outside:
            problems.error(
                "temporal-gap", link.about, f"a key over periods, and not all rows of {link.parent} are carried",
                f"Carry {link.parent} whole: {_because(link, scope, reduced)}.",
            )  # fmt: skip
            continue
        found.append(Gap(link, action, outside))
    found = [_nullified(gap, links, destination, problems) if gap.action == "nullify" else gap for gap in found]
    return Gaps(frozenset(reduced), tuple(_with_cycles(found)))


def nullable(table: Table | None, column: str) -> bool:
    """Whether the column may be NULL there; a table that is not known may be asked anything."""
    found = table.column(column) if table else None
    return found is None or found.nullable


def _loaded(scope: Scope, link: Link) -> bool:
    parent = scope.get(link.parent)
    return parent is not None and parent.loaded


def _points_nowhere(link: Link, decisions: Mapping[ColumnRef, Decision]) -> bool:
    """The rule null makes the reference NULL anyway: of one column, or of all under MATCH FULL."""
    nulled = [
        (found := decisions.get(ColumnRef(link.child, column))) is not None and isinstance(found.spec, Null)
        for column in link.columns
    ]
    return all(nulled) if link.full else any(nulled)


def _because(link: Link, scope: Scope, reduced: Iterable[TableName]) -> str:
    parent = scope.get(link.parent)
    if parent and parent.where:
        return "it has a `where`"
    if parent and parent.limit is not None:
        return "it has a row limit"
    return "rows of it are excluded"


def _nullified(gap: Gap, links: Sequence[Link], destination: Catalogue, problems: Problems) -> Gap:
    """The gap with the columns that become NULL; an error where none may."""
    link = gap.link
    target = destination.table(link.child)
    candidates = [c for c in link.columns if nullable(target, c) and not _generated(target, c)]
    if not candidates or (link.full and len(candidates) < len(link.columns)):
        problems.error(
            "nullify", link.about, f"the reference cannot become NULL: {', '.join(link.columns)} is NOT NULL in the destination",
            f"Set missing_parents: exclude for {link.child}, or carry all of {link.parent}.",
        )  # fmt: skip
        return gap
    others = [k for k in links if k.child == link.child and k != link and not k.virtual]
    alone = [c for c in candidates if not any(c in other.columns for other in others)]
    nulled = tuple(link.columns if link.full else alone or candidates)
    torn = [k for k in others if k.full and 0 < len(set(k.columns) & set(nulled)) < len(k.columns)]
    referred = [k for k in links if k.parent == link.child and set(k.referenced) & set(nulled)]
    unique = [
        i
        for i in (target.indexes if target else ())
        if i.unique and i.nulls_not_distinct and set(i.columns) & set(nulled)
    ]
    parted = [c for c in nulled if target and c in target.partition_columns]
    why = ""
    if torn:
        why = f"foreign key {torn[0].name} has some of these columns, and takes all NULL or none (MATCH FULL)"
    elif referred:
        why = f"{referred[0].about} refers to what would become NULL"
    elif unique:
        why = f"the unique index {unique[0].name} takes one NULL only (NULLS NOT DISTINCT)"
    elif parted:
        why = f"the destination is partitioned by {parted[0]}"
    if why:
        problems.error(
            "nullify", link.about, f"the reference cannot become NULL: {why}",
            f"Set missing_parents: exclude for {link.child}, or carry all of {link.parent}.",
        )  # fmt: skip
    for check in target.checks if target else ():
        if set(check.columns) & set(nulled):
            problems.warning(
                "nullify-check", f"{link.child} check {check.name}", f"it is over {', '.join(nulled)}, which become NULL",
                "A row that it refuses then fails the load: exclude rows instead where that happens.",
            )  # fmt: skip
    return replace(gap, nulled=nulled)


def _generated(table: Table | None, column: str) -> bool:
    found = table.column(column) if table else None
    return found is not None and bool(found.generated)


def _with_cycles(gaps: list[Gap]) -> list[Gap]:
    """Exclusions inside of a strongly connected component are marked."""
    names = sorted({n for gap in gaps for n in (gap.link.child, gap.link.parent)})
    number = {name: place for place, name in enumerate(names)}
    edges: dict[int, set[int]] = {place: set() for place in number.values()}
    excluding = [gap for gap in gaps if gap.action == "exclude" and not gap.outside]
    for gap in excluding:
        edges[number[gap.link.child]].add(number[gap.link.parent])
    component = components(edges)
    return [
        replace(gap, inner=True)
        if gap in excluding and component[number[gap.link.child]] == component[number[gap.link.parent]]
        else gap
        for gap in gaps
    ]
