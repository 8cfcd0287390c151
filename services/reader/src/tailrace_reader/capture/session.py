"""One session of a capture: decode, seal, send, confirm; until the lane is to end, or something fails.

While a record is sealed, sent and acknowledged, the next one is decoded. Nothing is sent before the former record is acknowledged:
after a failure the lane has no hole.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from tailrace_reader.capture.cutover import SnapshotFilter
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.freshness import Captured, lags_of
from tailrace_reader.capture.growing import Grown, only_added
from tailrace_reader.capture.held import Backlog, Held
from tailrace_reader.capture.lease import Lease
from tailrace_reader.capture.record import Lane, Record, Recorder
from tailrace_reader.capture.relations import FULL, Relation, differences
from tailrace_reader.capture.segment import Segment
from tailrace_reader.capture.slots import slot_state, source_position
from tailrace_reader.capture.stream import ChangeStream
from tailrace_reader.capture.tables import CapturedTable, described
from tailrace_reader.capture.tail import Kept, LaneEnd
from tailrace_reader.capture.watch import EVERY_S, added, grown_in, look_at
from tailrace_reader.lane_opening import lsn_of, lsn_text
from tailrace_shared.changes import RelationChanged, Truncated
from tailrace_shared.changes.visible import Visible
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.messages import CaptureSeen, Fact, RunRecord, SlotState, TableAppeared, TableChanged, TableWaits
from tailrace_shared.plan.model import PlannedTable

if TYPE_CHECKING:
    from tailrace_reader.capture.worker import Capture

Given = TypeVar("Given")
Made = TypeVar("Made")
SEEN_S = 2.0
CUT_S = 0.5
"""The loop looks around this often while nothing comes."""
THREAD_CHANGES = 2_048
"""Smaller records are done on the spot, in a few milliseconds: handing them to a thread and back takes as long."""


class CaptureSession:
    """One stream's work under the lease."""

    def __init__(
        self, capture: Capture, stream: ChangeStream, sender: Sender, lease: Lease, end: LaneEnd, timeline: int
    ) -> None:
        self._of = capture
        plan, follow = capture.plan, capture.follow
        self._stream = stream
        self._sender = sender
        self._lease = lease
        self._decoder = Decoder([captured(t) for t in plan.tables if t.relation is not None], end.tail.last)
        lane = Lane(plan.run, follow.lane, follow.system, timeline, capture.digest, plan.key.id)
        self.recorder = Recorder(lane, capture.cipher, end.tail)
        self._held = Held(end.tail.last, time.time())
        for kept in end.kept:
            self._held.add(kept)
        self._told = end.tail
        """Where the lane goes with what Kafka has acknowledged."""
        self._budget = capture.record.job.continuous.disk_bytes
        self._heartbeat_s = capture.record.job.continuous.heartbeat_s
        self._idle_since = time.monotonic()
        self._held_back = False
        self._backlog = Backlog(time.time())
        self._ends_at: int | None = None
        self._sending: asyncio.Task[None] | None = None
        """What makes a record of the last segment and sends it."""
        self._unwritten: dict[int, tuple[Relation, int]] = {}
        """Tables with columns that the plan does not have, as a look has found them, and the WAL position of that look."""
        self._refused: set[tuple[str, int]] = set()
        """Plan and table for which this was asked in vain."""

    async def work(self) -> None:
        """Until the lane has ended. Raises what streaming and sending raise."""
        seen = asyncio.create_task(self._say_seen(), name=f"capture seen {self._of.plan.run}")
        watching = asyncio.create_task(self._watch(), name=f"capture watch {self._of.plan.run}")
        try:
            while not await self._ended():
                self._of.turn()
                self._lease.check()
                for task in (seen, watching):
                    if task.done():
                        task.result()
                await self._revise()
                await self._grow_unwritten()
                if self._over_budget():
                    await self._sent()
                    await asyncio.sleep(CUT_S)
                    continue
                frames = await self._stream.cut(self._decoder.inside, CUT_S)
                if frames is None:
                    self._backlog.idle()
                    await self._sent()
                    await self._idle()
                    continue
                started = time.perf_counter()
                segment = await _aside(len(frames.starts), self._decoder.decode, frames)
                self._observe("decode", started)
                self._backlog.decoded(segment.last_time)
                self._of.watch.truncated |= _emptied(segment)
                await self._sent()
                if segment.halt is not None and await self._grown(segment.halt):
                    segment = segment.going_on()
                    self._stream.drop(segment.frames)
                    await self._pass_on(segment)  # by the plan before: what it holds came before the columns did
                    await self._go_by(self._of.record.revision)
                    continue
                self._stream.drop(segment.frames)
                self._sending = asyncio.create_task(self._pass_on(segment), name="capture record")
        finally:
            tasks = [seen, watching, *([] if self._sending is None else [self._sending])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._of.context.metrics.lane.rest(self._of.plan.run, self._of.follow.lane)

    async def _revise(self) -> None:
        """Between two transactions: offer a plan of tables that are to be loaded anew, and go by the plan that was accepted."""
        of = self._of
        if self._decoder.inside or not of.revising.due(of):
            return
        await self._sent()
        await self._go_by(of.record.revision)
        await of.revising.answer(of, self.recorder.tail.last, self._lease.check)
        await self._go_by(of.record.revision)

    async def _grown(self, halt: RelationChanged) -> bool:
        """At a description with more columns: whether there is a plan that has them, too."""
        now = self._decoder.described(halt.table)
        if now is None or halt.broken or not only_added(halt.changes):
            return False
        return await self._of.revising.grow(self._of, Grown(halt.table, now, halt.lsn), self._lease.check)

    async def _grow_unwritten(self) -> None:
        """Between two transactions: columns that no row has come with. The stream has passed the place where they were found, so
        that every later row of the table has them."""
        of, last = self._of, self.recorder.tail
        due = {} if self._decoder.inside else {n: c for n, (c, lsn) in self._unwritten.items() if last.end >= lsn}
        if not due or of.record.resync is not None:
            return
        await self._sent()
        for number, now in due.items():
            del self._unwritten[number]
            if not only_added(differences(described(of.plan.table(number)), now, {})):
                continue
            if await of.revising.grow(of, Grown(number, now, self.recorder.tail.last), self._lease.check):
                await self._go_by(of.record.revision)
            else:
                self._refused.add((of.digest, number))

    async def _go_by(self, digest: str) -> None:
        """Carry tables as a newer plan has them, from here on."""
        of, before = self._of, self._of.plan.revision
        if digest and await of.know(digest):
            for table in of.plan.tables:
                if (
                    max([g.revision for g in table.grown] + ([table.cut.revision] if table.cut else []), default=0)
                    > before
                ):
                    self._decoder.carry(captured(table))
            self.recorder.change_plan(of.digest)

    async def _sent(self) -> None:
        """Wait until the record under way is acknowledged. Raises what sending it has raised."""
        if self._sending is not None:
            sending, self._sending = self._sending, None
            try:
                while not sending.done():
                    await asyncio.wait({sending}, timeout=CUT_S)
                    self._of.turn()
                    self._lease.check()
            finally:
                sending.cancel()
            await sending

    async def _pass_on(self, segment: Segment) -> None:
        started = time.perf_counter()
        record = await _aside(segment.changes, self.recorder.record, segment)
        self._observe("encode", started)
        if record is not None:
            started = time.perf_counter()
            await self._send(record, _emptied(segment))
            self._observe("send", started)
        self._stream.confirm(self.recorder.tail.end)

    def _observe(self, step: str, started: float) -> None:
        self._of.context.metrics.batch_seconds.labels(self._of.plan.run, step).observe(time.perf_counter() - started)

    async def _send(self, record: Record, emptied: Set[int] = frozenset()) -> None:
        crash_point("reader.before-changes")
        await self._sender.send(self._of.topic, record.value, partition=0, headers=record.headers)
        crash_point("reader.after-changes-before-confirm")
        self._idle_since = time.monotonic()
        size, head, run = len(record.value), record.head, self._of.plan.run
        tables = tuple({*head.tables, *emptied})
        self._held.add(Kept(head.last, size, head.first_time, head.previous, tables))
        self._told = self.recorder.tail
        self._of.changes += head.changes
        self._of.bytes += size
        metrics = self._of.context.metrics
        metrics.rows.labels(run).inc(head.changes)
        metrics.lane.changes.labels(run, head.lane).inc(head.changes)
        metrics.bytes.labels(run, "out").inc(size)
        metrics.batches.labels(run, "done").inc()
        metrics.last_commit.labels(run).set_to_current_time()

    async def _idle(self) -> None:
        """Now and then say how far the source is although nothing comes: its WAL is let go, and the lag is known to be none."""
        due = time.monotonic() - self._idle_since >= self._heartbeat_s
        if not due and self._ends_at is None:
            return
        self._stream.report(reply=True)
        if not self._decoder.inside and (lsn := self._stream.idle_lsn) and (record := self.recorder.position(lsn)):
            await self._send(record)
            self._stream.confirm(self.recorder.tail.end)

    async def _ended(self) -> bool:
        """Whether everything is in the lane that was committed before the run was asked to stop."""
        if not self._of.ends:
            return False
        await self._sent()
        if self._ends_at is None:
            async with self._lease.asking() as connection:
                _, _, self._ends_at = await source_position(connection)
        return not self._decoder.inside and self.recorder.tail.end >= self._ends_at

    def _over_budget(self) -> bool:
        """More waits on Kafka than the job allows. Looked at between transactions: half of one helps nobody."""
        self._held.applied(self._of.applied)
        self._held_back = not self._decoder.inside and self._held.bytes > self._budget
        return self._held_back

    async def _say_seen(self) -> None:
        """How slot and lane are, by the lease's session."""
        of = self._of
        while True:
            async with self._lease.asking() as connection:
                state = await slot_state(connection, of.follow.slot)
                _, _, end = await source_position(connection)
            captured = self._captured(end)
            if state is not None:
                slot = SlotState(
                    name=state.name,
                    status=state.wal_status or "",
                    confirmed=lsn_text(state.confirmed_lsn or 0),
                    retained_bytes=max(0, state.retained_bytes or 0),
                    safe_bytes=state.safe_wal_size,
                )
                await of.context.control.fact(
                    CaptureSeen(
                        run=of.plan.run,
                        attempt=of.plan.attempt,
                        lane=of.follow.lane,
                        replica=of.context.replica,
                        slot=slot,
                        tail=lsn_text(self._told.last),
                        source_end=lsn_text(end),
                        changes=of.changes,
                        bytes=of.bytes,
                        held_back=self._held_back,
                        behind_s=captured.behind_s,
                        waits=tuple(
                            TableWaits(
                                table=table,
                                since=datetime.fromtimestamp(found.since, UTC),
                                behind=lsn_text(found.behind),
                                until=lsn_text(found.until),
                            )
                            for table, found in captured.waits.items()
                        ),
                    )
                )
                self._measure(slot, captured)
            await asyncio.sleep(SEEN_S)

    async def _watch(self) -> None:
        """What the stream does not say, every few seconds while the run streams. A finding is told once per plan."""
        of, watch, told = self._of, self._of.watch, set[tuple[str, object]]()
        while True:
            await asyncio.sleep(EVERY_S)
            record, plan, digest = of.record, of.plan, of.digest
            if record.state not in ("streaming", "paused") or record.resync is not None:
                continue
            async with self._lease.asking() as connection:
                look = await look_at(connection, record.job, plan)
            changed = watch.changed(plan, look, self.recorder.tail.end)
            for number, now in grown_in(plan, look).items():
                if number in changed and (digest, number) not in self._refused and _follows(record, number):
                    del changed[number]
                    self._unwritten.setdefault(number, (now, look.lsn))
            facts: dict[object, Fact] = {
                number: TableChanged(run=plan.run, attempt=plan.attempt, table=number, plan=digest, why=why)
                for number, why in changed.items()
            }
            facts |= {
                name: TableAppeared(run=plan.run, attempt=plan.attempt, table=str(name), plan=digest)
                for name in added(record.job, plan, look)
            }
            for about, fact in facts.items():
                if (digest, about) not in told:
                    await of.context.control.fact(fact)
                    told.add((digest, about))

    def _captured(self, end: int) -> Captured:
        now, applied = time.time(), self._of.applied
        unknown = self._held.unknown_since(applied)
        behind_s = max(self._backlog.age(now), 0.0 if unknown is None else now - unknown)
        return Captured(now, end, self._told.last if unknown is None else applied, behind_s, self._held.waits(applied))

    def _measure(self, slot: SlotState, captured: Captured) -> None:
        """What an alarm needs while the destination, whose leader tells the lag otherwise, is away."""
        of, metrics = self._of, self._of.context.metrics.lane
        run, lane, applied = of.plan.run, of.follow.lane, of.applied
        metrics.retained.labels(run, lane).set(slot.retained_bytes)
        assert metrics.safe is not None
        metrics.safe.labels(run, lane).set(math.inf if slot.safe_bytes is None else slot.safe_bytes)
        metrics.held.labels(run, lane).set(self._held.bytes)
        metrics.budget.labels(run, lane).set(self._budget)
        metrics.held_back.labels(run, lane).set(self._held_back)
        metrics.capturing.labels(run, lane).set(1)
        metrics.lag_bytes.labels(run, lane).set(max(0, captured.end - applied))
        metrics.lag_seconds.labels(run, lane).set(self._held.lag_s(applied, captured.now))
        metrics.tell_tables(run, lags_of(of.record.tables, captured), lane)


def _emptied(segment: Segment) -> set[int]:
    """Tables that were truncated."""
    return {table for entry in segment.controls if isinstance(entry, Truncated) for table in entry.tables}


async def _aside(changes: int, call: Callable[[Given], Made], given: Given) -> Made:
    """In a thread where it takes long: the source is answered meanwhile."""
    return call(given) if changes < THREAD_CHANGES else await asyncio.to_thread(call, given)


def _follows(record: RunRecord, table: int) -> bool:
    return any(t.table == table and t.state == "loaded" for t in record.tables)


def captured(table: PlannedTable) -> CapturedTable:
    """A planned table as capture knows it."""
    relation, seen = described(table), None
    if (cut := table.cut) is not None:
        seen = SnapshotFilter(Visible.parse(cut.snapshot), lsn_of(cut.filter_until))
    key = table.identity if relation.identity == FULL else ()
    grown = {name: lsn_of(growth.at) for growth in table.grown for name in growth.columns}
    return CapturedTable.of(table, relation, key=key, filter_=seen, grown=grown)
