"""The runs that this writer knows from their published records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from tailrace_shared.messages import RunRecord

KEPT = 200
"""Records of finished runs that stay in memory: a record carries its job."""


def is_active(run: str, unfinished: Iterable[str], limit: int) -> bool:
    """Whether a run is among the ``limit`` lowest of the unfinished ones; ULIDs sort by the time of submission."""
    return run in sorted({run, *unfinished})[:limit]


class _Over(NamedTuple):
    version: int
    """Of the last record."""
    at: datetime


class Runs:
    """Newest record per run; of the many that are over, the latest in full and of the others that they are."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._records: dict[str, RunRecord] = {}
        self._over: dict[str, _Over] = {}
        """Every run that is over, in the order of arrival."""
        self._arrival = asyncio.Condition()

    async def note(self, record: RunRecord) -> None:
        """A record has arrived; one that is older than the known one is ignored."""
        known = self._records.get(record.run)
        version = (
            known.version if known is not None else self._over[record.run].version if self.is_over(record.run) else -1
        )
        if record.version <= version:
            return
        async with self._arrival:
            self._records[record.run] = record
            if record.terminal:
                self._over[record.run] = _Over(record.version, record.finished_at or record.updated_at)
                for run in list(self._over)[: -self._kept]:
                    self._records.pop(run, None)
            self._arrival.notify_all()

    def get(self, run: str) -> RunRecord | None:
        """The newest record known; None for one that is long over, too."""
        return self._records.get(run)

    def known(self) -> list[RunRecord]:
        """The newest records of all runs but those that are long over."""
        return list(self._records.values())

    def is_over(self, run: str) -> bool:
        """Whether the run was read to be over."""
        return run in self._over

    def unfinished(self) -> list[RunRecord]:
        """Records of runs that are not over."""
        return [r for r in self._records.values() if not r.terminal]

    def finished(self) -> set[str]:
        """Runs that were read to be over."""
        return set(self._over)

    def ended_before(self, moment: datetime) -> list[str]:
        """Runs that were over at that time."""
        return [run for run, over in self._over.items() if over.at < moment]

    def forget(self, run: str) -> None:
        """The run's record is gone from the topic."""
        self._over.pop(run, None)
        self._records.pop(run, None)

    def active(self, run: str, limit: int) -> bool:
        """Whether it is this run's turn."""
        return is_active(run, (r.run for r in self.unfinished()), limit)

    async def wait_for(self, run: str, seconds: float) -> RunRecord | None:
        """The run's record, once it has arrived; None when it does not in time."""
        try:
            async with asyncio.timeout(seconds), self._arrival:
                await self._arrival.wait_for(lambda: run in self._records)
        except TimeoutError:
            return None
        return self._records[run]
