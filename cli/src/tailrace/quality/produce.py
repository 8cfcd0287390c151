"""From a job to a report and its files: both databases are sampled, and what is written is written whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tailrace.commands.preview import chosen_tables
from tailrace.console import Output
from tailrace.planning import databases, plan_of
from tailrace.quality.assemble import assemble, report_of
from tailrace.quality.model import QualityReport, RunFacts
from tailrace.quality.sampling import Wanted
from tailrace.report import RunReport
from tailrace.report_runs import Aftermath, aftermath_of, attached_run
from tailrace.verification import as_if_empty
from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import Problem

TAKEN_BACK: Final = frozenset({"failed", "cancelled"})
"""States after which nothing that a run has loaded is in its destination."""

LOADED: Final = frozenset({"done", "streaming", "paused"})


async def quality_of(
    job: Job, tables: list[str], wanted: Wanted, k: int, run: str | None, output: Output
) -> tuple[list[Problem], QualityReport | None]:
    """The report of a job's tables and of the run that loaded them, ``run`` or the last one that is done.

    Without a report, the problems for which the job cannot be planned. Raises UsageError and mapped PostgreSQL errors.
    """
    wished = as_if_empty(job)
    async with databases(job) as ends:
        attached, why = await attached_run(ends.destination, job, run)
        facts = _facts(attached, await aftermath_of(ends.destination, attached))
        if facts is not None and facts.state not in (*LOADED, *TAKEN_BACK):
            raise UsageError(
                "report.not-done",
                f"run {facts.run} is {facts.state}: what it loads is not all there",
                "Wait for its end: `tailrace status` shows it.",
            )
        if facts is not None and facts.state in TAKEN_BACK:
            gone = {"all tables": f"the run is {facts.state}: nothing that it loaded is there"}
            return [], report_of(job, ends, (), gone, seed=wanted.seed, k=k, run=facts)
        result = await plan_of(wished, ends, whole=False)
        if result.plan is None:
            return [problem for problem in result.problems if problem.severity == "error"], None
        chosen = chosen_tables(result.plan, tables)
        with output.busy("sampling both sides and comparing"):
            return [], await assemble(job, ends, result.plan, chosen, wanted, k=k, run=facts, why_no_run=why)


def _facts(run: RunReport | None, aftermath: Aftermath) -> RunFacts | None:
    if run is None:
        return None
    return RunFacts(
        run=run.run,
        state=run.state,
        finished_at=run.finished_at,
        same_job=run.same_job,
        checks=run.checks,
        why=aftermath.why,
        later=aftermath.later,
    )


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all: a collector may read the file at any moment. Raises UsageError where it cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UsageError("quality.file", f"{path} cannot be written ({error.strerror})", "Name another path.") from None
