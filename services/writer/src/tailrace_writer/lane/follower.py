"""Following a lane in one session: records in order, several whole source transactions per destination transaction.

Where to read on is in the lane's row, with the position, and every transaction locks that row: a former owner that wakes up changes
nothing, and Kafka's own offsets decide nothing. A transaction that is too large for one record is applied piece by piece inside one
destination transaction, so that nobody ever sees half of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, TypeVar

import asyncpg
import structlog
from aiokafka import TopicPartition

from tailrace_shared.changes.body import Body, decode_body
from tailrace_shared.changes.head import ChangeHead, change_head_of
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TailraceError
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import DRIVER_ERRORS, map_error
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.lineage import Lineage
from tailrace_writer.comparison.destination import DestinationSide
from tailrace_writer.lane import rows
from tailrace_writer.lane.apply import LaneApplier
from tailrace_writer.lane.comparing import Cut, Hold, Wanted, stop_in
from tailrace_writer.lane.failing import TABLE_ERRORS, Broken, TableFailed
from tailrace_writer.lane.fold import fold
from tailrace_writer.lane.gather import Gathering, Pending
from tailrace_writer.lane.growing import apply_growth, growths
from tailrace_writer.lane.intake import Intake
from tailrace_writer.lane.leaving import leaving, passed
from tailrace_writer.lane.multiset import fold_rows
from tailrace_writer.lane.position import Again, Apply, Gap, Position, Skip, judge
from tailrace_writer.lane.seen import Seen
from tailrace_writer.lane.statements import LaneTable

Made = TypeVar("Made")
CHANGES_AT_ONCE = 50_000
"""Changes per destination transaction, or a little more: larger ones gain nothing."""
BYTES_AT_ONCE = 32 << 20
POLL_S = 0.05
"""For a first record; what has come with it goes with it."""
THREAD_CHANGES = 2_048
"""Fewer are folded on the spot, in a few milliseconds: handing them to a thread and back takes as long."""
RECORDS_AT_ONCE = 4
"""Per poll: the bounds above are looked at in between."""
PIECE_S = 60.0
"""A transaction under way whose next piece does not come for so long is rolled back: it holds locks."""
NOT_NOW_S = 0.2
HOLD_S = 15.0
"""A lane waits at a comparison's marker for so long; a source with free slots and no long transaction takes tenths of a second."""
HELD_S = 0.02


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the lane."""

    offset: int
    head: ChangeHead
    value: bytes
    plan: Plan
    """By which it was made."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a transaction has added."""

    changes: int = 0
    bytes: int = 0


@dataclass
class _Done:
    """How much of the lane is done with: the records themselves are let go."""

    records: int = 0
    bytes: int = 0

    def add(self, record: Record) -> None:
        self.records += 1
        self.bytes += len(record.value)


class Follower:
    """Applies a lane in one session, from where its row says. ``consumer`` is assigned to the lane's topic."""

    def __init__(
        self,
        context: ServiceContext,
        plan: Plan,
        lineage: Lineage,
        connection: asyncpg.Connection,
        consumer: Any,
        place: TopicPartition,
        lock_timeout_s: float,
        comparing: DestinationSide,
        turned: Callable[[], None],
    ) -> None:
        self._turned = turned
        """Called while a transaction takes long: it goes on."""
        assert plan.continuous is not None
        self._metrics = context.metrics
        self._plan = plan
        self._lineage = lineage
        self._lane = plan.continuous.lane
        self._replica_role = plan.continuous.apply == "replica-role"
        self._connection = connection
        self._consumer = consumer
        self._place = place
        self._intake = Intake(consumer, place)
        self._lock_timeout_s = lock_timeout_s
        self._appliers: dict[int, LaneApplier] = {}
        self._by = plan
        """The plan of the records at hand."""
        self._tables: dict[int, PlannedTable] = {}
        """As the appliers know them."""
        self._deferrable = False
        """A table at hand has constraints that may be checked at the end; the source's may have been broken in between."""
        self._version = -1
        self._follows: Mapping[int, Seen | None] = {}
        self._marks: Mapping[int, rows.Mark] = {}
        self._grown: Mapping[int, int] = {}
        self._grew: set[int] = set()
        """Revisions whose new columns the destination has, as this session knows."""
        self._waiting: list[Record] = []
        self._comparing = comparing
        self._wanted: Wanted | None = None
        self._held: tuple[int, float] = (0, 0.0)
        """Number of the comparison whose marker comes next, and since when it is waited for its point."""
        self._offset: int | None = None
        """Of the last record that was taken from the consumer, or that the destination holds."""
        self._log = structlog.get_logger().bind(run=plan.run, lane=self._lane)

    async def close(self) -> None:
        """Read no more. Whatever is not committed goes with the session."""
        await self._intake.close()

    async def turn(self) -> Applied:
        """One transaction, or a short wait for something to apply.

        Raises Broken, TransientError and the driver's and Kafka's errors: the session is then of no use any more.
        """
        try:
            if self._offset is None:
                await self._find_place()
            await self._poll()
            if not self._waiting:
                return Applied()
            await self._grow(self._waiting[0].plan)
            await self._get_ready(self._alike())
            if self._waiting[0].head.final and self._waiting[0].head.piece == 0:
                return await self._whole()
            return await self._pieces()
        except rows.NotNow:
            self._lose_place()
            await asyncio.sleep(NOT_NOW_S)
        except TableFailed as failed:
            self._lose_place()
            await self._undo()
            await self._quarantine(failed.table, failed.error.message)
        return Applied()

    # --- records -----------------------------------------------------------------------------------------------------

    async def _find_place(self) -> None:
        offset = await rows.offset_of(self._connection, self._plan.run, self._plan.attempt, self._lane)
        if offset is None:
            raise rows.NotNow
        first = (await self._consumer.beginning_offsets([self._place]))[self._place]
        end = (await self._consumer.end_offsets([self._place]))[self._place]
        if offset >= 0 and not first <= offset + 1 <= end:
            raise Broken(Gap("tail-lost", "Kafka does not hold the lane's records that come next"))
        await self._intake.seek(max(first, offset + 1))
        self._offset = offset

    def _lose_place(self) -> None:
        self._waiting.clear()
        self._offset = None

    async def _poll(self) -> None:
        """Take what has arrived, within the bounds of one transaction."""
        wait_s = 0.0 if self._waiting else POLL_S
        changes, size = sum(r.head.changes for r in self._waiting), sum(r.head.bytes for r in self._waiting)
        while changes < CHANGES_AT_ONCE and size < BYTES_AT_ONCE:
            taken = await self._intake.take(RECORDS_AT_ONCE, wait_s)
            for record in taken:
                head = change_head_of(record.headers)
                if (plan := await self._lineage.of(head.plan)) is not None:
                    self._waiting.append(Record(record.offset, head, record.value or b"", plan))
                    changes, size = changes + head.changes, size + head.bytes
            if not taken:
                return
            wait_s = 0.0

    # --- transactions ------------------------------------------------------------------------------------------------

    async def _open(self) -> Position:
        row = await rows.open_lane(
            self._connection,
            self._plan.run,
            self._plan.attempt,
            self._lane,
            lock_timeout_s=self._lock_timeout_s,
            replica_role=self._replica_role,
        )
        if row.offset != self._offset:  # another owner was here
            await self._connection.execute("ROLLBACK")
            raise rows.NotNow
        if row.tables_version != self._version or any(self._follows.values()):
            found = await rows.followed(self._connection, self._plan.run, self._plan.attempt, row.position.lsn)
            self._follows, self._marks, self._grown = found.seen, found.marks, found.grown
            self._version = row.tables_version
        if self._deferrable:
            await self._connection.execute("SET CONSTRAINTS ALL DEFERRED")
        for applier in self._appliers.values():
            applier.begin()
        self._wanted = row.wanted
        if (wanted := row.wanted) and wanted.point is not None and row.position.lsn >= wanted.point:
            await self._connection.execute("ROLLBACK")
            await self._comparing.spoil(self._connection, wanted.number, "the lane has passed its point")
            raise rows.NotNow
        return row.position

    async def _undo(self) -> None:
        await self._connection.execute("ROLLBACK")
        self._appliers.clear()
        self._tables.clear()
        self._grew.clear()
        self._version = -1

    async def _close(self, after: Position, last: Record | None, changes: int) -> None:
        """``last`` None: a part of a record was applied, and the record is what comes next."""
        assert self._offset is not None
        offset, committed = (self._offset, 0) if last is None else (last.offset, last.head.last_time)
        if self._deferrable:
            await self._check_deferred()
        crash_point("writer.after-changes-before-commit")
        await rows.close_lane(self._connection, self._plan.run, self._lane, after, offset, committed, changes)
        crash_point("writer.after-changes")
        self._offset = offset

    async def _check_deferred(self) -> None:
        """Now, while it can still be told whose constraint fails. Raises TableFailed."""
        try:
            await self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except asyncpg.IntegrityConstraintViolationError as error:
            named = (error.schema_name, error.table_name)
            for number, table in self._tables.items():
                if named == (table.name.schema_name, table.name.name):
                    raise TableFailed(number, map_error(error)) from None
            raise

    async def _whole(self) -> Applied:
        """All waiting records up to the first piece of a large transaction."""
        started = time.perf_counter()
        position = await self._open()
        gathering = Gathering(_Identities(self._tables), self._follows)
        out: dict[int, str] = {}
        done: list[Record] = []
        stop: Hold | Cut | None = None
        begun = position
        for record in self._alike():
            if not record.head.final or record.head.piece:
                break
            match judge(position, record.head):
                case Apply(above, after):
                    body = decode_body(record.value, record.head.tables)
                    stop = stop_in(self._wanted, body, above, record.head.last)
                    if isinstance(stop, Cut):
                        position = replace(position, lsn=stop.last)
                        self._add(gathering, record, body, above, out, stop.point)
                    if stop is not None:
                        break
                    position = after
                    self._add(gathering, record, body, above, out)
                case Gap() as gap:
                    raise Broken(gap)
                case Skip() | Again():
                    self._metrics.batches.labels(self._plan.run, "duplicate").inc()
            done.append(record)
        changes = gathering.rows
        if done or position != begun:
            await self._apply(gathering.take(), out)
            await self._close(position, done[-1] if done else None, changes)
        else:
            await self._connection.execute("ROLLBACK")
        del self._waiting[: len(done)]
        if self._wanted is not None and stop is not None:
            await self._stop(self._wanted, stop)
        told = _Done()
        for record in done:
            told.add(record)
        return self._told(told, changes, started)

    async def _stop(self, wanted: Wanted, stop: Hold | Cut) -> None:
        """The lane is where a comparison wants it, or waits until that is known. Between transactions."""
        if isinstance(stop, Cut):
            plan = await self._lineage.of(wanted.plan)
            if plan is not None:
                await self._comparing.cut(self._connection, wanted.number, plan, wanted.tables)
            return
        number, since = self._held
        if number != wanted.number:
            self._held = wanted.number, time.monotonic()
        elif time.monotonic() - since > HOLD_S:
            await self._comparing.spoil(self._connection, number, "the source did not tell its point in time")
        await asyncio.sleep(HELD_S)

    async def _pieces(self) -> Applied:
        """One large transaction, or what comes twice of one."""
        started = time.perf_counter()
        stored = await self._open()
        if (wanted := self._wanted) and wanted.point is not None and self._waiting[0].head.last >= wanted.point:
            await self._connection.execute("ROLLBACK")
            await self._stop(wanted, Cut(wanted.point, stored.lsn))
            return Applied()
        position, changes, done = stored, 0, _Done()
        out: dict[int, str] = {}
        while True:
            self._turned()
            if not self._waiting:
                await self._next_piece()
            record = self._waiting.pop(0)
            verdict = judge(position, record.head)
            if isinstance(verdict, Again):
                await self._undo()
                position, changes, done = await self._open(), 0, _Done()
                out.clear()
                verdict = judge(position, record.head)
            match verdict:
                case Apply(above, after):
                    position = after
                    await self._get_ready_inside(record)
                    gathering = Gathering(_Identities(self._tables), self._follows)
                    self._add(gathering, record, decode_body(record.value, record.head.tables), above, out)
                    changes += gathering.rows
                    await self._apply(gathering.take(), out)
                case Gap() as gap:
                    raise Broken(gap)
                case Skip():
                    self._metrics.batches.labels(self._plan.run, "duplicate").inc()
            done.add(record)
            if position.pieces is None:
                await self._close(position, record, changes)
                return self._told(done, changes, started)

    async def _next_piece(self) -> None:
        deadline = time.monotonic() + PIECE_S
        while not self._waiting:
            self._turned()
            if time.monotonic() > deadline:
                await self._undo()
                raise rows.NotNow
            await self._poll()

    def _alike(self) -> list[Record]:
        """Waiting records that were made by one plan: tables may have another shape in the next one's."""
        plan = self._waiting[0].head.plan
        return list(takewhile(lambda record: record.head.plan == plan, self._waiting))

    def _add(
        self,
        gathering: Gathering,
        record: Record,
        body: Body,
        above: int,
        out: dict[int, str],
        below: int | None = None,
    ) -> None:
        controls = [entry for entry in body.controls if below is None or entry.lsn < below]
        out |= dict(leaving(controls, self._follows, self._marks))
        out |= dict(passed(record.plan, record.head, self._marks))
        gathering.add(body, above, below)

    async def _apply(self, pending: Mapping[int, Pending], out: Mapping[int, str]) -> None:
        for number, why in out.items():
            if number in self._follows:
                await rows.leave(self._connection, self._plan.run, self._plan.attempt, number, why)
                self._version = -1
                self._log.error("table.quarantined", table=number, why=why)
        for number, waiting in sorted(pending.items()):
            if number in out:
                continue
            try:
                await self._table(number, waiting)
            except DRIVER_ERRORS as error:
                if getattr(error, "sqlstate", "")[:2] not in TABLE_ERRORS:
                    raise
                raise TableFailed(number, map_error(error)) from None
            except ValueError:
                failed = TailraceError("lane.impossible", "its changes cannot follow from the rows that it has")
                raise TableFailed(number, failed) from None

    async def _table(self, number: int, pending: Pending) -> None:
        applier = await self._applier(number)  # a TRUNCATE comes without rows
        if pending.truncate:
            await applier.empty()
        for changes in pending.parts:
            if identity := self._tables[number].identity:
                await applier.apply(await _aside(len(changes.op), partial(fold, changes, identity)))
            else:
                await applier.replace(await _aside(len(changes.op), partial(fold_rows, changes)))

    async def _grow(self, plan: Plan) -> None:
        """Columns that came in place, before anything of them: they are NULL until rows bring them. In a transaction of its own."""
        if plan.revision in self._grew or not any(table.grown for table in plan.tables):
            return
        await self._open()
        await self._grow_inside(plan)
        await self._connection.execute("COMMIT")

    async def _grow_inside(self, plan: Plan) -> None:
        if plan.revision in self._grew:
            return
        for table, growth in growths(plan, self._grown, self._follows):
            await apply_growth(self._connection, self._plan.run, self._plan.attempt, table, growth)
            self._log.info("columns.added", table=str(table.name), columns=growth.columns)
            self._grown = {**self._grown, table.number: growth.revision}
        crash_point("writer.mid-growth")
        self._grew.add(plan.revision)

    # --- tables ------------------------------------------------------------------------------------------------------

    async def _get_ready(self, records: Iterable[Record]) -> None:
        """Temporary tables of all tables in these records."""
        for record in records:
            self._by = record.plan
            for number in record.head.tables:
                await self._applier(number)

    async def _get_ready_inside(self, record: Record) -> None:
        """While a large transaction is open: what is made goes with it if it is rolled back, that is why ``_undo`` forgets it."""
        deferrable = self._deferrable
        await self._grow_inside(record.plan)
        await self._get_ready([record])
        if self._deferrable and not deferrable:
            await self._connection.execute("SET CONSTRAINTS ALL DEFERRED")

    async def _applier(self, number: int) -> LaneApplier:
        """The table's, in the shape that it has in the plan at hand."""
        table, known = self._by.table(number), self._tables.get(number)
        if known is not table:
            if known is None or (known.columns, known.identity) != (table.columns, table.identity):
                self._appliers.pop(number, None)
            self._tables[number] = table
        if number not in self._appliers:
            partitioned = await rows.is_partitioned(self._connection, table.name)
            self._deferrable |= await rows.has_deferrable(self._connection, table.name)
            lane = LaneTable(table, table.identity, partitioned=partitioned)
            await self._connection.execute(lane.drop())
            applier = LaneApplier(self._connection, lane)
            await applier.prepare()
            self._appliers[number] = applier
        return self._appliers[number]

    async def _quarantine(self, number: int, why: str) -> None:
        await rows.quarantine(self._connection, self._plan.run, self._plan.attempt, number, why)
        self._log.error("table.quarantined", table=number, why=why)

    def _told(self, done: _Done, changes: int, started: float) -> Applied:
        run = self._plan.run
        self._metrics.batch_seconds.labels(run, "apply").observe(time.perf_counter() - started)
        self._metrics.batches.labels(run, "done").inc(done.records)
        self._metrics.rows.labels(run).inc(changes)
        self._metrics.lane.changes.labels(run, self._lane).inc(changes)
        self._metrics.bytes.labels(run, "in").inc(done.bytes)
        self._metrics.last_commit.labels(run).set_to_current_time()
        return Applied(changes, done.bytes)


async def _aside(changes: int, call: Callable[[], Made]) -> Made:
    """In a thread where it takes long: records arrive meanwhile."""
    return call() if changes < THREAD_CHANGES else await asyncio.to_thread(call)


class _Identities(Mapping[int, tuple[str, ...]]):
    """What identifies a table's rows, by the plan at hand."""

    def __init__(self, tables: Mapping[int, PlannedTable]) -> None:
        self._tables = tables

    def __getitem__(self, number: int) -> tuple[str, ...]:
        return self._tables[number].identity

    def __iter__(self) -> Iterator[int]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)
