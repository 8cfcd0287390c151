"""The source's side of a comparison: tables read in a snapshot at a point of the WAL, through the same pipeline as any load.

One reader does it all, in one session. What keeps it from running ahead is the comparison's own credit: bytes sent that have not
arrived where they are counted. When anything goes wrong it says so, and the run's leader begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from tailrace_reader.assemble import RangeAssembler
from tailrace_reader.capture.exact import exact_point
from tailrace_reader.cut import CutRule
from tailrace_reader.lane_opening import lsn_text
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Parser
from tailrace_reader.publish import RangePublisher
from tailrace_reader.ranges import RangeQuery, SourceChanged, read_range
from tailrace_reader.snapshot import HeldSnapshot, SourceServer
from tailrace_shared import topics
from tailrace_shared.batch import BatchId
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.changes.controls import comparison_token
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TailraceError
from tailrace_shared.messages import (
    Bound,
    ComparisonFailed,
    ComparisonPoint,
    ComparisonProgress,
    ComparisonRead,
    Failure,
    ReadToCompare,
    RunRecord,
)
from tailrace_shared.plan.model import Leaf, Plan, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.plans import Plans
from tailrace_shared.types import qualified

CREDIT_BYTES = 64 << 20
"""Row bytes under way at most, and one range on top."""
KNOWN_S = 30.0
"""For the run's record to say what was asked for, or who reads."""
LOOK_S = 0.1
_LEAVES = """
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, pg_catalog.pg_relation_filenode(c.oid)::bigint
  AS filenode, pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::bigint AS pages,
  pg_catalog.pg_table_size(c.oid) AS bytes
FROM (SELECT relid::oid AS oid FROM pg_catalog.pg_partition_tree($1::text::regclass) WHERE isleaf
      UNION SELECT $1::text::regclass::oid) AS t
JOIN pg_catalog.pg_class c ON c.oid = t.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' ORDER BY c.oid
"""
"""Heaps as they are now: partitions come and go while a run streams."""

Observe = Callable[[str, float], None]


class ComparisonReader:
    """What one reader does for a run's comparisons; a newer one ends the one before."""

    def __init__(
        self,
        context: ServiceContext,
        source: SourceServer,
        record: RunRecord,
        sender: Sender,
        cipher: DataCipher,
        observe: Observe,
    ) -> None:
        namespace = context.settings.namespace
        self._context = context
        self._source = source
        self._record = record
        self._replica = context.replica
        self._plans = Plans(context.kafka, namespace)
        self._topic = topics.of_run(namespace, record.run, "raw")
        self._sender = sender
        self._cipher = cipher
        self._tell = context.control.fact
        self._observe = observe
        self._task: asyncio.Task[None] | None = None
        self._sent = 0

    def update(self, record: RunRecord) -> None:
        """A newer record: how much has arrived, and whether the comparison goes on."""
        self._record = record

    async def begin(self, work: ReadToCompare) -> None:
        """Begin to read. It takes its time and holds up no range; if it is lost, its leader begins anew."""
        await self.stop()
        self._task = asyncio.create_task(self._run(work), name=f"comparison {work.run}")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Let the snapshot go."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """An error that it does not handle itself is a defect: the process says so and ends."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _run(self, work: ReadToCompare) -> None:
        """All of it. Returns early when the comparison is another's, or over; what fails is told."""
        try:
            if await self._wanted(work):
                self._sent = 0
                await self._read(work, await self._plans.fetch(work.run, work.plan))
        except TailraceError as error:
            failure = Failure(code=error.code, message=error.message, remedy=error.remedy)
            await self._tell(
                ComparisonFailed(
                    run=work.run, attempt=work.attempt, number=work.number, replica=self._replica, failure=failure
                )
            )

    async def _read(self, work: ReadToCompare, plan: Plan) -> None:
        holder, point = await exact_point(self._source, comparison_token(work.number))
        try:
            await self._tell(
                ComparisonPoint(
                    run=work.run, attempt=work.attempt, number=work.number, replica=self._replica, point=lsn_text(point)
                )
            )
            crash_point("reader.after-point")
            if not await self._mine(work):
                return
            for number in work.tables:
                if not await self._table(work, plan, plan.table(number), holder):
                    return
        finally:
            holder.release()

    # --- whether it goes on ------------------------------------------------------------------------------------------

    def _state(self, work: ReadToCompare) -> ComparisonProgress | None:
        """The comparison as the record has it, while it is to be read and this attempt streams."""
        there = self._record.comparison
        if self._record.attempt != work.attempt or there is None or there.number != work.number:
            return None
        return there if there.state == "reading" else None

    async def _wanted(self, work: ReadToCompare) -> bool:
        """Whether nobody reads for it yet, once the record speaks of it."""
        there = await self._seen(lambda: self._state(work))
        return there is not None and there.reader in ("", self._replica) and not there.point

    async def _mine(self, work: ReadToCompare) -> bool:
        """Whether this reader's point was the first."""
        there = await self._seen(lambda: found if (found := self._state(work)) and found.reader else None)
        return there is not None and there.reader == self._replica

    async def _seen(self, look: Callable[[], ComparisonProgress | None]) -> ComparisonProgress | None:
        for _ in range(int(KNOWN_S / LOOK_S)):
            if (found := look()) is not None:
                return found
            await asyncio.sleep(LOOK_S)
        return None

    async def _room(self, work: ReadToCompare) -> bool:
        """Wait for credit; False when the comparison is over."""
        while (there := self._state(work)) is not None:
            if self._sent - there.bytes <= CREDIT_BYTES:
                return True
            await asyncio.sleep(LOOK_S)
        return False

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _table(self, work: ReadToCompare, plan: Plan, planned: PlannedTable, holder: HeldSnapshot) -> bool:
        """False when the comparison is over."""
        rows, batches, left = 0, 0, ""
        number = 0
        try:
            with translated():
                leaves = await holder.connection.fetch(_LEAVES, qualified(planned.name.schema_name, planned.name.name))
            table = planned.model_copy(update={"leaves": tuple(map(_leaf, leaves))})
            for leaf, heap in enumerate(leaves):
                for low, high in pieces(heap["pages"], heap["bytes"], plan.range_bytes_max // 2):
                    rest: Bound | None = low
                    while rest is not None:
                        if not await self._room(work):
                            return False
                        query = RangeQuery.of(table, leaf, rest, high)
                        made, rest = await self._range(work, plan, table, number, query, holder.connection)
                        rows, batches, number = rows + made.rows, batches + made.batches, number + 1
        except SourceChanged:
            left = "it was emptied, rewritten or altered in the source meanwhile"
            await _forget_range(holder.connection)
        await self._tell(
            ComparisonRead(
                run=work.run,
                attempt=work.attempt,
                number=work.number,
                replica=self._replica,
                table=planned.number,
                rows=rows,
                batches=batches,
                left_out=left,
            )
        )
        return True

    async def _range(
        self,
        work: ReadToCompare,
        plan: Plan,
        table: PlannedTable,
        number: int,
        query: RangeQuery,
        connection: asyncpg.Connection,
    ) -> tuple[RangeAssembler, Bound | None]:
        where = f"range {number} of {table.name}"
        rule = CutRule.of(plan, table.rows_per_batch)
        assembler = RangeAssembler(Parser(Layout.of(table)), rule, where)
        publisher = RangePublisher(
            self._sender,
            self._topic,
            self._cipher,
            plan,
            work.plan,
            BatchId(work.run, work.attempt, table.number, -work.number, number, 0, 0),
            correlation=work.run,
            observe=self._observe,
        )
        try:
            rest = await read_range(connection, query, assembler, publisher.publish)
            await publisher.drain()
        except BaseException:
            publisher.abandon()
            raise
        self._sent += assembler.weight
        return assembler, rest


def pieces(pages: int, size: int, piece_bytes: int) -> list[tuple[Bound, Bound | None]]:
    """Ranges of about so many bytes, heap and TOAST; the last one is open-ended."""
    step = max(1, piece_bytes * pages // size) if size and pages else 1
    lows = list(range(0, pages, step)) or [0]
    return [
        (Bound(block=low), None if low + step >= pages else Bound(block=low + step)) for low in lows
    ]  # fmt: skip


async def _forget_range(connection: asyncpg.Connection) -> None:
    """After a range that was given up: back to the snapshot, without its locks."""
    with translated():
        await connection.execute("ROLLBACK TO SAVEPOINT range; RELEASE SAVEPOINT range")


def _leaf(row: asyncpg.Record) -> Leaf:
    return Leaf(name=TableName(schema_name=row["schema"], name=row["name"]), oid=row["oid"], filenode=row["filenode"])
