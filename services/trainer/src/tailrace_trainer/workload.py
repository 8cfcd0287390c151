"""The trainer's workload: a member per run that has something to learn; one model at a time, whatever the number of runs."""

from __future__ import annotations

import asyncio
import importlib.util
import time

from tailrace_shared.deadline import Deadline
from tailrace_shared.messages import RunRecord, Task
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.membership import Membership, ReplicaDiffers
from tailrace_trainer.member import TrainerMember
from tailrace_trainer.settings import Settings


class TrainerWorkload:
    """Follows the published runs. Which model it learns is the run's leader's choice, told in the run's record."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._membership: Membership | None = None
        self._turn = asyncio.Semaphore(settings.training_parallel)

    async def start(self, context: ServiceContext) -> None:
        """Make the membership; the first record will use it."""

        async def enter(record: RunRecord, plan: Plan) -> TrainerMember:
            learned = [table.learning for table in plan.tables if table.learning and not table.learning.model]
            if learned:
                require_torch()
            if any(learning.epsilon is not None for learning in learned):
                require_opacus()
            return TrainerMember(context, self._settings, record, plan, self._turn)

        self._membership = Membership(context, enter)

    async def on_record(self, record: RunRecord) -> None:
        """Join, go on with or leave the record's run."""
        if self._membership is not None:
            self._membership.on_record(record)

    async def on_task(self, task: Task) -> None:
        """Trainers take no tasks: who learns what is in the run's record."""

    async def stop(self, deadline: Deadline) -> None:
        """Leave all runs; what is being learned is learned anew by another trainer."""
        if self._membership is not None:
            await self._membership.stop(deadline)

    def last_progress(self) -> float:
        """A trainer without a model to learn is idle, not stuck."""
        return self._membership.last_progress() if self._membership else time.monotonic()


def require_torch() -> None:
    """Raise ReplicaDiffers where nothing can be learned: the run waits for a trainer that can."""
    if importlib.util.find_spec("torch") is None:
        raise ReplicaDiffers(
            "trainer.no-torch", "this trainer has no torch, without which nothing can be learned",
            "Install it beside the trainer: pip install 'tailrace-trainer[torch]', or make torch.",
        )  # fmt: skip


def require_opacus() -> None:
    """Raise ReplicaDiffers where nobody accounts for differential privacy: the run waits for a trainer that does."""
    if importlib.util.find_spec("opacus") is None:
        raise ReplicaDiffers(
            "trainer.no-opacus", "this trainer has no opacus, which accounts for differential privacy",
            "Install it beside the trainer: pip install 'tailrace-trainer[privacy]', or make torch; or leave out epsilon.",
        )  # fmt: skip
