"""Keys of a carried table that made rows refer to: read under the run's snapshot, so many of them kept, sent as one message."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Parser
from tailrace_reader.publish import Observe, RangePublisher
from tailrace_reader.ranges import RangeQuery, read_range
from tailrace_reader.session import SnapshotSession
from tailrace_reader.snapshot import SourceServer
from tailrace_reader.views import ViewQuery, read_view
from tailrace_shared import topics
from tailrace_shared.batch import BatchId
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TerminalError
from tailrace_shared.messages import Bound, ReadPool, RunRecord
from tailrace_shared.plan.model import Plan, PlannedPool, PlannedTable, TableFilter
from tailrace_shared.service.context import ServiceContext

SPARE_ROWS: Final = 100_000
"""Held beyond what a pool takes before those with larger hashes are let go."""
WORTH_SAMPLING: Final = 4.0
"""Of a table with so many times the keys that a pool takes, some rows are read by chance: half as many again as needed."""
WITHOUT_END: Final = 1 << 62


class PoolReader:
    """Reads pools of one attempt. The same snapshot gives the same keys."""

    def __init__(
        self, context: ServiceContext, record: RunRecord, plan: Plan, source: SourceServer, sender: Sender, cipher: DataCipher,
        observe: Observe, filters: dict[int, TableFilter],
    ) -> None:  # fmt: skip
        self._plan = plan
        self._digest = record.digest
        self._source = source
        self._sender, self._cipher, self._observe = sender, cipher, observe
        self._filters = filters
        self._raw = topics.of_run(context.settings.namespace, record.run, "raw")

    async def read(self, work: ReadPool, session: SnapshotSession) -> None:
        """Read, choose, publish. Errors as of reading any range; TerminalError where the keys are not as many as planned."""
        pool = next((pool for pool in self._plan.pools if pool.table == work.table), None)
        if pool is None:
            raise TerminalError(
                "work.no-pool", f"table {work.table} of the plan has no pool of keys", "Plan again, and report this."
            )
        table = keys_of(self._plan, pool)
        kept = await self._keys(table, pool, session, chance_of(table, pool))
        if kept.rows < pool.rows and chance_of(table, pool):  # by chance too few, or the estimate was far off
            kept = await self._keys(table, pool, session, "")
        batch = kept.batch()
        if batch.num_rows != pool.rows:
            raise TerminalError(
                "reader.pool-differs",
                f"the keys of {table.name} that made rows refer to are {batch.num_rows:,}, and {pool.rows:,} were planned",
                "Run the job again; if it comes again, report this.",
            )
        publisher = RangePublisher(
            self._sender, self._raw, self._cipher, self._plan, self._digest,
            BatchId(self._plan.run, work.attempt, work.table, 0, 0, 0, 0),
            correlation=self._plan.run, observe=self._observe, kind="pool",
        )  # fmt: skip
        try:
            await publisher.publish(Cut(0, batch, batch.nbytes, last=True))
            await publisher.drain()
        except BaseException:
            publisher.abandon()
            raise

    async def _keys(self, table: PlannedTable, pool: PlannedPool, session: SnapshotSession, chance: str) -> Smallest:
        kept = Smallest(pool.rows)
        parser, rule = Parser(Layout.of(table)), CutRule.of(self._plan, table.rows_per_batch)
        rule = CutRule(rule.rows, rule.batch_bytes, WITHOUT_END, rule.row_bytes)
        told = self._filters.get(table.number)

        async def take(cut: Cut) -> None:
            kept.add(cut.batch)

        for piece in table.ranges:
            low = Bound(block=piece.low)
            high = None if piece.high is None else Bound(block=piece.high, item=piece.high_item)
            assembler = RangeAssembler(parser, rule, f"keys of {table.name}")
            async with session.reading() as connection:
                if table.view:
                    view = ViewQuery.of(table, low, high, told)
                    await read_view(connection, self._source, view, assembler, take)
                else:
                    query = replace(RangeQuery.of(table, piece.leaf, low, high, told), chance=chance)
                    await read_range(connection, query, assembler, take)
        return kept


class Smallest:
    """Of many keys, so many with the smallest hashes: the same whatever the order in which they come."""

    def __init__(self, rows: int) -> None:
        self._most = rows
        self._batches: list[pa.RecordBatch] = []
        self.rows = 0
        """Keys held."""

    def add(self, batch: pa.RecordBatch) -> None:
        """More keys; those with a NULL are none."""
        for column in batch.columns:
            if column.null_count:
                batch = batch.filter(column.is_valid())
                return self.add(batch)
        self._batches.append(batch)
        self.rows += batch.num_rows
        if self.rows > self._most + SPARE_ROWS:
            self._batches = [self.batch()]
            self.rows = self._batches[0].num_rows
        return None

    def batch(self) -> pa.RecordBatch:
        """Those that are kept, as one batch. A column that had to travel as text in one of them is text."""
        names = self._batches[0].schema.names if self._batches else []
        columns = []
        for place in range(len(names)):
            parts = [batch.column(place) for batch in self._batches]
            if len({part.type for part in parts}) > 1:
                parts = [part.cast(pa.string()) for part in parts]
            columns.append(pa.concat_arrays(parts))
        whole = pa.record_batch(columns, names=names)
        if whole.num_rows <= self._most:
            return whole
        chosen = np.sort(np.argpartition(hashes(whole), self._most - 1)[: self._most])
        return whole.take(pa.array(chosen))


def hashes(keys: pa.RecordBatch) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """A number per row, of its values' text."""
    texts = [
        (
            column if pa.types.is_fixed_size_binary(column.type) else column.cast(pa.string()).cast(pa.binary())
        ).to_pylist()
        for column in keys.columns
    ]
    digests = (
        hashlib.blake2b(b"".join(len(v).to_bytes(4, "big") + v for v in row), digest_size=8).digest()
        for row in zip(*texts, strict=True)
    )
    return np.frombuffer(b"".join(digests), np.dtype(">u8")).astype(np.uint64)


def keys_of(plan: Plan, pool: PlannedPool) -> PlannedTable:
    """The table as it is read for its pool: the columns that are referred to alone."""
    table = plan.table(pool.table)
    return table.model_copy(update={"columns": tuple(c for c in table.columns if c.name in pool.columns)})


def chance_of(table: PlannedTable, pool: PlannedPool) -> str:
    """TABLESAMPLE clause of a table with far more keys than its pool takes; empty: all are read."""
    if table.view or table.materialised or table.filtered or table.estimated_rows < WORTH_SAMPLING * pool.rows:
        return ""
    percent = 150.0 * (pool.rows + SPARE_ROWS / 10) / table.estimated_rows
    return f" TABLESAMPLE BERNOULLI ({percent:.6g}) REPEATABLE (1)"
