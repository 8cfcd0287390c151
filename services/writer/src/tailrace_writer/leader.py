"""Standing for the lead of a run, as long as the run is not over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.errors import TailraceError
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.plans import Plans
from tailrace_writer.destinations import Destination
from tailrace_writer.leader_lock import take_lead
from tailrace_writer.runs import Runs
from tailrace_writer.settings import Settings
from tailrace_writer.state.moves import Deposed, NoRow
from tailrace_writer.term import Term

log = structlog.get_logger()

_BACKOFF = RetrySchedule(first_s=0.3, limit_s=5.0, attempts=None)
_ROWLESS = 5
"""Failures that a missing row counts for: it may be about to be written, it may never be."""


@dataclass(frozen=True, slots=True)
class Office:
    """What a leader needs to lead one run."""

    context: ServiceContext
    settings: Settings
    destination: Destination
    runs: Runs
    plans: Plans
    run: str


class Leadership:
    """One writer's candidature for one run, from the first record until the run is over and cleaned up."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def run(self) -> None:
        """Stand for the lead, again and again; returns when the run is over. Cancel it to stop."""
        office, failures = self._office, 0
        said = log.bind(run=office.run)
        while self._wanted():
            try:
                lock = await take_lead(
                    office.destination,
                    office.run,
                    office.context.replica,
                    heartbeat_s=office.settings.heartbeat_s,
                    stale_s=office.settings.stale_s,
                    wanted=self._wanted,
                )
                if lock is None:
                    return
                said.info("leader.leads", epoch=lock.epoch)
                if await Term(office, lock).govern():
                    return
                failures = 1
            except Deposed:
                said.info("leader.deposed")
                failures = 1
            except NoRow:
                said.warning("leader.no-row")
                failures += _ROWLESS
            except TailraceError as error:
                said.warning("leader.trouble", code=error.code, message=error.message)
                failures += 1
            await asyncio.sleep(_BACKOFF.delay(failures, office.run) or 1.0)

    def _wanted(self) -> bool:
        return not self._office.runs.is_over(self._office.run)
