"""Submitting a job and seeing it through: what ``run`` and ``demo`` share."""

from __future__ import annotations

from collections.abc import Callable

from tailrace.follow import Ended, LeftAlone, attend, follow, watch
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
    embedded: bool = False,
) -> tuple[str, Ended | None]:
    """The run's id and how it ended; None when it was left to itself. ``check`` raises to give up waiting.

    Ctrl-C asks for the cancellation of a run that carries its source once. A continuous one is left running; where its
    services are ``embedded`` in this command it is stopped in good order.
    """
    with Interrupts() as interrupts:
        run = await runs.submit(job)
        submitted(run)
        with display:
            try:
                if job.mode == "once":
                    return run, await follow(runs, run, display, interrupts, check=check)
                if embedded:
                    return run, await attend(runs, run, display, interrupts, check=check)
                return run, await watch(runs, run, display, interrupts)
            except LeftAlone:
                return run, None
