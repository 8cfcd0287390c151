"""Which runs this replica takes part in: join when a plan is published, join anew on a new attempt, leave at the end.

One task per run works through its latest record, so a slow join of one run delays no other, and only the newest record
counts. Members leave before topics are deleted: a terminal record is the sign.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tailrace_shared import __version__
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.messages import Failure, ReplicaRefused, ReplicaSeen, RunRecord
from tailrace_shared.plan.model import Fingerprints, Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.plans import Plans

_FAREWELL_S = 2.0


class Progress(NamedTuple):
    """What this replica has made for a run since it joined."""

    rows: int = 0
    bytes: int = 0


class Member(Protocol):
    """A replica's part in one attempt of one run."""

    async def update(self, record: RunRecord) -> None:
        """A newer record of the same attempt and plan."""

    async def leave(self, deadline: Deadline) -> None:
        """Stop pumps, commit what is done, leave groups, close connections. Called once."""

    def progress(self) -> Progress:
        """Cumulative counts, for the heartbeat."""

    def last_progress(self) -> float:
        """Monotonic time of the last turn of this member's slowest pump."""


class ReplicaDiffers(TerminalError):
    """This replica would work differently from what was planned: it stays out and says why."""


Join = Callable[[RunRecord, Plan], Awaitable[Member]]


@dataclass
class _Slot:
    record: RunRecord
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    member: Member | None = None
    joined: tuple[int, str] | None = None
    """Attempt and digest that the member works on."""
    refused: tuple[int, str] | None = None
    complained: bool = False
    task: asyncio.Task[None] | None = None


def wanted(record: RunRecord) -> tuple[int, str] | None:
    """The attempt and plan that members of this run work on now; None before ``planned`` and at the end."""
    if record.terminal or not record.digest or record.state == "submitted":
        return None
    return record.attempt, record.digest


class Membership:
    """Keeps one member per active run and tells the deciders that this replica is alive."""

    def __init__(
        self,
        context: ServiceContext,
        join: Join,
        *,
        fingerprints: Callable[[RunRecord], Fingerprints | None] | None = None,
        heartbeat: bool = True,
        steps: tuple[str, ...] = (),
    ) -> None:
        self._context = context
        self._join = join
        self._fingerprints = fingerprints
        self._heartbeat = heartbeat
        self._steps = steps
        self._plans = Plans(context.kafka, context.settings.namespace)
        self._slots: dict[str, _Slot] = {}
        self._beat: asyncio.Task[None] | None = None
        self._hellos: set[asyncio.Task[None]] = set()

    def on_record(self, record: RunRecord) -> None:
        """Note the newest record of a run; returns at once."""
        slot = self._slots.get(record.run)
        if slot is None:
            if record.terminal:
                return
            slot = self._slots[record.run] = _Slot(record)
            slot.task = asyncio.create_task(self._follow(slot), name=f"member {record.run}")
            if self._heartbeat and self._beat is None:
                self._beat = asyncio.create_task(self._heartbeats(), name="heartbeats")
                self._beat.add_done_callback(self._ended)
            if self._heartbeat:
                hello = asyncio.create_task(self._seen(record.run), name=f"hello {record.run}")
                self._hellos.add(hello)
                hello.add_done_callback(self._ended)
        slot.record = record
        slot.changed.set()

    def members(self) -> dict[str, Member]:
        """The members of now, by run."""
        return {run: slot.member for run, slot in self._slots.items() if slot.member is not None}

    def last_progress(self) -> float:
        """The oldest last turn of all members' pumps; now, when there is none.

        A pump that has told its failure stands still. That shows here until the run is stopping, as it should be at once;
        from then on there is nothing to restart this replica for, and ending the run may take long.
        """
        slots = [slot for slot in self._slots.values() if slot.record.state != "stopping"]
        turns = (slot.member.last_progress() for slot in slots if slot.member is not None)
        return min(turns, default=time.monotonic())

    async def stop(self, deadline: Deadline) -> None:
        """Leave all runs."""
        tasks = [slot.task for slot in self._slots.values() if slot.task] + ([self._beat] if self._beat else [])
        tasks += self._hellos
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._heartbeat:
            await self._say_leaving(deadline)
        await asyncio.gather(*(self._leave(slot, deadline) for slot in self._slots.values()), return_exceptions=True)
        self._slots.clear()

    async def _follow(self, slot: _Slot) -> None:
        run = slot.record.run
        self._context.metrics.join(run, self._steps, continuous=slot.record.job.mode == "continuous")
        failures = 0
        try:
            while True:
                await slot.changed.wait()
                slot.changed.clear()
                record = slot.record
                target = wanted(record)
                if slot.member is not None and slot.joined != target:
                    await self._leave(slot, Deadline.after(self._context.settings.drain_s))
                if record.terminal:
                    return
                if slot.member is not None:
                    await slot.member.update(record)
                elif target is not None and slot.refused != target:
                    try:
                        await self._enter(slot, record, target)
                        failures = 0
                    except TransientError as error:
                        self._context.log.warning("join.retry", run=run, code=error.code, message=error.message)
                        slot.changed.set()
                        failures += 1
                        await asyncio.sleep(FOREVER.delay(failures, self._context.replica) or 0)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._context.fail(error)
        finally:
            self._context.metrics.leave(run)
            if slot.record.terminal:
                self._slots.pop(run, None)

    async def _enter(self, slot: _Slot, record: RunRecord, target: tuple[int, str]) -> None:
        try:
            plan = await self._plans.fetch(record.run, target[1])
            slot.member = await self._join(record, plan)
        except TransientError:
            raise
        except TailraceError as error:
            slot.refused = target
            await self._refuse(record.run, error)
            return
        slot.joined = target
        self._context.log.info("run.joined", run=record.run, attempt=target[0])

    async def _leave(self, slot: _Slot, deadline: Deadline) -> None:
        member, slot.member, slot.joined = slot.member, None, None
        if member is not None:
            try:
                await member.leave(deadline)
            except Exception:
                self._context.log.exception("run.leave-failed", run=slot.record.run)
            self._context.log.info("run.left", run=slot.record.run, state=slot.record.state)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A replica that can no longer say that it lives would be taken for dead while it works: it has to end."""
        self._hellos.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._context.settings.heartbeat_s)
            for run in list(self._slots):
                await self._seen(run)

    async def _say_leaving(self, deadline: Deadline) -> None:
        """So that nobody takes a replica that was scaled down for one that was lost. A broker that is away is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_FAREWELL_S, deadline.remaining())):
                for run in list(self._slots):
                    await self._seen(run, leaving=True)

    async def _seen(self, run: str, *, leaving: bool = False) -> None:
        slot = self._slots.get(run)
        if slot is None:
            return
        done = slot.member.progress() if slot.member else Progress()
        try:
            prints = None if leaving else await self._prints(slot)
            await self._context.control.fact(
                ReplicaSeen(
                    run=run,
                    service=self._context.service,
                    replica=self._context.replica,
                    release=__version__,
                    fingerprints=prints,
                    rows=done.rows,
                    bytes=done.bytes,
                    memory_bytes=self._context.metrics.memory.resident_bytes(),
                    memory_limit=self._context.metrics.memory.limit_bytes() or 0,
                    leaving=leaving,
                )
            )
        except TailraceError as error:  # the next heartbeat may get through
            self._context.log.warning("heartbeat.failed", run=run, code=error.code, message=error.message)

    async def _prints(self, slot: _Slot) -> Fingerprints | None:
        """This replica's fingerprints; a replica that cannot make them (no mask secret) says so once."""
        if self._fingerprints is None:
            return None
        try:
            return self._fingerprints(slot.record)
        except TailraceError as error:
            if not slot.complained:
                slot.complained = True
                await self._refuse(slot.record.run, error)
            return None

    async def _refuse(self, run: str, error: TailraceError) -> None:
        failure = Failure(code=error.code, message=error.message, remedy=error.remedy)
        self._context.log.error("join.refused", run=run, code=error.code, message=error.message)
        await self._context.control.fact(
            ReplicaRefused(run=run, service=self._context.service, replica=self._context.replica, failure=failure)
        )
