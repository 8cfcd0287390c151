"""A draft of a job: a generator for every column, tried against the planner until it refuses nothing that a draft can mend.

The planner is the judge: what it refuses gives way to the next candidate of the column, and a table that cannot be carried is
left out with the planner's own reason. Pure; catalogues and facts are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from tailrace.init_links import Links
from tailrace.init_rules import Candidate, Preset, Subject, candidates
from tailrace_shared.catalogue.model import Catalogue, Column, Index, Table, TableName
from tailrace_shared.detect import Finding, concepts_of, detect, role_of
from tailrace_shared.generators import (
    Constant,
    Duplicate,
    GeneratorSpec,
    Key,
    MaskDate,
    MaskHash,
    MaskNumber,
    Mock,
    Null,
)
from tailrace_shared.job.spec import Destination, Job, Source, TableRule
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.domains import Closure, Domains, domains_of, partition_owners
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import DataKey, Fingerprints, Problem
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.rules import carried_columns
from tailrace_shared.plan.scope import ColumnRef, ScopedTable, scope_of

LEAVES_TABLE_OUT: Final = frozenset(
    {
        "plan.missing-table", "plan.inheritance", "plan.foreign-partition", "plan.not-a-table", "plan.no-partition",
        "plan.no-columns", "plan.missing-column", "plan.unfed-column",
    }
)  # fmt: skip
BOOKKEEPING: Final = frozenset(
    {
        "schema_migrations", "ar_internal_metadata", "flyway_schema_history", "alembic_version", "django_migrations",
        "databasechangelog", "databasechangeloglock", "__efmigrationshistory", "knex_migrations", "knex_migrations_lock",
        "_prisma_migrations", "goose_db_version", "schema_version", "phinxlog", "typeorm_metadata", "sequelizemeta",
    }
)  # fmt: skip
"""Tables in which tools note which migrations have run: part of the schema, not of the data."""
MAY_REPEAT: Final = (Mock, MaskNumber, MaskDate, MaskHash, Constant)
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
    domains = domains_of(scope, source, destination, partition_owners(source, destination))
    carried = {n: carried_columns(t, destination, problems) for n, t in scope.items()}
    found = {ColumnRef(n, c.name): detect(c, n.name) for n, columns in carried.items() for c in columns}
    draft = Draft(
        head, preset, source, destination, scope, domains, found, carried, Links({n: t.table for n, t in scope.items()})
    )
    for table in scope:
        if table.name.lower() in BOOKKEEPING:
            draft.modes[table] = _bookkeeping(destination.table(table))
            del carried[table]
    _choose(draft)
    return draft


def settle(draft: Draft, facts: SourceFacts) -> Draft:
    """Try the draft against the planner until it says nothing more that a draft can mend. Keeps what it says at last."""
    mended = True
    while mended:
        errors = _errors(draft, facts)
        refused: set[ColumnRef] = set()
        mended = False
        for problem in errors:
            mended |= _mend(draft, problem, refused)
        mended |= _unlink(draft)
    draft.left = tuple(p for p in errors if not _is_open(draft, p))
    return draft


def gentler(draft: Draft, facts: SourceFacts) -> Draft:
    """With constraints respected where the destination's role may not drop them, if that leaves less in the way."""
    if not draft.left:
        return draft
    destination = draft.head.destination.model_copy(update={"constraints": "respect"})
    other = replace(draft, head=draft.head.model_copy(update={"destination": destination}))
    errors = tuple(p for p in _errors(other, facts) if not _is_open(other, p))
    return replace(other, left=errors) if len(errors) < len(draft.left) else draft


def _choose(draft: Draft) -> None:
    """A choice for every column that decides for itself and has none yet."""
    for table, columns in draft.carried.items():
        for column in columns:
            ref = ColumnRef(table, column.name)
            if ref not in draft.choices and draft.leader(ref) == ref:
                draft.choices[ref] = _choice(draft, draft.scope[table].table, column)


def _unlink(draft: Draft) -> bool:
    """A guessed reference to a key that is not masked by `key` after all goes on to its next candidate."""
    changed = False
    for choice in draft.choices.values():
        rule = choice.taken.rule
        if isinstance(rule, Key) and rule.domain:
            root = next((c for r, c in draft.choices.items() if str(r) == rule.domain), None)
            if root is None or not isinstance(root.taken.rule, Key):
                changed |= choice.refuse(f"{rule.domain} has another rule")
    return changed


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
    return Choice(ref, column, finding, candidates(subject, draft.preset), followers=tuple(members))


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


def _errors(draft: Draft, facts: SourceFacts) -> list[Problem]:
    """What stands against the draft, whatever the destination's tables hold now."""
    job = draft.job
    emptied = job.destination.model_copy(update={"mode": "truncate"})
    result = build_plan(
        job.model_copy(update={"destination": emptied}),
        draft.source,
        draft.destination,
        run="",
        attempt=1,
        fingerprints=Fingerprints(mask_secret="", catalogue="", pools=""),
        key=DataKey(id="", wrapped=""),
        facts=facts,
    )
    return [p for p in result.problems if p.severity == "error"]


def _mend(draft: Draft, problem: Problem, refused: set[ColumnRef]) -> bool:
    """Change the draft so that this problem goes away; False where it cannot. A column is refused once per round."""
    table = _table_at(draft, problem.where)
    if table and (problem.code in LEAVES_TABLE_OUT or _unreadable(draft, table)):
        return _leave_out(draft, table, problem)
    if problem.code == "plan.outside-parent":
        return _cut(draft, problem)
    if _is_open(draft, problem):
        return False
    mended = False
    for ref in set(_columns_at(draft, problem)) - refused:
        if draft.choices[ref].refuse(problem.message):
            refused.add(ref)
            mended = True
    return mended


def _unreadable(draft: Draft, table: TableName) -> bool:
    """Whether the source's role does not see the table's rows, or not all of them."""
    found = draft.source.table(table)
    names = [str(table), *(str(p.name) for p in (found.partitions if found else ()))]
    may = draft.source.privileges
    granted = all("SELECT" in may.get(n, ("SELECT",)) for n in names)
    return not granted or bool(found and found.row_security)


def _leave_out(draft: Draft, table: TableName, problem: Problem) -> bool:
    if table in draft.modes and draft.modes[table][0] == "exclude":
        return False
    inner = problem.where.removeprefix(str(table)).lstrip(".")
    draft.modes[table] = ("exclude", f"{inner}: {problem.message}" if inner else problem.message)
    draft.carried.pop(table, None)
    for ref in [r for r in draft.choices if r.table == table]:
        del draft.choices[ref]
    _choose(draft)  # a key whose root stays out is decided by another column
    return True


def _cut(draft: Draft, problem: Problem) -> bool:
    """A foreign key to a table that gets no rows: NULL where it may be, else its table stays out, too."""
    for key in draft.destination.foreign_keys:
        table = partition_owners(draft.destination).get(key.table, key.table)
        if problem.where != f"{key.table} foreign key {key.name}" or table not in draft.scope:
            continue
        target = draft.destination.table(table)
        for name in key.columns:
            column = target.column(name) if target else None
            if column and column.nullable and ColumnRef(table, name) not in draft.nulled:
                draft.nulled[ColumnRef(table, name)] = f"{key.references} does not travel"
                return True
        return _leave_out(draft, table, problem.model_copy(update={"where": str(table)}))
    return False


def _table_at(draft: Draft, where: str) -> TableName | None:
    """The table of a place: ``public.customer``, or a column or partition of it."""
    owners = {str(p): t for p, t in partition_owners(draft.source, draft.destination).items()}
    if where in owners:
        return owners[where] if owners[where] in draft.scope else None
    named = {str(n): n for n in draft.scope}
    if where in named:
        return named[where]
    for name, columns in draft.carried.items():
        target = draft.destination.table(name)
        if any(where == f"{name}.{c.name}" for c in (*columns, *(target.columns if target else ()))):
            return name
    return None


def _columns_at(draft: Draft, problem: Problem) -> list[ColumnRef]:
    """Columns with a rule of their own that the problem is about."""
    refs = [r for r in _refs(draft) if str(r) == problem.where]
    if not refs:
        refs = [
            ref
            for name, index in _indexes(draft)
            if f"{name} index {index.name}" == problem.where
            for ref in _to_blame(draft, name, index)
        ]
    if not refs:
        refs = [c.root for c in draft.domains.closures.values() if c.domain == problem.where][:1]
    leaders = dict.fromkeys(draft.leader(r) for r in refs)
    return [r for r in leaders if r in draft.choices]


def _refs(draft: Draft) -> Iterable[ColumnRef]:
    return (ColumnRef(n, c.name) for n, columns in draft.carried.items() for c in columns)


def _indexes(draft: Draft) -> Iterable[tuple[TableName, Index]]:
    for name in draft.scope:
        target = draft.destination.table(name)
        yield from ((name, index) for index in (target.indexes if target else ()))


def _to_blame(draft: Draft, table: TableName, index: Index) -> list[ColumnRef]:
    """Of the columns of a unique index, those whose rules may repeat a value; else all that are changed."""
    refs = [draft.leader(ColumnRef(table, name)) for name in index.uses]
    rules = {r: draft.choices[r].taken.rule for r in refs if r in draft.choices}
    repeat = [r for r, rule in rules.items() if isinstance(rule, MAY_REPEAT)]
    return repeat or [r for r, rule in rules.items() if rule is not None and not isinstance(rule, Duplicate)]


def _is_open(draft: Draft, problem: Problem) -> bool:
    """Whether the problem is a question that the draft asks on purpose."""
    return problem.code == "plan.no-rule" and any(
        c.open and str(c.ref) == problem.where for c in draft.choices.values()
    )
