"""The generator's workload: a member per run, nothing else."""

from __future__ import annotations

import time

from tailrace_generator.fingerprints import fingerprints
from tailrace_generator.member import STEPS, GeneratorMember, join
from tailrace_generator.settings import Settings
from tailrace_shared.deadline import Deadline
from tailrace_shared.messages import RunRecord, Task
from tailrace_shared.plan.model import Fingerprints, Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.membership import Membership


class GeneratorWorkload:
    """Follows the published runs; masks for each of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._membership: Membership | None = None

    async def start(self, context: ServiceContext) -> None:
        """Make the membership; the first record will use it."""

        async def enter(record: RunRecord, plan: Plan) -> GeneratorMember:
            return await join(context, self._settings, record, plan)

        self._membership = Membership(context, enter, fingerprints=_prints, steps=STEPS)

    async def on_record(self, record: RunRecord) -> None:
        """Join, go on with or leave the record's run."""
        if self._membership is not None:
            self._membership.on_record(record)

    async def on_task(self, task: Task) -> None:
        """Generators take no tasks."""

    async def stop(self, deadline: Deadline) -> None:
        """Leave all runs."""
        if self._membership is not None:
            await self._membership.stop(deadline)

    def last_progress(self) -> float:
        """When the slowest pump last turned."""
        return self._membership.last_progress() if self._membership else time.monotonic()


def _prints(record: RunRecord) -> Fingerprints:
    return fingerprints(record.job)
