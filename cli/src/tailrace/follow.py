"""Following a run: shows progress, and turns Ctrl-C into what it means for a run of its kind."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

from tailrace.interrupts import Interrupts
from tailrace.live import Display
from tailrace.progress import Progress
from tailrace.runs import Runs
from tailrace_shared.messages import CancelRequested, RunRecord, State, StopRequested

HINT_AFTER_SECONDS = 15.0
"""A run that no writer has picked up for so long probably has none."""
FOLLOWING: frozenset[State] = frozenset({"streaming", "paused", "stopping"})
"""States in which a continuous run's destination is of use: it is ended in good order, not undone."""


class Ended(NamedTuple):
    """A run that has ended, or come to what was waited for, as it was watched."""

    record: RunRecord
    loading_seconds: float
    """From the first to the last row on its way; 0 when that was not watched."""


class LeftAlone(Exception):
    """The person went away; the run goes on by itself."""


Until = Callable[[RunRecord], bool]
_Interrupted = Callable[[int, RunRecord | None], Awaitable[None]]


def _never() -> None:
    """No reason to give up."""


def ended(record: RunRecord) -> bool:
    """Nothing more comes of the run."""
    return record.terminal


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

    async def interrupted(count: int, latest: RunRecord | None) -> None:
        if count > 1:
            raise LeftAlone
        await runs.ask(CancelRequested(run=run))
        display.message("cancelling: what was loaded is undone first. Ctrl-C again leaves the run to itself.")

    return await _watch(runs, run, display, interrupts, interrupted, ended, check, clock)


async def attend(
    runs: Runs,
    run: str,
    display: Display,
    interrupts: Interrupts,
    *,
    check: Callable[[], None] = _never,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """How a continuous run ended whose services end with this command: the first Ctrl-C stops it in good order.

    Before it has begun to follow its source there is nothing to keep, and it is cancelled. Raises LeftAlone at the second.
    """

    async def interrupted(count: int, latest: RunRecord | None) -> None:
        if count > 1:
            raise LeftAlone
        if latest is not None and latest.state in FOLLOWING:
            await runs.ask(StopRequested(run=run))
            display.message(
                "stopping: the last changes are applied and everything is verified first. Ctrl-C again ends at once."
            )
        else:
            await runs.ask(CancelRequested(run=run))
            display.message("cancelling: what was loaded is undone first. Ctrl-C again ends at once.")

    return await _watch(runs, run, display, interrupts, interrupted, ended, check, clock)


async def watch(
    runs: Runs,
    run: str,
    display: Display,
    interrupts: Interrupts,
    *,
    until: Until = ended,
    clock: Callable[[], float] = time.monotonic,
) -> Ended:
    """How the run ended, or came to what ``until`` says, without a say in it: raises LeftAlone at the first Ctrl-C."""

    async def interrupted(count: int, latest: RunRecord | None) -> None:
        raise LeftAlone

    return await _watch(
        runs, run, display, interrupts, interrupted, lambda record: record.terminal or until(record), _never, clock
    )


async def _watch(
    runs: Runs,
    run: str,
    display: Display,
    interrupts: Interrupts,
    interrupted: _Interrupted,
    until: Until,
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
                if until(latest):
                    return Ended(latest, progress.loading_seconds)
            elif not hinted and clock() - started > HINT_AFTER_SECONDS:
                hinted = True
                display.message("no writer has taken the run up yet: is one running on these brokers and namespace?")
            check()
            if interrupts.count > seen:
                seen = interrupts.count
                await interrupted(seen, latest)
    raise LeftAlone
