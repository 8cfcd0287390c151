"""The reader's workload: it plans where a task asks for it, and is a member of every run that has a plan."""

from __future__ import annotations

import asyncio
import time

from tailrace_reader.access import source_of
from tailrace_reader.attempts import PlannedAttempt, PlannedAttempts
from tailrace_reader.lane_janitor import LaneJanitor
from tailrace_reader.member import READING, STEPS, ReaderMember
from tailrace_reader.planning import Planner
from tailrace_reader.settings import Settings
from tailrace_reader.snapshot import HeldSnapshot, SnapshotGone, join_snapshot
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TransientError
from tailrace_shared.messages import PlanTask, RunRecord, SnapshotUnavailable, Task
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.membership import Membership


class ReaderWorkload:
    """Follows the published runs; plans, holds snapshots and reads for each of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._attempts = PlannedAttempts()
        self._context: ServiceContext | None = None
        self._planner: Planner | None = None
        self._latest: dict[str, RunRecord] = {}
        """The newest record of every run that has not ended."""
        self._membership: Membership | None = None
        self._janitor: LaneJanitor | None = None

    async def start(self, context: ServiceContext) -> None:
        """Make planner and membership; the first record will use them."""
        self._context = context
        self._planner = Planner(context, self._settings, self._attempts)
        self._janitor = LaneJanitor(lambda job: source_of(job, context.application_name))

        async def enter(record: RunRecord, plan: Plan) -> ReaderMember:
            return await self._join(context, record, plan)

        self._membership = Membership(context, enter, steps=STEPS)

    async def on_record(self, record: RunRecord) -> None:
        """Join, go on with or leave the record's run; release snapshots whose plan has lost."""
        if self._planner is not None and self._membership is not None:
            self._latest[record.run] = record
            if record.terminal:
                del self._latest[record.run]
            self._planner.on_record(record)
            self._membership.on_record(record)
            if self._janitor is not None:
                self._janitor.on_record(record)

    async def on_task(self, task: Task) -> None:
        """Begin to plan; other services' tasks pass by."""
        if isinstance(task, PlanTask) and self._planner is not None:
            self._planner.take(task)

    async def stop(self, deadline: Deadline) -> None:
        """Leave all runs, hold no snapshot."""
        if self._planner is not None and self._membership is not None:
            await asyncio.gather(self._planner.stop(deadline), self._membership.stop(deadline))
        if self._janitor is not None:
            await self._janitor.stop()
        self._attempts.clear()

    def last_progress(self) -> float:
        """When the slowest pump last turned."""
        return self._membership.last_progress() if self._membership else time.monotonic()

    async def _join(self, context: ServiceContext, record: RunRecord, plan: Plan) -> ReaderMember:
        holder = self._attempts.take(record.run, record.attempt, record.digest)
        if holder is None and record.state in READING:
            holder = await self._snapshot(context, record)
        try:
            member = ReaderMember(context, self._settings, record, plan, holder)
            await member.start()
        except TransientError:
            if holder is not None:
                self._keep(PlannedAttempt(record.run, record.attempt, record.digest, holder))
            raise
        except BaseException:
            if holder is not None:
                holder.release()
            raise
        return member

    def _keep(self, joined: PlannedAttempt) -> None:
        """For the next try: this may be the last session that holds the snapshot."""
        self._attempts.put(joined)
        if (latest := self._latest.get(joined.run)) is None:
            self._attempts.drop(joined.run)  # the run has ended meanwhile
        else:
            self._attempts.on_record(latest)

    async def _snapshot(self, context: ServiceContext, record: RunRecord) -> HeldSnapshot:
        """Join the attempt's snapshot. Raises TransientError when nobody lists it, after saying that what is listed is gone."""
        ids = [snapshot.id for snapshot in record.snapshots]
        if not ids:
            raise TransientError("reader.no-snapshot", f"no reader holds the snapshot of run {record.run} yet")
        try:
            return await join_snapshot(source_of(record.job, context.application_name), ids)
        except SnapshotGone as error:
            await context.control.fact(
                SnapshotUnavailable(run=record.run, attempt=record.attempt, replica=context.replica, tried=error.tried)
            )
            raise
