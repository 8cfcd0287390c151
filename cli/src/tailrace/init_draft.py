"""A draft of a job: which columns have a rule of their own, and what may be tried for each. Pure; catalogues are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from tailrace.init_checks import meeting
from tailrace.init_create import creating
from tailrace.init_links import Links
from tailrace.init_rules import Candidate, Preset, Subject, candidates
from tailrace_shared.catalogue.model import Catalogue, Column, Table, TableName
from tailrace_shared.detect import Finding, concepts_of, detect, role_of
from tailrace_shared.generators import (
    GeneratorSpec,
    Null,
)
from tailrace_shared.job.spec import Destination, Job, Source, TableRule
from tailrace_shared.plan.domains import Closure, Domains, domains_of, partition_owners
from tailrace_shared.plan.model import Problem
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import carried_columns
from tailrace_shared.plan.scope import ColumnRef, ScopedTable, scope_of

BOOKKEEPING: Final = frozenset(
    {
        "schema_migrations", "ar_internal_metadata", "flyway_schema_history", "alembic_version", "django_migrations",
        "databasechangelog", "databasechangeloglock", "__efmigrationshistory", "knex_migrations", "knex_migrations_lock",
        "_prisma_migrations", "goose_db_version", "schema_version", "phinxlog", "typeorm_metadata", "sequelizemeta",
    }
)  # fmt: skip
"""Tables in which tools note which migrations have run: part of the schema, not of the data."""
Constraints = Literal["bypass", "respect"]


@dataclass
class Choice:
    """A column that has a rule of its own, and what may still be tried."""

    ref: ColumnRef
    column: Column
    finding: Finding | None
    options: Sequence[Candidate]
    place: int = 0
    refusals: list[str] = field(default_factory=list)
    """What the planner said against the earlier candidates."""
    followers: tuple[ColumnRef, ...] = ()

    @property
    def taken(self) -> Candidate:
        return self.options[self.place]

    @property
    def open(self) -> bool:
        """Nothing fits: a person decides."""
        return self.taken.rule is None

    def refuse(self, reason: str) -> bool:
        """Go on to the next candidate; False when this was the last."""
        if self.place + 1 >= len(self.options):
            return False
        if self.taken.rule is not None:
            self.refusals.append(reason)
        self.place += 1
        return True


@dataclass
class Draft:
    """A job in the making, and what is to be said of it."""

    head: Job
    """Without tables."""
    preset: Preset
    source: Catalogue
    destination: Catalogue
    scope: dict[TableName, ScopedTable]
    domains: Domains
    findings: dict[ColumnRef, Finding | None]
    carried: dict[TableName, list[Column]]
    """Columns of the tables that travel by rules."""
    links: Links
    choices: dict[ColumnRef, Choice] = field(default_factory=dict)
    modes: dict[TableName, tuple[Literal["exclude", "duplicate"], str]] = field(default_factory=dict)
    """Tables that do not travel by rules, and why."""
    nulled: dict[ColumnRef, str] = field(default_factory=dict)
    """Foreign keys of a table that refer to one which does not travel."""
    left: tuple[Problem, ...] = ()
    """Errors of the plan that a draft cannot mend, and that are no open question."""

    @property
    def job(self) -> Job:
        """The job as drafted so far."""
        tables = {}
        for name in self.scope:
            if name in self.modes:
                tables[str(name)] = TableRule(mode=self.modes[name][0])
                continue
            rules: dict[str, GeneratorSpec] = {}
            for column in self.carried[name]:
                ref = ColumnRef(name, column.name)
                choice = self.choices.get(ref)
                if ref in self.nulled:
                    rules[column.name] = Null()
                elif choice and choice.taken.rule is not None:
                    rules[column.name] = choice.taken.rule
            tables[str(name)] = TableRule(columns=rules)  # type: ignore[arg-type]  # every spec is of the union
        return self.head.model_copy(update={"tables": tables})

    def leave_out(self, table: TableName, why: str) -> bool:
        """Exclude a table; a key whose root stays out is decided by another column. False where it was out already."""
        if table in self.modes and self.modes[table][0] == "exclude":
            return False
        self.modes[table] = ("exclude", why)
        self.carried.pop(table, None)
        for ref in [r for r in self.choices if r.table == table]:
            del self.choices[ref]
        _choose(self)
        return True

    def leader(self, ref: ColumnRef) -> ColumnRef:
        """The column whose rule decides for this one: its closure's root if that is carried, else its first carried member."""
        closure = self.domains.of(ref)
        return ref if closure is None else _leader(closure, self.carried)


def begin(
    preset: Preset,
    source: Catalogue,
    destination: Catalogue,
    *,
    name: str,
    source_url: str,
    destination_url: str,
    schemas: tuple[str, ...],
) -> Draft:
    """The first draft: every column's best candidate."""
    head = Job(name=name, source=Source(url=source_url), destination=Destination(url=destination_url), schemas=schemas)
    problems = Problems()  # whatever they are, the plan of the draft finds them again
    scope = scope_of(head, source, problems)
    head, destination = creating(head, scope, source, destination)
    domains = domains_of(scope, source, destination, partition_owners(source, destination))
    carried = {n: carried_columns(t, destination, problems) for n, t in scope.items()}
    names = {n: [c.name for c in t.table.columns] for n, t in scope.items()}
    found = {ColumnRef(n, c.name): detect(c, n.name, names[n]) for n, columns in carried.items() for c in columns}
    draft = Draft(
        head, preset, source, destination, scope, domains, found, carried, Links({n: t.table for n, t in scope.items()})
    )
    for table in scope:
        if table.name.lower() in BOOKKEEPING:
            draft.modes[table] = _bookkeeping(destination.table(table))
            del carried[table]
    _choose(draft)
    return draft


def _choose(draft: Draft) -> None:
    """A choice for every column that decides for itself and has none yet."""
    for table, columns in draft.carried.items():
        for column in columns:
            ref = ColumnRef(table, column.name)
            if ref not in draft.choices and draft.leader(ref) == ref:
                draft.choices[ref] = _choice(draft, draft.scope[table].table, column)


def _choice(draft: Draft, table: Table, column: Column) -> Choice:
    ref, found = ColumnRef(table.name, column.name), draft.findings
    closure = draft.domains.of(ref)
    members = [m for m in closure.members if m != ref and m in found] if closure else []
    finding = next((f for r in (ref, *members) if (f := found[r])), None)
    if column.type.base == "tsvector" and finding and not _searches_personal(table, found):
        finding = None
    target = draft.destination.table(table.name)
    theirs = (target.column(column.name) if target else None) or column
    means = None if members or table.primary_key == (column.name,) else draft.links.target(ref, column)
    if means and (means.table not in draft.carried or draft.leader(means) != means):
        means = None
    subject = Subject(
        table,
        column,
        nullable=theirs.nullable,
        finding=finding,
        identifies=bool(members) or _identifies(table, column),
        in_key=closure is not None,
        means=str(means) if means else None,
    )
    proposed = candidates(subject, draft.preset)
    checks = [check for check in (target or table).checks if column.name in check.columns]
    return Choice(
        ref, column, finding, meeting(proposed, theirs, checks) if checks else proposed, followers=tuple(members)
    )


def _identifies(table: Table, column: Column) -> bool:
    """A primary key, or the part of one that is called an id."""
    key = table.primary_key
    return key == (column.name,) or (column.name in key and any("id" in c for c in concepts_of(column.name)))


def _searches_personal(table: Table, found: Mapping[ColumnRef, Finding | None]) -> bool:
    """Whether a search vector may hold words of somebody: only one of things without a personal column surely does not."""
    texts = (c.name for c in table.columns if c.type.family == "text")
    return role_of(table.name.name) != "thing" or any(found.get(ColumnRef(table.name, name)) for name in texts)


def _bookkeeping(target: Table | None) -> tuple[Literal["exclude", "duplicate"], str]:
    if target and target.has_rows:
        return "exclude", "which migrations have run: the destination has its own"
    return "duplicate", "which migrations have run: they are part of the schema"


def _leader(closure: Closure, carried: dict[TableName, list[Column]]) -> ColumnRef:
    for ref in (closure.root, *closure.members):
        if any(c.name == ref.column for c in carried.get(ref.table, ())):
            return ref
    return closure.root
