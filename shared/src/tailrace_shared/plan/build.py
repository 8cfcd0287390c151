"""Planning: from a job and two catalogues to a plan, or to everything that stands against one. Pure; no I/O, no clock."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import tailrace_shared
from tailrace_shared.catalogue.model import Catalogue, Table, TableName
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.append import check_job, plan_append, temper_proofs
from tailrace_shared.plan.columns import plan_columns
from tailrace_shared.plan.copy import copy_format
from tailrace_shared.plan.create import check_create, destination_to_be
from tailrace_shared.plan.create_model import SourceSchema
from tailrace_shared.plan.create_steps import create_steps
from tailrace_shared.plan.ddl import bypass_steps, respect_steps, tell_silenced
from tailrace_shared.plan.domains import Domains, domains_of, partition_owners
from tailrace_shared.plan.drawing import seeds_of
from tailrace_shared.plan.drift import check_drift
from tailrace_shared.plan.events_joined import join_events
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.filtered import limited, told_filters, virtual_checks, warn_of_costs
from tailrace_shared.plan.filters import Filters
from tailrace_shared.plan.filters_judged import check_asked, judge_gaps
from tailrace_shared.plan.following import plan_following
from tailrace_shared.plan.gaps import gaps_of
from tailrace_shared.plan.generated import Generation, plan_generated
from tailrace_shared.plan.generated_keys import settle_references
from tailrace_shared.plan.learning_facts import with_counts
from tailrace_shared.plan.links import links_of
from tailrace_shared.plan.model import (
    DataKey,
    Fingerprints,
    Plan,
    PlannedTable,
    PlanResult,
    TableSeeds,
)
from tailrace_shared.plan.order import order_of
from tailrace_shared.plan.pools import plan_pools, told_pools
from tailrace_shared.plan.privileges import check_destination, check_source
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.proofs import prove
from tailrace_shared.plan.ranges import leaves_of, ranges_of
from tailrace_shared.plan.references import carried_sides, checks_of, points_nowhere, prove_references, sides_of
from tailrace_shared.plan.rules import Decision, decide
from tailrace_shared.plan.scope import ColumnRef, ScopedTable, scope_of
from tailrace_shared.plan.sequences import sequence_steps
from tailrace_shared.plan.spelling import check_spelling
from tailrace_shared.plan.tables import check_tables
from tailrace_shared.plan.views import declared_views, order_of_view

ENVELOPE_SHARE: Final = 0.5
"""Of a message, what a row's stored bytes may take: text is longer than storage, and masking may grow it."""


def build_plan(
    job: Job,
    source: Catalogue,
    destination: Catalogue,
    *,
    run: str,
    attempt: int,
    fingerprints: Fingerprints,
    key: DataKey,
    facts: SourceFacts,
    schema: SourceSchema | None = None,
    tolerant: bool = False,
) -> PlanResult:
    """The plan of a job, and all problems; no plan where one of them is an error, unless ``tolerant``: whoever asks for that
    judges the problems himself, and takes no table that one of them is about.

    ``schema`` is what the mode create makes; without it a plan says only what can be known of its tables.
    The same arguments give the same plan, byte by byte.
    """
    problems = Problems()
    if source.system_id and (source.system_id, source.database) == (destination.system_id, destination.database):
        problems.error(
            "same-database", source.database, "source and destination are the same database",
            "Name another database as destination: the source is only read.",
        )  # fmt: skip
        return PlanResult(plan=None, problems=problems.all)  # what else would be said is only a consequence
    source = declared_views(job, source, facts.views, problems)
    names = partition_owners(source, destination)
    scope = with_counts(scope_of(job, source, problems), facts.learning)
    create = job.destination.mode == "create"
    if create:
        check_create(job, scope, schema, source, destination, problems)
        destination = destination_to_be(scope, source, destination)
        names = partition_owners(source, destination)
    check_tables(job, scope, source, destination, problems)
    check_spelling(scope, source, destination, problems)
    append = job.destination.mode == "append"
    if append:
        check_job(job, scope, problems)
    links = links_of(job, source, destination, names, problems)
    generation = Generation.of(job, scope, destination, links, problems, facts)
    domains = domains_of(scope, source, destination, names, links)
    decisions = decide(scope, domains, destination, problems)
    filters = Filters(scope, source, gaps_of(scope, links, destination, decisions, problems), facts.rows)
    tables = [
        plan_generated(number, scoped, generation)
        if scoped.generated
        else _table(number, scoped, job, destination, decisions, domains, facts, problems)
        for number, scoped in enumerate(scope.values())
    ]
    tables = settle_references(join_events(tables, generation), generation)
    pools = plan_pools(tables, generation)
    generation.proofs.extend(told_pools(pools, tables, facts.keys))
    told = told_filters(tables, filters)
    seeds = _seeds(tables, scope, facts, problems)
    tables = [limited(table, filters) for table in tables]
    check_asked(filters, problems)
    warn_of_costs(filters, problems)
    held = judge_gaps(filters, problems)
    respect = append or (job.destination.constraints == "respect" and not create)
    replica_role = respect and destination.can_replicate
    sides = sides_of({t.name: t for t in tables}, destination, names)
    proofs = prove(tables, source, destination, facts, problems)
    if append:
        proofs = temper_proofs(proofs, tables, source, destination, problems)
    proofs += generation.proofs
    proofs += prove_references(
        carried_sides(sides), source, destination, names, respect, problems, append=append, held=held,
        replica_role=replica_role,
        orphans={link.meaning: facts.rows.orphans[link.about] for link in links if link.about in facts.rows.orphans},
    )  # fmt: skip
    virtual, more = virtual_checks(links, tables, filters, held, problems)
    proofs += more
    if append:
        ddl, replica_role = plan_append(tables, sides, destination, run, attempt, problems)
    elif create:
        ddl = create_steps(tables, schema or SourceSchema(), destination, names)
    elif respect:
        after = order_of([side for side in sides if not points_nowhere(side)], replica_role, problems)
        tables = [t.model_copy(update={"after": tuple(sorted({*t.after, *after.get(t.number, ())}))}) for t in tables]
        ddl = respect_steps(tables, destination, replica_role)
    else:
        ddl = bypass_steps(tables, sides, destination, names)
        tell_silenced(sides, ddl, problems)
    tables, follow = plan_following(job, tables, source, destination, replica_role, problems)
    check_drift(tables, source, destination, problems, append=append, demands={**facts.demands, **facts.checks})
    sequences = sequence_steps(tables, destination, problems, facts.largest)
    check_source(tables, source, problems)
    check_destination(
        tables, ddl, sequences, destination, names, problems, append=append, locks=append and replica_role,
        respect=respect, follows=follow is not None,
    )  # fmt: skip
    _check_widths(job, facts, problems)
    if problems.failed and not tolerant:
        return PlanResult(plan=None, problems=problems.all)
    limits = job.limits
    plan = Plan(
        release=tailrace_shared.__version__,
        run=run,
        attempt=attempt,
        job_digest=hashlib.sha256(job.model_dump_json().encode()).hexdigest(),
        source_system=source.system_id,
        destination_system=destination.system_id,
        regime="respect" if respect else "bypass",
        replica_role=replica_role,
        truncate_first=job.destination.mode == "truncate",
        continuous=follow,
        mode=job.destination.mode,
        tables=tuple(tables),
        ddl=ddl,
        sequences=sequences,
        foreign_keys=(*checks_of(sides, destination), *virtual),
        proofs=tuple(proofs),
        warnings=problems.all,
        fingerprints=fingerprints,
        key=key,
        partitions=limits.partitions,
        message_bytes=limits.message_bytes,
        batch_bytes=limits.batch_bytes,
        range_bytes_max=limits.range_bytes_max,
        credit_bytes=limits.credit_bytes,
        leak_sample=job.verify.leak_sample,
        digest=job.verify.digest,
        canaries=job.verify.canaries,
        pools=pools,
        filters=told,
        seeds=seeds,
    )
    return PlanResult(plan=plan, problems=problems.all)


def _seeds(
    tables: Sequence[PlannedTable], scope: Mapping[TableName, ScopedTable], facts: SourceFacts, problems: Problems
) -> tuple[TableSeeds, ...]:
    """The rows that learned tables are given."""
    found = [
        seeds_of(scope[table.name], table.number, facts.seeds.get(str(table.name)), problems)
        for table in tables
        if table.learning is not None
    ]
    return tuple(seeds for seeds in found if seeds is not None)


def _table(
    number: int,
    scoped: ScopedTable,
    job: Job,
    destination: Catalogue,
    decisions: Mapping[ColumnRef, Decision],
    domains: Domains,
    facts: SourceFacts,
    problems: Problems,
) -> PlannedTable:
    table: Table = scoped.table
    theirs = destination.table(table.name)
    only = theirs is not None and theirs.kind == "r" and bool(theirs.inherited_by)
    if scoped.mode == "truncate":
        return PlannedTable(number=number, name=table.name, mode="truncate", estimated_rows=0, only=only)
    columns = plan_columns(scoped, destination, decisions, domains, facts, problems)
    view = table.kind == "v"
    return PlannedTable(
        number=number,
        name=table.name,
        mode="duplicate" if scoped.mode == "duplicate" else "carry",
        columns=columns,
        leaves=leaves_of(table),
        ranges=ranges_of(table, job.limits.range_bytes),
        copy_format=copy_format(columns),
        only=only,
        estimated_rows=table.rows,
        rows_per_batch=job.limits.rows_per_batch,
        view=view,
        materialised=table.kind == "m",
        order_by=order_of_view(job, table) if view else (),
        shape=facts.views[str(table.name)].shape if view and str(table.name) in facts.views else "",
    )


def _check_widths(job: Job, facts: SourceFacts, problems: Problems) -> None:
    for table, widest in facts.widest_bytes.items():
        if widest > job.limits.message_bytes * ENVELOPE_SHARE:
            problems.warning(
                "wide-row", table,
                f"a sampled row takes {widest} bytes, and a message takes {job.limits.message_bytes} with everything in it",
                "Raise limits.message_bytes if the run stops at such a row, or give wide columns the rule null.",
            )  # fmt: skip
