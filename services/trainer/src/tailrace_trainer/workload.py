"""The trainer's workload: it takes train tasks from its group and answers each with a fact."""

from __future__ import annotations

import time

from tailrace_shared.deadline import Deadline
from tailrace_shared.messages import Failure, RunRecord, Task, TrainingRefused, TrainTask
from tailrace_shared.service.context import ServiceContext
from tailrace_trainer.settings import Settings


class TrainerWorkload:
    """Answers *not yet* to every train task: this release learns no models, and no plan of this release asks for one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context: ServiceContext | None = None

    async def start(self, context: ServiceContext) -> None:
        """Remember how to answer."""
        self._context = context

    async def on_record(self, record: RunRecord) -> None:
        """Runs concern a trainer through its tasks only."""

    async def on_task(self, task: Task) -> None:
        """Answer a train task; other services' tasks pass by."""
        if isinstance(task, TrainTask) and self._context is not None:
            await self._context.control.fact(refusal(task, self._context.replica))

    async def stop(self, deadline: Deadline) -> None:
        """Nothing is in hand between tasks."""

    def last_progress(self) -> float:
        """A trainer without a task is idle, not stuck."""
        return time.monotonic()


def refusal(task: TrainTask, replica: str) -> TrainingRefused:
    """The answer *not yet*."""
    return TrainingRefused(
        run=task.run,
        attempt=task.attempt,
        table=task.table,
        replica=replica,
        failure=Failure(
            code="trainer.not-yet",
            message="this release of the trainer does not learn models yet",
            remedy="Give the table's columns other generators: mask, mock, key, constant or duplicate.",
        ),
    )
