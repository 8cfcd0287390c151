"""Keeps the newest record of a run the last one on the topic, whoever published an older one after it.

A former leader that was stopped and comes back may publish what it had in hand, and compaction would keep that for good.
"""

from __future__ import annotations

import asyncio

import structlog

from tailrace_shared.messages import RunRecord
from tailrace_shared.service.control import Control
from tailrace_writer.runs import Runs

SETTLE_S = 2.0
"""At a start the whole topic is read again, old mistakes and their corrections too: only what comes last matters."""

log = structlog.get_logger()


class Republisher:
    """Hears every record of the topic in its order."""

    def __init__(self, control: Control, runs: Runs) -> None:
        self._control = control
        self._runs = runs
        self._last: dict[str, int] = {}
        """Version of the record that was heard last, per run."""
        self._checks: dict[str, asyncio.Task[None]] = {}

    def heard(self, record: RunRecord) -> None:
        """Note a record; one that is older than the newest is looked at again a little later."""
        self._last[record.run] = record.version
        newest = self._runs.get(record.run)
        if newest is not None and record.version < newest.version and record.run not in self._checks:
            self._checks[record.run] = asyncio.create_task(self._check(record.run), name=f"republish {record.run}")

    def forget(self, run: str) -> None:
        """The run's record is gone from the topic, and shall not come back."""
        self._last.pop(run, None)

    async def stop(self) -> None:
        """Forget what was to be looked at."""
        checks = list(self._checks.values())
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)

    async def _check(self, run: str) -> None:
        try:
            await asyncio.sleep(SETTLE_S)
            newest = self._runs.get(run)
            if newest is not None and self._last.get(run, newest.version) < newest.version:
                log.warning("record.republished", run=run, version=newest.version, over=self._last[run])
                await self._control.record(newest)
        finally:
            del self._checks[run]
