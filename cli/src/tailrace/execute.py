"""Submitting a job and seeing it through: what ``run`` and ``demo`` share."""

from __future__ import annotations

from collections.abc import Callable

from tailrace.follow import Ended, LeftAlone, follow
from tailrace.interrupts import Interrupts
from tailrace.live import Display
from tailrace.runs import Runs
from tailrace_shared.job.spec import Job


async def execute(
    runs: Runs,
    job: Job,
    display: Display,
    *,
    submitted: Callable[[str], None] = lambda run: None,
    check: Callable[[], None] = lambda: None,
) -> tuple[str, Ended | None]:
    """The run's id and how it ended; None when it was left to itself. ``check`` raises to give up waiting."""
    with Interrupts() as interrupts:
        run = await runs.submit(job)
        submitted(run)
        with display:
            try:
                return run, await follow(runs, run, display, interrupts, check=check)
            except LeftAlone:
                return run, None
