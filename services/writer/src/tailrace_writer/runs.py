"""The runs that this writer knows from their published records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tailrace_shared.messages import RunRecord


def is_active(run: str, unfinished: Iterable[str], limit: int) -> bool:
    """Whether a run is among the ``limit`` lowest of the unfinished ones; ULIDs sort by the time of submission."""
    return run in sorted({run, *unfinished})[:limit]


class Runs:
    """Newest record per run."""

    def __init__(self) -> None:
        self._records: dict[str, RunRecord] = {}
        self._arrival = asyncio.Condition()

    async def note(self, record: RunRecord) -> None:
        """A record has arrived; one that is older than the known one is ignored."""
        known = self._records.get(record.run)
        if known is None or record.version > known.version:
            async with self._arrival:
                self._records[record.run] = record
                self._arrival.notify_all()

    def get(self, run: str) -> RunRecord | None:
        """The newest record known."""
        return self._records.get(run)

    def unfinished(self) -> list[RunRecord]:
        """Records of runs that are not over."""
        return [r for r in self._records.values() if not r.terminal]

    def finished(self) -> set[str]:
        """Runs that were read to be over."""
        return {run for run, r in self._records.items() if r.terminal}

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
