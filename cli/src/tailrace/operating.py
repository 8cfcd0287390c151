"""Operating continuous runs: which one is meant, whether it can do what is asked, and seeing that it does."""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.console import Output
from tailrace.follow import LeftAlone, Until, watch
from tailrace.interrupts import Interrupts
from tailrace.live import display
from tailrace.runs import Request, Runs, find
from tailrace.summary import closing, exit_code, headline
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import RunRecord, State

BEFORE_LOADING: frozenset[State] = frozenset({"submitted", "planned", "preparing"})


def running(records: Mapping[str, RunRecord], job: Job) -> RunRecord | None:
    """The run that follows the job's source already: of the same name, between the same ends, and not over."""
    found = [
        record
        for record in records.values()
        if not record.terminal
        and record.job.mode == "continuous"
        and (record.job.name, record.job.source.url, record.job.destination.url)
        == (job.name, job.source.url, job.destination.url)
    ]
    return max(found, key=lambda record: record.run, default=None)


def continuous_run(records: dict[str, RunRecord], run: str) -> RunRecord:
    """The record of a continuous run named by its id or a part of it. Raises UsageError for any other."""
    record = find(records, run)
    if record.job.mode != "continuous":
        raise UsageError(
            "run.not-continuous",
            f"run {record.run} of job {record.job.name} carries its source once: it follows nothing",
            "`tailrace cancel` ends it; a job with `mode: continuous` is followed.",
        )
    return record


def require_not_over(record: RunRecord) -> None:
    """Raise UsageError for a run that has ended."""
    if record.terminal:
        raise UsageError(
            "run.over",
            f"run {record.run} is {record.state}",
            "`tailrace run` starts the job again: it loads everything anew.",
        )


async def see_to_it(
    runs: Runs, record: RunRecord, request: Request | None, output: Output, until: Until, *, wait: bool, asked: str
) -> RunRecord | None:
    """Ask (unless that was done before), and wait until it is so. The record then; None where nobody waits for it.

    ``asked`` are the words for what was asked, ``a pause``. The command's results are written where None is returned.
    """
    if request is not None:
        await runs.ask(request)
    if not wait:
        output.say(f"asked run {record.run} for {asked}")
        output.data({"run": record.run, "asked": asked})
        return None
    with Interrupts() as interrupts, display(output) as shown:
        try:
            return (await watch(runs, record.run, shown, interrupts, until=until)).record
        except LeftAlone:
            output.note(f"What was asked for stands. See it with `tailrace status {record.run}`.")
            raise


def told(record: RunRecord, output: Output, *, good: bool) -> ExitCode:
    """Say what has come of it."""
    output.say(closing(record) if record.terminal else f"run {record.run}", *_now(record))
    output.data(record)
    if good:
        return ExitCode.OK
    return exit_code(record) if record.terminal and record.state != "done" else ExitCode.FAILED


def _now(record: RunRecord) -> list[object]:
    return [] if record.terminal else [headline(record)]
