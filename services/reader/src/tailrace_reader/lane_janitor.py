"""Dropping slots and publications that nobody needs: a forgotten slot fills the source's disk.

Only what is named after a run that this reader has *read* to be over, or to be at a later attempt, is dropped; what belongs to
unknown runs stays, and `tailrace check` lists it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from tailrace_reader.lane_opening import drop_lane, lane_of_name, lanes_left
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.errors import TailraceError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import RunRecord

EVERY_S = 60.0
SOON_S = 1.0
"""After a run has ended its last capture lets go of the slot by itself; then this looks."""

log = structlog.get_logger()


class LaneJanitor:
    """Looks through the sources of continuous runs, when one has ended and once a minute."""

    def __init__(self, source_of: Callable[[Job], SourceServer]) -> None:
        self._source_of = source_of
        self._runs: dict[str, RunRecord] = {}
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def on_record(self, record: RunRecord) -> None:
        """Note the newest record of a continuous run."""
        if record.job.mode != "continuous":
            return
        former = self._runs.get(record.run)
        self._runs[record.run] = record
        if record.terminal or (former is not None and record.attempt > former.attempt):
            self._nudged.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="lane janitor")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            try:
                async with asyncio.timeout(EVERY_S):
                    await self._nudged.wait()
                await asyncio.sleep(SOON_S)
            except TimeoutError:
                pass
            self._nudged.clear()
            for job in {r.job.source.url: r.job for r in self._runs.values()}.values():
                await self._look(job)

    async def _look(self, job: Job) -> None:
        started = time.monotonic()
        try:
            source = self._source_of(job)
            for name in await lanes_left(source):
                if self._over(name):
                    await drop_lane(source, name, name)
                    log.info("lane.dropped", slot=name, seconds=round(time.monotonic() - started, 3))
        except TailraceError as error:  # looked for again in a minute
            log.warning("lane-janitor.failed", code=error.code, message=error.message)

    def _over(self, name: str) -> bool:
        lane = lane_of_name(name)
        record = self._runs.get(lane[0]) if lane else None
        return lane is not None and record is not None and (record.terminal or lane[1] < record.attempt)
