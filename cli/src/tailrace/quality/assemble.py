"""From a job's tables to a report: samples, judgements, the run that loaded them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from tailrace.planning import Databases
from tailrace.quality.judge import judge
from tailrace.quality.losses import losses_of
from tailrace.quality.model import QualityReport, RunFacts, TableQuality, worst
from tailrace.quality.sampling import Wanted, subject_of
from tailrace.quality.sequence_sampling import sequences_of
from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import Plan, PlannedTable


def wanted_of(rows: int, seed: int, held_out: Sequence[str], targets: Sequence[str], orders: Sequence[str]) -> Wanted:
    """What the command line asks for. Raises UsageError for what is no ``table=…``."""
    return Wanted(rows, seed, _pairs("--held-out", held_out), _pairs("--target", targets), _pairs("--order", orders))


def _pairs(option: str, given: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for one in given:
        table, equal, what = one.partition("=")
        if not equal or not table.strip() or not what.strip():
            raise UsageError("quality.option", f"{option} {one} is no schema.table=…", f"Give {option} schema.table=….")
        found[table.strip()] = what.strip()
    return found


async def assemble(
    job: Job,
    ends: Databases,
    plan: Plan,
    tables: Sequence[PlannedTable],
    wanted: Wanted,
    *,
    k: int,
    run: RunFacts | None,
    why_no_run: str,
) -> QualityReport:
    """The report of these tables. Raises UsageError for an option that names none, and mapped PostgreSQL errors."""
    known = {str(table.name) for table in tables}
    for name in (*wanted.held_out, *wanted.targets, *wanted.orders):
        if name not in known:
            raise UsageError(
                "quality.option", f"no table {name} is compared", f"Name one of {', '.join(sorted(known)[:10])}."
            )
    losses = await losses_of(ends.destination, tables, run.run if run else "")
    found: list[TableQuality] = []
    left_out: dict[str, str] = {}
    for table in tables:
        subject = await subject_of(ends, plan, table, wanted)
        if isinstance(subject, str):
            left_out[str(table.name)] = subject
        else:
            sequences, notes = await sequences_of(ends, plan, table, tables, subject.treatments, wanted)
            subject = replace(
                subject, sequences=sequences, notes=(*subject.notes, *notes), losses=losses.get(subject.name)
            )
            found.append(judge(subject, seed=wanted.seed, k=k))
    return report_of(job, ends, found, left_out, seed=wanted.seed, k=k, run=run, why_no_run=why_no_run)


def report_of(
    job: Job,
    ends: Databases,
    tables: Sequence[TableQuality],
    left_out: Mapping[str, str],
    *,
    seed: int,
    k: int,
    run: RunFacts | None,
    why_no_run: str = "",
) -> QualityReport:
    """What was judged, with what is known of both ends and of the run."""
    return QualityReport(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        job=job.name,
        source=ends.source_catalogue.database,
        destination=ends.destination_catalogue.database,
        seed=seed,
        k=k,
        verdict=worst(gate for table in tables for gate in table.gates),
        run=run,
        why_no_run=why_no_run,
        tables=tuple(tables),
        left_out=dict(left_out),
    )
