"""A job that makes every table from nothing: drafted column by column, mended with what the planner says against it. Pure.

It ends: every step spends a proposal, halves a table's rows, nulls a key or leaves a table empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from tailrace.init_create import as_if_empty, creating
from tailrace.init_draft import BOOKKEEPING
from tailrace.scratch_rules import Proposal, proposals
from tailrace_shared.catalogue.model import Catalogue, Column, Index, Table, TableName
from tailrace_shared.generators import GeneratorSpec, Key, MakePattern, Null
from tailrace_shared.job.spec import Destination, Job, Source, TableRule
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.domains import in_unique_index, partition_owners
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.links import Link, links_of
from tailrace_shared.plan.model import DataKey, Fingerprints, Problem
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import RESERVED_SCHEMA, ColumnRef, scope_of

OUT: Final = frozenset(
    {"plan.missing-table", "plan.inheritance", "plan.not-a-table", "plan.no-partition", "plan.no-columns"}
)
"""Tables of which the destination can hold no row."""
EMPTY: Final = frozenset(
    {"plan.partition-key", "plan.no-rule", "plan.generated-child", "plan.no-parent-key", "plan.type", "plan.not-null"}
)
"""What no other generator mends: the table stays empty, and says why."""
ROWS_DEFAULT: Final = 1000


@dataclass
class Made:
    """A column that is made, and what else may be tried."""

    options: list[Proposal]
    refusals: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> bool:
        """Go on to the next; False when this was the last."""
        if len(self.options) < 2:
            return False
        self.options.pop(0)
        self.refusals.append(reason)
        return True


@dataclass
class ScratchDraft:
    """A job in the making."""

    head: Job
    """Without tables."""
    source: Catalogue
    destination: Catalogue
    tables: dict[TableName, Table]
    """As the destination has them; the source's where it lacks one."""
    rows: dict[TableName, int]
    links: list[Link]
    columns: dict[ColumnRef, Made] = field(default_factory=dict)
    references: dict[ColumnRef, Link] = field(default_factory=dict)
    """Foreign keys that are drawn: they need no rule."""
    modes: dict[TableName, tuple[Literal["exclude", "truncate"], str]] = field(default_factory=dict)
    nulled: dict[ColumnRef, str] = field(default_factory=dict)
    left: tuple[Problem, ...] = ()
    """Errors that a draft cannot mend."""
    doubts: tuple[Problem, ...] = ()
    """Checks that nobody can judge beforehand."""

    @property
    def job(self) -> Job:
        """The job as drafted so far."""
        found = {}
        for name, table in self.tables.items():
            if name in self.modes:
                found[str(name)] = TableRule(mode=self.modes[name][0])
                continue
            rules: dict[str, GeneratorSpec] = {}
            for column in table.columns:
                if rule := self.rule(ColumnRef(name, column.name)):
                    rules[column.name] = rule
            found[str(name)] = TableRule(mode="generate", rows=self.rows[name], columns=rules)  # type: ignore[arg-type]
        return self.head.model_copy(update={"tables": found})

    def rule(self, ref: ColumnRef) -> GeneratorSpec | None:
        """What the job says of a column; None where nothing need be said."""
        if ref in self.nulled:
            return Null()
        if ref in self.references:
            return None
        return self.columns[ref].options[0].rule if ref in self.columns and self.columns[ref].options else None

    def leave(self, table: TableName, why: str, mode: Literal["exclude", "truncate"] = "truncate") -> bool:
        """No row is made of it. False where that was so already."""
        if table in self.modes:
            return False
        self.modes[table] = (mode, why)
        return True


def begin_scratch(
    source: Catalogue, destination: Catalogue, *, name: str, source_url: str, destination_url: str, schemas: tuple[str, ...],
    rows: int = ROWS_DEFAULT, scale: float | None = None,
) -> ScratchDraft:  # fmt: skip
    """The first draft: every column's best proposal. ``scale``: rows in proportion to the source's, where they are known."""
    head = Job(name=name, source=Source(url=source_url), destination=Destination(url=destination_url), schemas=schemas)
    head, destination = creating(head, scope_of(head, source, Problems()), source, destination)
    owners = partition_owners(source, destination)
    tables = {
        t.name: destination.table(t.name) or t
        for t in source.tables
        if t.kind in ("r", "p") and t.name.schema_name in schemas and t.name.schema_name != RESERVED_SCHEMA
    }
    links = links_of(head, source, destination, owners, Problems())
    counts = {name: _rows(source.table(name), rows, scale) for name in tables}
    draft = ScratchDraft(head, source, destination, tables, counts, links)
    for table in tables.values():
        if table.name.name.lower() in BOOKKEEPING:
            draft.leave(table.name, "which migrations have run: the destination has its own", "exclude")
            continue
        for column in table.columns:
            if not column.generated:
                _propose(draft, table, column)
    return draft


def settle_scratch(draft: ScratchDraft) -> ScratchDraft:
    """Mend and plan again, as long as there is something to mend."""
    errors = _errors(draft)
    while _mend(draft, errors):
        errors = _errors(draft)
    draft.left = tuple(errors)
    draft.doubts = tuple(p for p in _problems(draft) if p.code == "plan.check" and p.severity == "warning")
    return draft


def _propose(draft: ScratchDraft, table: Table, column: Column) -> None:
    ref = ColumnRef(table.name, column.name)
    mine = [k for k in draft.links if k.child == table.name and column.name in k.columns and not k.when]
    if mine:
        draft.references[ref] = max(mine, key=lambda k: len(k.columns))
        return
    alone = in_unique_index(column.name, table, alone=True)
    found = proposals(table, column, alone=alone, unique=in_unique_index(column.name, table))
    draft.columns[ref] = Made(found)


def _rows(table: Table | None, rows: int, scale: float | None) -> int:
    known = table.rows if table is not None else -1
    return max(1, round(known * scale)) if scale is not None and known > 0 else rows


def _errors(draft: ScratchDraft) -> list[Problem]:
    """What stands against the draft."""
    return [p for p in _problems(draft) if p.severity == "error"]


def _problems(draft: ScratchDraft) -> tuple[Problem, ...]:
    """What planning says, whatever the destination's tables hold now."""
    job = draft.job
    result = build_plan(
        job.model_copy(update={"destination": as_if_empty(job.destination)}), draft.source, draft.destination, run="", attempt=1,
        fingerprints=Fingerprints(mask_secret="", catalogue="", pools=""), key=DataKey(id="", wrapped=""), facts=SourceFacts(),
    )  # fmt: skip
    return result.problems


def _mend(draft: ScratchDraft, errors: Iterable[Problem]) -> bool:
    mended, touched = False, set[TableName]()
    for problem in errors:
        table = _table(draft, problem.where)
        if table is None or table in touched or table in draft.modes:
            continue
        if _step(draft, table, problem):
            touched.add(table)
            mended = True
    return mended


def _step(draft: ScratchDraft, table: TableName, problem: Problem) -> bool:
    """One repair of a table."""
    if problem.code in OUT:
        return draft.leave(table, problem.message, "exclude")
    index = next((i for i in draft.tables[table].indexes if problem.where == f"{table} index {i.name}"), None)
    if index is not None and problem.code in ("plan.not-unique", "plan.capacity"):
        return _differ(draft, table, index, problem)
    ref = next((r for r in (*draft.columns, *draft.references) if str(r) == problem.where), None)
    if ref is not None and ref in draft.columns and draft.columns[ref].refuse(problem.message):
        return True
    if problem.code in ("plan.shared-reference", "plan.endless-reference") and ref is not None:
        return _null_key(draft, ref) or draft.leave(table, problem.message)
    if problem.code == "plan.exclusion" and draft.rows[table] > 1:
        draft.rows[table] = 1
        return True
    check = next((c for c in draft.tables[table].checks if problem.where == f"{table} check {c.name}"), None)
    if check is not None:
        return any(
            draft.columns[r].refuse(problem.message)
            for c in check.columns
            if (r := ColumnRef(table, c)) in draft.columns
        )
    return problem.code in EMPTY and draft.leave(table, problem.message)


def _differ(draft: ScratchDraft, table: TableName, index: Index, problem: Problem) -> bool:
    """Make rows differ in an index: a column that can, else fewer rows, else none."""
    refs = [ref for name in index.uses if (ref := ColumnRef(table, name)) in draft.columns]
    if problem.code == "plan.not-unique":
        for ref in refs:
            for place, option in enumerate(draft.columns[ref].options):
                if place and isinstance(option.rule, Key | MakePattern):
                    draft.columns[ref].options = draft.columns[ref].options[place:]
                    return True
        return draft.leave(table, problem.message)
    if draft.rows[table] > 1:
        draft.rows[table] //= 2
        return True
    return draft.leave(table, problem.message)


def _null_key(draft: ScratchDraft, ref: ColumnRef) -> bool:
    """NULL for a column of one of the foreign keys that contradict each other."""
    table = draft.tables[ref.table]
    for link in draft.links:
        if link.child != ref.table or ref.column not in link.columns:
            continue
        for name in link.columns:
            column, other = table.column(name), ColumnRef(ref.table, name)
            if (
                column
                and column.nullable
                and other not in draft.nulled
                and (name != ref.column or len(link.columns) == 1)
            ):
                draft.nulled[other] = f"{link.name} would draw a row of its own"
                return True
    return False


def _table(draft: ScratchDraft, where: str) -> TableName | None:
    """The table that a problem names, or whose column, index, check or key it does."""
    names = {str(name): name for name in draft.tables}
    if where in names:
        return names[where]
    found = [n for text, n in names.items() if where.startswith((f"{text} ", f"{text}."))]
    return max(found, key=lambda n: len(str(n)), default=None)
