"""Tables that are loaded anew while a run streams: the order, and the plan that comes of it. Pure.

A revision is the plan before with some tables as a fresh plan has them: same run, attempt, key and lane, and every table keeps its
number. Records and batches name the plan by which they were made, so that old and new ones may be under way at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import zstandard
from pydantic import field_serializer

from tailrace_shared.catalogue.model import Catalogue, Column, ForeignKey, Table, TableName
from tailrace_shared.generators import Duplicate, GeneratorSpec, Null, default_mask
from tailrace_shared.generators import Rule as ColumnRule
from tailrace_shared.job.spec import Job, Policy, TableRule
from tailrace_shared.plan.model import (
    Alteration,
    CapturedRelation,
    ForeignKeyCheck,
    Plan,
    PlannedColumn,
    PlannedTable,
    Problem,
    TableCut,
)
from tailrace_shared.plan.scope import rule_for
from tailrace_shared.types import Frozen, qualified, quote_ident


class OrderedTable(Frozen):
    """A table that is to be loaded anew, or for the first time."""

    number: int
    """In the plan; of an added table the one that it gets."""
    name: TableName


class ResyncOrder(Frozen):
    """What the reader that captures is asked for. A document on the run's ``plan`` topic, named by its digest."""

    run: str
    attempt: int
    number: int
    plan: str
    """Digest of the plan that is to be revised."""
    tables: tuple[OrderedTable, ...]
    job: Job
    """The run's, with the rules that were given since it was submitted."""
    destination: Catalogue
    in_place: bool = False
    """Nothing is loaded: columns that have appeared are to be followed from their first row on."""

    @field_serializer("destination")
    def _without_defaults(self, destination: Catalogue) -> dict[str, Any]:
        """Less than half as long, as in a plan task."""
        return destination.model_dump(mode="json", exclude_defaults=True)

    def encode(self) -> bytes:
        """Compressed JSON."""
        return zstandard.compress(self.model_dump_json().encode(), 9)

    @staticmethod
    def decode(data: bytes) -> ResyncOrder:
        """The order of ``encode``; raises pydantic's ValidationError for what is none."""
        return ResyncOrder.model_validate_json(zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 30))

    @property
    def digest(self) -> str:
        """Its name."""
        return hashlib.sha256(self.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Ground:
    """The destination as it will be for the fresh plan, and what each table needs to be so."""

    destination: Catalogue
    statements: Mapping[TableName, tuple[str, ...]]


def ground_of(order: ResyncOrder, plan: Plan, source: Catalogue) -> Ground:
    """The destination's catalogue with the columns that ordered tables lack, and with their source's new types where they had the
    old ones; foreign keys that are absent while the run streams are in it again."""
    statements: dict[TableName, tuple[str, ...]] = {}
    tables = {table.name: table for table in order.destination.tables}
    for ordered in order.tables:
        ours, theirs = source.table(ordered.name), tables.get(ordered.name)
        if ours is None or theirs is None:
            continue
        planned = planned_table(plan, ordered.number)
        tables[ordered.name], statements[ordered.name] = _followed(ours, theirs, planned)
    there = {(key.table, key.name) for key in order.destination.foreign_keys}
    absent = tuple(
        ForeignKey(
            name=key.name,
            table=key.table,
            columns=key.columns,
            references=key.references,
            referenced_columns=key.referenced_columns,
            definition="",
            operators=key.operators,
            temporal=key.temporal,
        )
        for key in plan.foreign_keys
        if not key.virtual and (key.table, key.name) not in there and key.table in tables
    )
    destination = order.destination.model_copy(
        update={
            "tables": tuple(tables[t.name] for t in order.destination.tables),
            "foreign_keys": (*order.destination.foreign_keys, *absent),
        }
    )
    return Ground(destination, statements)


def _followed(ours: Table, theirs: Table, planned: PlannedTable | None) -> tuple[Table, tuple[str, ...]]:
    name = qualified(theirs.name.schema_name, theirs.name.name)
    before = {c.name: c for c in planned.columns} if planned else {}
    columns, made = {c.name: c for c in theirs.columns}, []
    for column in ours.columns:
        there, was = columns.get(column.name), before.get(column.name)
        if column.generated:
            continue
        if there is None:
            made.append(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {quote_ident(column.name)} {column.type.name}")
            columns[column.name] = Column(
                name=column.name, number=len(columns) + 1, type=column.type, nullable=True, loose=column.loose
            )
        elif was is not None and not there.generated and there.type == was.type != column.type:
            made.append(
                f"ALTER TABLE {name} ALTER COLUMN {quote_ident(column.name)} TYPE {column.type.name} "
                f"USING NULL::{column.type.name}"
            )
            columns[column.name] = there.model_copy(update={"type": column.type})
    return theirs.model_copy(update={"columns": tuple(columns.values())}), tuple(made)


def planned_table(plan: Plan, number: int) -> PlannedTable | None:
    """The table of that number, if the plan has it."""
    return next((table for table in plan.tables if table.number == number), None)


def job_of(order: ResyncOrder, plan: Plan, source: Catalogue) -> tuple[Job, dict[TableName, str]]:
    """The job by which ordered tables are planned: columns that have appeared get the rule of the continuous policy. And the
    tables that this policy refuses, with what would help."""
    job = order.job
    # Its tables are there, whoever has made them, and they are emptied before they are loaded.
    job = job.model_copy(update={"destination": job.destination.model_copy(update={"mode": "truncate"})})
    job = _without_dropped(job, order, source)
    policy, refused = job.continuous.columns, dict[TableName, str]()
    if policy is not None:
        job, refused = _by_continuous_policy(job, policy, order, plan, source)
    return _spelled(job, source), refused


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """What a run that begins anew is planned with: columns that the attempt ``before`` did not begin with have appeared while the
    run lasts, however the next one comes to know of them."""

    job: Job
    before: Plan
    source: Catalogue
    ground: Ground
    refused: Mapping[TableName, str]
    """Tables that cannot be planned as the job wants it, and why."""

    @staticmethod
    def of(job: Job, before: Plan, source: Catalogue, destination: Catalogue) -> NextAttempt:
        """After a look at both databases."""
        order = ResyncOrder(
            run=before.run,
            attempt=before.attempt,
            number=0,
            plan="",
            tables=tuple(OrderedTable(number=t.number, name=t.name) for t in before.tables if t.relation is not None),
            job=job,
            destination=destination,
        )
        made, refused = job_of(order, before, source)
        ground = ground_of(order, before, source)
        seen = destination.model_copy(update={"tables": ground.destination.tables})
        made = made.model_copy(update={"destination": job.destination})
        return NextAttempt(made, before, source, Ground(seen, ground.statements), refused)

    def into(self, plan: Plan) -> Plan:
        """The plan that knows of these columns, and what the destination needs for them."""
        known = {t.name: t for t in self.before.tables if t.relation is not None}
        tables = []
        for table in plan.tables:
            ours, was = self.source.table(table.name), known.get(table.name)
            names = tuple(c.name for c in appeared(ours, was)) if ours is not None and was is not None else ()
            tables.append(table.model_copy(update={"appeared": names}))
        made = [(t.number, self.ground.statements.get(t.name, ())) for t in plan.tables]
        alterations = tuple(Alteration(table=number, statements=needed) for number, needed in made if needed)
        return plan.model_copy(update={"tables": tuple(tables), "alterations": alterations})


def _spelled(job: Job, source: Catalogue) -> Job:
    """Tables that are duplicated but for columns that have appeared, as rules that say so."""
    tables = dict(job.tables)
    for name, rule in job.tables.items():
        ours = next((t for t in source.tables if str(t.name) == name), None)
        if ours is not None and rule.mode == "duplicate" and rule.columns:
            others: dict[str, ColumnRule] = {c.name: Duplicate() for c in ours.columns if not c.generated}
            tables[name] = rule.model_copy(update={"mode": "carry", "columns": others | rule.columns})
    return job.model_copy(update={"tables": tables})


def rule_beside(job: Job, name: TableName) -> TableRule:
    """What the job says of a table, to be given more columns."""
    _, rule = rule_for(job, name)
    return rule or TableRule(mode="duplicate" if job.default_mode == "duplicate" else "carry")


def _by_continuous_policy(
    job: Job, policy: Policy, order: ResyncOrder, plan: Plan, source: Catalogue
) -> tuple[Job, dict[TableName, str]]:
    tables, refused = dict(job.tables), dict[TableName, str]()
    keys = {(key.table, name) for key in source.foreign_keys for name in key.columns}
    for ordered in order.tables:
        ours, planned = source.table(ordered.name), planned_table(plan, ordered.number)
        if ours is None or planned is None:
            continue
        _, rule = rule_for(job, ordered.name)
        given = dict(rule.columns) if rule else {}
        new = [
            c for c in appeared(ours, planned) if c.name not in given and (policy == "halt" or (ours.name, c.name) not in keys)
        ]  # fmt: skip
        if policy == "halt" and new:
            refused[ordered.name] = "; ".join(_unruled(ordered.name, c) for c in new)
        elif new:
            base = rule_beside(job, ordered.name)
            rules = given | {c.name: _by_policy(policy, c) for c in new}
            tables = {str(ordered.name): base.model_copy(update={"columns": rules})} | {
                k: v for k, v in tables.items() if k != str(ordered.name)
            }
    return job.model_copy(update={"tables": _with_appeared(tables, order, plan, source, job)}), refused


def _with_appeared(
    tables: Mapping[str, TableRule], order: ResyncOrder, plan: Plan, source: Catalogue, job: Job
) -> dict[str, TableRule]:
    """Columns that have appeared in other tables keep the rules that they have: else these would seem to be made otherwise now."""
    made, keys = dict(tables), {(key.table, name) for key in source.foreign_keys for name in key.columns}
    for planned in plan.tables:
        if not planned.appeared or planned.number in {t.number for t in order.tables}:
            continue
        _, rule = rule_for(job, planned.name)
        given = dict(rule.columns) if rule else {}
        rules = {
            c.name: c.rule
            for c in planned.columns
            if c.name in planned.appeared and c.name not in given and (planned.name, c.name) not in keys
        }
        if rules:
            base = rule_beside(job, planned.name)
            made = {str(planned.name): base.model_copy(update={"columns": given | rules})} | {
                name: other for name, other in made.items() if name != str(planned.name)
            }
    return made


def _without_dropped(job: Job, order: ResyncOrder, source: Catalogue) -> Job:
    """Rules for columns that ordered tables have lost mean nothing any more."""
    tables = dict(job.tables)
    for ordered in order.tables:
        ours, rule = source.table(ordered.name), tables.get(str(ordered.name))
        if ours is not None and rule is not None:
            kept = {name: made for name, made in rule.columns.items() if ours.column(name)}
            tables[str(ordered.name)] = rule.model_copy(update={"columns": kept})
    return job.model_copy(update={"tables": tables})


def appeared(ours: Table, planned: PlannedTable) -> list[Column]:
    """Columns of the source that the table did not have when its run began."""
    known = {c.name for c in planned.relation.columns} if planned.relation else {c.name for c in planned.columns}
    return [c for c in ours.columns if not c.generated and (c.name not in known or c.name in planned.appeared)]


def _by_policy(policy: Policy, column: Column) -> ColumnRule:
    chosen: GeneratorSpec = {"pass": Duplicate(), "null": Null()}.get(policy) or default_mask(column.type.family)
    return cast(ColumnRule, chosen)


def _unruled(table: TableName, column: Column) -> str:
    proposed = default_mask(column.type.family).generator
    return (
        f"column {column.name} has appeared without a rule, and the policy is halt; proposed: "
        f"tailrace resync RUN {table} --rule {column.name}={proposed}"
    )


def refusals(problems: Sequence[Problem], order: ResyncOrder, source: Catalogue) -> dict[TableName, str]:
    """Why ordered tables cannot be planned. What stands against other tables alone does not keep these from being planned: their
    own plans are not touched."""
    ordered = {table.name for table in order.tables}
    others = [table.name for table in source.tables if table.name not in ordered]
    refused: dict[TableName, list[str]] = {}
    for problem in problems:
        if problem.severity != "error":
            continue
        concerned = [name for name in ordered if _concerns(problem.where, name)]
        if not concerned and not any(_concerns(problem.where, name) for name in others):
            concerned = list(ordered)  # it is about everything
        for name in concerned:
            where = problem.where.removeprefix(str(name)).strip(" .")
            said = f"{where}: {problem.message}" if where else problem.message
            refused.setdefault(name, []).append(f"{said}. {problem.remedy}".strip())
    return {name: "; ".join(said[:3]) for name, said in refused.items()}


def _concerns(where: str, name: TableName) -> bool:
    return re.match(re.escape(str(name)) + r"($|[ .])", where) is not None


def unlike(plan: Plan, fresh: Plan, ordered: Collection[TableName]) -> list[PlannedTable]:
    """Tables of the plan, not ordered, whose values a fresh plan would make otherwise: beside tables of it they would not agree."""
    found = []
    for table in plan.tables:
        now = next((t for t in fresh.tables if t.name == table.name), None)
        if table.name in ordered or now is None or table.mode == "truncate":
            continue
        shared = {c.name for c in now.columns}
        known = {k.name for k in table.columns}
        if not alike([c for c in table.columns if c.name in shared], [c for c in now.columns if c.name in known]):
            found.append(table)
    return found


def alike(some: Sequence[PlannedColumn], others: Sequence[PlannedColumn]) -> bool:
    """Whether these are the same columns and made in the same way."""
    return [_made(c) for c in some] == [_made(c) for c in others]


def _made(column: PlannedColumn) -> tuple[object, ...]:
    return column.name, column.rule, column.mask, column.type


def revise(
    plan: Plan,
    fresh: Plan,
    ordered: Mapping[TableName, int],
    *,
    number: int,
    cut: TableCut,
    relations: Mapping[TableName, CapturedRelation],
    new_columns: Mapping[TableName, tuple[str, ...]],
    statements: Mapping[TableName, tuple[str, ...]],
) -> Plan:
    """The next plan: these tables as the fresh one has them, under their numbers."""
    tables = {table.number: table for table in plan.tables}
    for table in fresh.tables:
        if table.name not in ordered:
            continue
        tables[ordered[table.name]] = table.model_copy(
            update={
                "number": ordered[table.name],
                "after": (),
                "relation": relations.get(table.name),
                "cut": cut,
                "appeared": new_columns.get(table.name, ()),
            }
        )
    return plan.model_copy(
        update={
            "revision": number,
            "tables": tuple(tables[n] for n in sorted(tables)),
            "foreign_keys": _checks(plan.foreign_keys, fresh.foreign_keys, ordered),
            "alterations": tuple(
                Alteration(table=ordered[name], statements=made)
                for name, made in sorted(statements.items())
                if name in ordered and made
            ),
        }
    )


def _checks(
    known: tuple[ForeignKeyCheck, ...], fresh: tuple[ForeignKeyCheck, ...], ordered: Mapping[TableName, int]
) -> tuple[ForeignKeyCheck, ...]:
    """Those of before, and what added tables bring."""
    names = {(check.table, check.name) for check in known}
    return (*known, *(c for c in fresh if c.table in ordered and (c.table, c.name) not in names))
