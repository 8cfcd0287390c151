"""Following a run to its end: shows progress, turns Ctrl-C into a request to cancel, then into leaving it alone."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

from tailrace.interrupts import Interrupts
from tailrace.live import Display
from tailrace.progress import Progress
from tailrace.runs import Runs
from tailrace_shared.messages import RunRecord

HINT_AFTER_SECONDS = 15.0
"""A run that no writer has picked up for so long probably has none."""


class Ended(NamedTuple):
    """A run that has ended, as it was watched."""

    record: RunRecord
    loading_seconds: float
    """From the first to the last row on its way; 0 when that was not watched."""


class LeftAlone(Exception):
    """The person went away; the run goes on by itself."""


def _never() -> None:
    """No reason to give up."""


async def follow(
    runs: Runs,
    run: str,
    display: Display,
    interrupts: Interrupts,
    *,
    check: Callable[[], None] = _never,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """How the run ended. The first Ctrl-C asks for its cancellation; raises LeftAlone at the second.

    ``check`` is called between records and raises to give up.
    """

    async def interrupted(count: int) -> None:
        if count > 1:
            raise LeftAlone
        await runs.cancel(run)
        display.message("cancelling: what was loaded is undone first. Ctrl-C again leaves the run to itself.")

    return await _until_terminal(runs, run, display, interrupts, interrupted, check, clock)


async def watch(
    runs: Runs, run: str, display: Display, interrupts: Interrupts, *, clock: Callable[[], float] = time.monotonic
) -> Ended:
    """How the run ended, without a say in it: raises LeftAlone at the first Ctrl-C."""

    async def interrupted(count: int) -> None:
        raise LeftAlone

    return await _until_terminal(runs, run, display, interrupts, interrupted, _never, clock)


async def _until_terminal(
    runs: Runs,
    run: str,
    display: Display,
    interrupts: Interrupts,
    interrupted: Callable[[int], Awaitable[None]],
    check: Callable[[], None],
    clock: Callable[[], float],
) -> Ended:
    started = clock()
    progress = Progress(started)
    seen, hinted = 0, False
    latest: RunRecord | None = None
    async with aclosing(runs.follow(run)) as records:
        async for record in records:
            latest = record or latest
            if latest is not None:
                display.show(progress.view(latest, clock()))
                if latest.terminal:
                    return Ended(latest, progress.loading_seconds)
            elif not hinted and clock() - started > HINT_AFTER_SECONDS:
                hinted = True
                display.message("no writer has taken the run up yet: is one running on these brokers and namespace?")
            check()
            if interrupts.count > seen:
                seen = interrupts.count
                await interrupted(seen)
    raise LeftAlone
