"""The seam between the shell and a service: what the shell calls, when, and what a failure means."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tailrace_shared.deadline import Deadline
from tailrace_shared.messages import RunRecord, Task
from tailrace_shared.service.context import ServiceContext


class Workload(Protocol):
    """A service's own part. All methods run on the one event loop; none may block it."""

    async def start(self, context: ServiceContext) -> None:
        """Called once, before the first record. A failure ends the process."""

    async def on_record(self, record: RunRecord) -> None:
        """A newer published record of a run, terminal ones of the past included. Must return at once: start tasks."""

    async def on_task(self, task: Task) -> None:
        """A task of the service's group, at least once. Returning acknowledges it; failures are reported as facts."""

    async def stop(self, deadline: Deadline) -> None:
        """Finish or abandon work in hand, commit what is done, leave all groups. The broker is still connected."""

    def last_progress(self) -> float:
        """Monotonic time at which the slowest pump last turned; now, when there is none."""


@runtime_checkable
class WatchesRecords(Protocol):
    """A workload that also hears records which are not newer than one seen before: the writer puts the newest one back."""

    async def on_old_record(self, record: RunRecord) -> None:
        """A record of the same or a lower version than a former one of its run. Must return at once."""


@runtime_checkable
class ForgetsRuns(Protocol):
    """A workload that keeps something of runs which are long over."""

    async def on_forgotten(self, run: str) -> None:
        """The run's record was removed from the topic. Must return at once."""
