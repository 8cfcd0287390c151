"""Snapshots that this replica has planned with, until it is known whose plan won."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace_reader.snapshot import HeldSnapshot
from tailrace_shared.messages import RunRecord


@dataclass(frozen=True)
class PlannedAttempt:
    """A plan of ours and the snapshot that it was made in."""

    run: str
    attempt: int
    digest: str
    holder: HeldSnapshot


class PlannedAttempts:
    """At most one per run. Pure bookkeeping; releasing closes a connection and does not wait.

    - A snapshot stays while its plan can still win, and goes to the member that joins with it.
    - It is released when the record shows another plan, a later attempt, or the run's end.
    """

    def __init__(self) -> None:
        self._kept: dict[str, PlannedAttempt] = {}

    def put(self, planned: PlannedAttempt) -> None:
        """Keep it; an earlier one of the run is released."""
        self.drop(planned.run)
        self._kept[planned.run] = planned

    def of(self, run: str, attempt: int) -> PlannedAttempt | None:
        """Ours of this attempt, while its session lives."""
        planned = self._kept.get(run)
        return planned if planned and planned.attempt == attempt and planned.holder.alive else None

    def take(self, run: str, attempt: int, digest: str) -> HeldSnapshot | None:
        """The snapshot of the plan that won, handed over; None when it was not ours."""
        planned = self.of(run, attempt)
        if planned is None or planned.digest != digest:
            return None
        del self._kept[run]
        return planned.holder

    def on_record(self, record: RunRecord) -> None:
        """Release what the record shows to be in vain."""
        planned = self._kept.get(record.run)
        if planned is None or record.attempt < planned.attempt:
            return
        another = record.attempt == planned.attempt and record.digest not in ("", planned.digest)
        if record.terminal or record.attempt > planned.attempt or another:
            self.drop(record.run)

    def drop(self, run: str) -> None:
        """Release the run's."""
        if planned := self._kept.pop(run, None):
            planned.holder.release()

    def clear(self) -> None:
        """Release all."""
        for run in list(self._kept):
            self.drop(run)
