"""Generated tables in a plan: columns, references, slots and orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tailrace_shared.catalogue.model import Catalogue, Column, Table, TableName
from tailrace_shared.generators import (
    Ai,
    GeneratorSpec,
    Made,
    MakeReference,
    MaskColumn,
    Null,
    UniqueMock,
)
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.copy import copy_format
from tailrace_shared.plan.domains import folds, in_unique_index
from tailrace_shared.plan.drawing import in_context
from tailrace_shared.plan.events import EventPair, pairs_of
from tailrace_shared.plan.events_joined import STRICT, cut_events, events_per_entity
from tailrace_shared.plan.generated_checks import prove_checks
from tailrace_shared.plan.generated_links import drawn, generated, target, touching
from tailrace_shared.plan.generated_rules import Ties, decide_made
from tailrace_shared.plan.generated_unique import prove_unique
from tailrace_shared.plan.learned_checks import implied_orders, kept_by_model, with_listed_forms
from tailrace_shared.plan.learning import aligned, plan_learning
from tailrace_shared.plan.learning_facts import LearningFacts
from tailrace_shared.plan.links import Link
from tailrace_shared.plan.model import ParentKey, PlannedColumn, PlannedTable, Proof
from tailrace_shared.plan.orders import cut_orders
from tailrace_shared.plan.partition_bounds import learned_inside, stays_inside
from tailrace_shared.plan.pool_facts import FanOutFacts, KeyFacts
from tailrace_shared.plan.pools import fan_out_of, null_share, pool_rows
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import ColumnRef, ScopedTable

if TYPE_CHECKING:
    from tailrace_shared.plan.facts import SourceFacts


@dataclass(frozen=True)
class Generation:
    """What is common to the generated tables of a plan."""

    job: Job
    scope: Mapping[TableName, ScopedTable]
    destination: Catalogue
    links: tuple[Link, ...]
    numbers: Mapping[TableName, int]
    proofs: list[Proof]
    problems: Problems
    pairs: Mapping[TableName, EventPair]
    """By their events: tables that are learned together."""
    facts: LearningFacts
    """What the source says of the rows to learn from."""
    keys: Mapping[str, KeyFacts]
    """By name, of carried tables that generated ones refer to."""
    fan_outs: Mapping[str, FanOutFacts]
    """By ``Link.about``."""
    others: tuple[Link, ...] = ()
    """Keys between carried tables."""

    @staticmethod
    def of(
        job: Job,
        scope: Mapping[TableName, ScopedTable],
        destination: Catalogue,
        links: Sequence[Link],
        problems: Problems,
        facts: SourceFacts,
    ) -> Generation:
        """From a scope whose order is that of the plan's tables, and all links."""
        numbers = {name: number for number, name in enumerate(scope)}
        pairs = pairs_of(scope, links, problems)
        ours = touching(scope, links)
        return Generation(
            job, scope, destination, ours, numbers, [], problems, pairs, facts.learning, facts.keys, facts.fan_outs,
            tuple(link for link in links if link not in ours),
        )  # fmt: skip

    def rows(self, name: TableName) -> int:
        """That are made; of events, at most."""
        pair = self.pairs.get(name)
        return self.scope[name].limit or 0 if pair is None else self.rows(pair.entity) * pair.length_max

    def learned_with(self, name: TableName) -> EventPair | None:
        """The pair that a table is of, on either side."""
        return next((pair for pair in self.pairs.values() if name in (pair.entity, pair.events)), None)

    def ties(self, table: TableName, column: str) -> Ties:
        """Foreign keys that a column of a generated table is part of."""
        mine = [link for link in self.links if link.child == table and column in link.columns and not link.when]
        made = tuple(link for link in mine if generated(self.scope, link.parent))
        pooled = tuple(link for link in mine if link not in made and drawn(self.scope, link))
        return Ties(made, tuple(link for link in mine if link not in made and link not in pooled), pooled)

    def parent_rows(self, name: TableName) -> int:
        """Rows of a generated table, or keys in the pool of a carried one; 0 where nobody knows."""
        return self.rows(name) if generated(self.scope, name) else pool_rows(name, self) or 0


def plan_generated(number: int, scoped: ScopedTable, context: Generation) -> PlannedTable:
    """The plan of a generated table; its proofs and problems go into the context."""
    rows, problems = context.rows(scoped.name), context.problems
    pair = context.pairs.get(scoped.name)
    if scoped.limit is None and pair is None:
        problems.error(
            "rows-missing",
            scoped.name,
            "a generated table needs the number of its rows",
            "Write rows: 1000, or another number.",
        )
    if context.job.destination.mode == "append":
        problems.error(
            "generate-append", scoped.name, "generated keys begin at 1, and may be those of rows that are there already",
            "Use destination.mode existing, create or truncate, or exclude the table.",
        )  # fmt: skip
    if context.job.mode == "continuous":
        problems.error(
            "generate-continuous", scoped.name, "a continuous run follows the source, and made rows have none",
            "Use mode: once for generated tables, or exclude the table.",
        )  # fmt: skip
    table = context.destination.table(scoped.name) or scoped.table  # a table that is missing is reported elsewhere
    columns = with_listed_forms(scoped, table, _columns(scoped, table, context))
    placed = _placed(pair, scoped)
    columns, proofs = prove_unique(table, columns, rows, problems, placed)
    made, orders = {column.name: column for column in columns}, implied_orders(scoped, table, columns)
    context.proofs.extend(proofs)
    context.proofs.extend(
        prove_checks(table, columns, rows, problems, lambda check: kept_by_model(check, scoped, made, orders))
    )
    columns = _check_partitions(scoped, table, columns, problems)
    columns, learning = plan_learning(scoped, columns, context, orders)
    if pair is None:
        expected, cut = float(rows), cut_orders(rows, columns, context.job.limits, aligned if learning else int)
    else:
        each, entities = events_per_entity(pair, context.scope), context.rows(pair.entity)
        expected, cut = round(each * entities), cut_events(entities, each, columns, context.job.limits)
    return PlannedTable(
        number=number,
        name=scoped.name,
        mode="generate",
        columns=tuple(columns),
        ranges=cut.orders,
        copy_format=copy_format(columns),
        estimated_rows=expected,
        rows_per_batch=cut.rows_per_batch,
        rows=rows,
        strict=any(placed and index.unique and set(placed) <= set(index.uses) for index in table.indexes),
        only=table.kind == "r" and bool(table.inherited_by),
        learning=learning,
    )


def _placed(pair: EventPair | None, scoped: ScopedTable) -> tuple[str, ...] | None:
    """Columns in which no two events agree: whose it is, and where it is in their order. None for other tables."""
    if pair is None:
        return None
    order = scoped.table.column(pair.order) if pair.order is not None else None
    return () if order is None or order.type.family not in STRICT else (pair.foreign_key, order.name)


def _columns(scoped: ScopedTable, table: Table, context: Generation) -> list[PlannedColumn]:
    found = []
    for column in table.columns:
        ref = ColumnRef(scoped.name, column.name)
        if column.generated:
            if column.name in scoped.rules:
                context.problems.error(
                    "generated-column", ref, "the destination generates this column itself", "Remove its rule."
                )
            continue
        ties = context.ties(scoped.name, column.name)
        decision = decide_made(scoped, table, column, ties, context.problems)
        if decision is None:
            continue
        spec = decision.spec
        if isinstance(spec, UniqueMock) and in_unique_index(column.name, table):
            spec = spec.model_copy(update={"unique": True})
        found.append(_column(ref, table, column, spec, decision.why, ties, context))
    for name in scoped.rules.keys() - {c.name for c in table.columns}:
        context.problems.error(
            "missing-column", ColumnRef(scoped.name, name), "the destination's table has no such column",
            "Add it to the destination, or remove its rule.",
        )  # fmt: skip
    return found


def _column(
    ref: ColumnRef, table: Table, column: Column, spec: GeneratorSpec, why: str, ties: Ties, context: Generation
) -> PlannedColumn:
    mask = MaskColumn(
        type=column.type,
        domain=_domain(ref, spec, context),
        family=column.type.family,
        folded=folds(table, column),
        max_chars=column.type.length,
        nullable=column.nullable,
    )
    problems, rows = context.problems, context.rows(ref.table)
    if why != "job" and isinstance(spec, MakeReference) and (share := _null_share(ref, table, ties, context)):
        spec = spec.model_copy(update={"null_share": share})
    parent = _parent(ref, column, spec, ties, context) if isinstance(spec, MakeReference) else None
    if isinstance(spec, MakeReference) and parent is None:
        nobody = max(ties.drawn, key=lambda tie: len(tie.columns)).parent
        spec, why = Null(), f"no row of {nobody} is {'generated' if generated(context.scope, nobody) else 'carried'}"
    for refusal in spec.check(mask):
        problems.error(
            refusal.code.replace(".", "-"), ref, refusal.reason, f"{refusal.remedy[:1].upper()}{refusal.remedy[1:]}."
        )
    if reason := spec.refuse_rows(mask, rows):
        problems.error("too-many-rows", ref, reason, "Make fewer rows, or change start and step.")
    if not column.nullable and (isinstance(spec, Null) or (isinstance(spec, Made) and spec.null_share)):
        problems.error(
            "not-null", ref, "NULL does not go into a NOT NULL column", "Give it another rule, or null_share: 0."
        )
    return PlannedColumn(
        name=column.name,
        type=column.type,
        destination_type=column.type,
        rule=spec,  # type: ignore[arg-type]  # every spec of the registry is in the union
        mask=mask,
        why=why,
        masked=spec.masks and in_context(context.scope[ref.table], ref.column),
        parent=parent,
    )


def _domain(ref: ColumnRef, spec: GeneratorSpec, context: Generation) -> str:
    """Made values are each column's own; a drawn one that goes through a mask maps as it does in carried tables."""
    if not in_context(context.scope[ref.table], ref.column):
        return str(ref)
    return spec.domain or spec.domain_family


def _parent(ref: ColumnRef, column: Column, spec: MakeReference, ties: Ties, context: Generation) -> ParentKey | None:
    """The key that the column takes: of its widest foreign key, from which the others must follow."""
    pair = context.pairs.get(ref.table)
    owner = pair is not None and ref.column == pair.foreign_key
    link = pair.link if pair is not None and owner else max(ties.drawn, key=lambda tie: len(tie.columns))
    rows, problems, pool = context.parent_rows(link.parent), context.problems, link in ties.pooled
    if pool and pool_rows(link.parent, context) is None:
        problems.error(
            "keys-uncounted", ref, f"it refers to {link.parent}, whose keys could not be counted in the source in time",
            "Let the source's role read that table, plan when the source is less busy, or give the column null or make.choice.",
        )  # fmt: skip
        rows = 1
    if not rows and context.rows(ref.table):
        made = "carried" if pool else "generated"
        if column.nullable:
            if pool:
                problems.warning(
                    "no-parent-rows", ref, f"it becomes NULL: it refers to {link.parent}, of which no row is carried",
                    "Fill that table in the source, or let its `where` choose rows, if references are wanted.",
                )  # fmt: skip
            return None
        problems.error(
            "no-parent-rows", ref, f"it refers to {link.parent}, of which no row is {made}",
            "Carry rows of that table, or generate it." if pool else "Give that table rows.",
        )  # fmt: skip
        return None
    problem = _conflict(link, ties, context)
    if problem:
        problems.error(
            "shared-reference", ref, problem,
            "Give one of the foreign keys' other columns the rule null, exclude a table, or drop one of the keys there.",
        )  # fmt: skip
    return ParentKey(
        name=link.name,
        table=context.numbers[link.parent],
        column=target(link, ref.column),
        rows=max(1, rows),
        earlier=link.parent == ref.table,
        owner=owner,
        pool=pool,
        # Of events the ordinals have gaps: no share of them is known beforehand.
        fan_out=() if pair is not None or spec.skew else fan_out_of(link, context),
    )


def _null_share(ref: ColumnRef, table: Table, ties: Ties, context: Generation) -> float:
    """Rows that refer to none, as the source has them; 0 where the destination, or a key of several columns, takes no NULL."""
    pair = context.pairs.get(ref.table)
    if not ties.drawn or (pair is not None and ref.column == pair.foreign_key):
        return 0.0
    link = max(ties.drawn, key=lambda tie: len(tie.columns))
    asked = link.columns if link.full else (ref.column,)
    if any((column := table.column(name)) is None or not column.nullable for name in asked):
        return 0.0
    return null_share(link, context)


def _conflict(link: Link, ties: Ties, context: Generation) -> str:
    """Why one drawn row cannot serve all the foreign keys that a column is in."""
    for other in ties.drawn:
        if other == link:
            continue
        if not set(other.columns) <= set(link.columns):
            return f"{link.name} and {other.name} share it, and each would draw a row of its own"
        keys = (*context.links, *context.others)
        onward = [tie for tie in keys if tie.child == link.parent and tie.parent == other.parent]
        pairs = {(target(link, c), target(other, c)) for c in other.columns}
        same = pairs == {(t, t) for t in other.referenced} and other.parent == link.parent
        if not same and not any(set(zip(tie.columns, tie.referenced, strict=True)) == pairs for tie in onward):
            return f"{other.name} does not follow from {link.name}"
    return ""


def _check_partitions(
    scoped: ScopedTable, table: Table, columns: Sequence[PlannedColumn], problems: Problems
) -> list[PlannedColumn]:
    """The columns, learned ones by which the destination is partitioned in the form that stays inside."""
    made = {column.name: column for column in columns}
    for name in table.bounded_columns:
        if name in made and isinstance(made[name].rule, Ai):
            made[name] = learned_inside(scoped.table, table, made[name]) or made[name]
            inside = learned_inside(scoped.table, table, made[name]) is not None
        else:
            inside = name not in made or stays_inside(table, made[name])
        if not inside:
            problems.error(
                "partition-key", f"{table.name}.{name}",
                f"the destination is partitioned by it: {made[name].rule.generator} may point outside of every partition",
                "Give it a range or a choice inside, exclude the table, or give it mode truncate.",
            )  # fmt: skip
    return list(made.values())
