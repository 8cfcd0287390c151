"""Comparing a destination that follows its source, while both go on: asked for here, done by the services."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing

from ulid import ULID

from tailrace.operating import running
from tailrace.runs import Runs, find
from tailrace_shared.errors import ExitCode, TerminalError, TransientError, UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import ComparisonProgress, ComparisonRequested, RunRecord

ANSWER_S = 30.0
"""A writer that is there takes a request up within a second or two."""
_OPEN = ("asked", "reading")


def live_run(records: dict[str, RunRecord], job: Job, asked: str | None) -> RunRecord:
    """The run to compare: the one that is named, else the job's. Raises UsageError where none can be compared now."""
    if asked is None and job.mode != "continuous":
        raise UsageError(
            "verify.not-live",
            f"job {job.name} carries its source once: nothing of it is live",
            "Leave --live out: the destination is then compared with the source as it is now.",
        )
    record = running(records, job) if asked is None else find(records, asked)
    if record is None:
        raise UsageError("run.unknown", f"no run of job {job.name} is running", "`tailrace status` lists the runs.")
    if record.state != "streaming":
        paused = record.state == "paused" or record.pause_requested
        raise UsageError(
            "verify.not-streaming",
            f"run {record.run} is {record.state}: a comparison needs one that streams",
            f"tailrace resume {record.run}" if paused else "Wait until it follows its source: tailrace status.",
        )
    if record.comparison is not None and record.comparison.state in _OPEN:
        raise UsageError(
            "verify.busy",
            f"run {record.run} is being compared already",
            "Wait until that has ended: it takes about as long as loading the tables did.",
        )
    return record


def require_known(record: RunRecord, tables: Sequence[str]) -> None:
    """Raise UsageError for a table that the run does not have."""
    known = {table.name for table in record.tables}
    if unknown := [name for name in tables if name not in known]:
        raise UsageError(
            "run.unknown-table",
            f"run {record.run} has no table {unknown[0]}",
            f"Name one as schema.table: {', '.join(sorted(known)[:5])}{' …' if len(known) > 5 else ''}.",
        )


async def compare(
    runs: Runs,
    record: RunRecord,
    tables: Sequence[str],
    *,
    said: Callable[[ComparisonProgress], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[RunRecord, ComparisonProgress]:
    """Ask, and wait until it is done. ``said`` is told what goes on.

    Raises UsageError where it was refused, TerminalError where it has failed, TransientError where nobody takes it up.
    """
    asked, started = str(ULID()), clock()
    await runs.ask(ComparisonRequested(run=record.run, id=asked, tables=tuple(tables)))
    async with aclosing(runs.follow(record.run)) as records:
        async for news in records:
            record = news or record
            made = record.comparison
            if record.terminal and (made is None or made.id != asked or made.state in _OPEN):
                raise TerminalError("run.over", f"run {record.run} is {record.state}", "")
            if made is None or made.id != asked:
                if clock() - started > ANSWER_S:
                    raise TransientError(
                        "comparison.no-answer",
                        f"no writer has taken the comparison of run {record.run} up within {ANSWER_S:.0f} s",
                        "Check that a writer is running on these brokers and namespace; tailrace status shows them.",
                    )
            elif made.state == "refused":
                raise UsageError("verify.not-streaming", f"run {record.run} cannot be compared: {made.why}", "")
            elif made.state == "failed":
                raise TerminalError(
                    "comparison.failed",
                    f"run {record.run} could not be compared: {made.why}",
                    "Nothing else is touched by that: try again.",
                )
            elif made.state == "done":
                return record, made
            elif news is not None:
                said(made)
    raise TransientError("comparison.no-answer", f"the records of run {record.run} have ended", "Try again.")


def equal(made: ComparisonProgress) -> bool:
    """Whether something was compared, and all of it is the same on both sides."""
    return bool(made.checks) and all(check.passed for check in made.checks)


def exit_code_of(made: ComparisonProgress) -> ExitCode:
    """What the command ends with."""
    return ExitCode.OK if equal(made) else ExitCode.FAILED


def words_of(made: ComparisonProgress) -> str:
    """What goes on, in words."""
    if made.state == "asked":
        return f"begun anew ({made.tries} of 3): {made.why}" if made.why else "asked"
    if not made.point:
        return "taking a snapshot of the source"
    waits = "" if made.cut_at else ", the destination comes to the same point"
    return f"{made.rows:,} rows compared of {made.tables} tables at {made.point}{waits}"
