"""The writer's workload: facts into tables, a candidature and a membership per run, a caretaker and a janitor."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import structlog

from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError
from tailrace_shared.messages import RunRecord, Task
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.membership import Member, Membership
from tailrace_shared.service.plans import Plans
from tailrace_writer.board import RunBoard
from tailrace_writer.caretaker import Caretaker
from tailrace_writer.cleanup import forget_records, sweep, trim_facts
from tailrace_writer.destinations import Destinations
from tailrace_writer.facts_consumer import FactsConsumer
from tailrace_writer.leader import Leadership, Office
from tailrace_writer.member import STEPS, WriterMember
from tailrace_writer.republish import Republisher
from tailrace_writer.runs import Runs
from tailrace_writer.settings import Settings

log = structlog.get_logger()


class WriterWorkload:
    """Everything that a writer does, per run in tasks of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs = Runs()
        self._parts: _Parts | None = None

    async def start(self, context: ServiceContext) -> None:
        """Join the facts group; records bring the rest."""
        self._parts = parts = _Parts(context, self._settings, self._runs)
        context.metrics.registry.register(RunBoard(self._runs.known, context.replica, self._settings.results_s))
        await parts.facts.start()
        parts.janitor = asyncio.create_task(parts.clean(), name="janitor")
        parts.janitor.add_done_callback(parts.failed)

    async def on_record(self, record: RunRecord) -> None:
        """Stand for the lead of the run, take part in it, or see that it is over."""
        await self._runs.note(record)
        if self._parts is not None:
            self._parts.republisher.heard(record)
            self._parts.follow(record)

    async def on_old_record(self, record: RunRecord) -> None:
        """Somebody has published again what is not the newest."""
        if self._parts is not None:
            self._parts.republisher.heard(record)

    async def on_forgotten(self, run: str) -> None:
        """Its record is gone; its row in the destination stays."""
        self._runs.forget(run)
        if self._parts is not None:
            self._parts.republisher.forget(run)

    async def on_task(self, task: Task) -> None:
        """Writers take no tasks."""

    async def stop(self, deadline: Deadline) -> None:
        """Leave the facts group, step down, leave all runs."""
        if self._parts is not None:
            await self._parts.stop(deadline)

    def last_progress(self) -> float:
        """When the slowest pump last turned."""
        if self._parts is None:
            return time.monotonic()
        return min(self._parts.facts.last_progress(), self._parts.membership.last_progress())


class _Parts:
    def __init__(self, context: ServiceContext, settings: Settings, runs: Runs) -> None:
        self._context = context
        self._settings = settings
        self._runs = runs
        self._plans = Plans(context.kafka, settings.namespace)
        self._destinations = Destinations(context, Caretaker(context, settings, runs).watch)
        self._candidatures: dict[str, asyncio.Task[None]] = {}
        self.janitor: asyncio.Task[None] | None = None
        self.republisher = Republisher(context.control, runs)
        self.facts = FactsConsumer(context, self._destinations, runs)
        self.membership = Membership(context, self._join, heartbeat=False, steps=STEPS)

    def follow(self, record: RunRecord) -> None:
        """A newer record of a run."""
        self.membership.on_record(record)
        self._destinations.keep({r.job.destination.url for r in self._runs.unfinished()})
        if not record.terminal and record.run not in self._candidatures:
            office = Office(
                self._context,
                self._settings,
                self._destinations.of(record.job.destination.url),
                self._runs,
                self._plans,
                record.run,
            )
            task = asyncio.create_task(Leadership(office).run(), name=f"lead {record.run}")
            self._candidatures[record.run] = task
            task.add_done_callback(lambda done: self._ended(record.run, done))

    async def clean(self) -> None:
        """Now and then, remove topics that a writer which died has left behind, and facts that are in the tables."""
        swept: set[str] = set()
        while True:
            await asyncio.sleep(self._settings.janitor_s)
            finished = self._runs.finished() - self._candidatures.keys()
            try:
                removed = await sweep(self._context.kafka, self._settings.namespace, finished)
                await trim_facts(self._context.kafka, self._settings.namespace)
                await self._forget_old(finished)
            except TailraceError as error:
                log.warning("janitor.failed", code=error.code, message=error.message)
                continue
            if removed - swept:
                log.info("janitor.swept", runs=sorted(removed))
            swept |= removed

    async def _forget_old(self, finished: set[str]) -> None:
        """Remove records of runs that ended long ago; by now the sweep has looked for their topics."""
        due = self._runs.ended_before(datetime.now(UTC) - timedelta(days=self._settings.history_days))
        old = sorted(finished.intersection(due))
        if old:
            await forget_records(self._context.kafka, self._settings.namespace, old)
            log.info("janitor.forgot", runs=len(old), days=self._settings.history_days)

    async def stop(self, deadline: Deadline) -> None:
        """In the order in which work ends: no new facts, no decisions, no batches."""
        await self.facts.stop(deadline.within(3.0))
        tasks = [*self._candidatures.values(), *([self.janitor] if self.janitor else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.membership.stop(deadline)
        await self.republisher.stop()
        await self._destinations.stop()

    async def _join(self, record: RunRecord, plan: Plan) -> Member:
        destination = self._destinations.of(record.job.destination.url)
        member = WriterMember(self._context, self._settings, destination, record, plan)
        await member.start()
        return member

    def _ended(self, run: str, task: asyncio.Task[None]) -> None:
        self._candidatures.pop(run, None)
        self.failed(task)

    def failed(self, task: asyncio.Task[None]) -> None:
        """An error that a task does not handle itself is a defect: the process says so and ends."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)
