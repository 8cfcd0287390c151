"""Ranges of rows to learn from: read under the run's snapshot like any other, or some rows of them by chance, to ``training``."""

from __future__ import annotations

from tailrace_reader.assemble import RangeAssembler
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Parser
from tailrace_reader.publish import Observe, RangePublisher
from tailrace_reader.ranges import RangeQuery, read_range
from tailrace_reader.session import SnapshotSession
from tailrace_shared import topics
from tailrace_shared.batch import BatchId
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TerminalError
from tailrace_shared.messages import ReadRange, RunRecord, SampleRead
from tailrace_shared.plan.model import Learning, Plan, TableFilter
from tailrace_shared.plan.sampled import ALL_PERCENT, sampled_by
from tailrace_shared.service.context import ServiceContext

WITHOUT_END = 1 << 62
"""A sample's range never ends early: what it takes is bounded by its rows, not by its bytes."""


class SampleReader:
    """Reads samples of one attempt."""

    def __init__(
        self,
        context: ServiceContext,
        record: RunRecord,
        plan: Plan,
        sender: Sender,
        cipher: DataCipher,
        observe: Observe,
    ) -> None:
        self._context = context
        self._plan = plan
        self._digest = record.digest
        self._sender, self._cipher, self._observe = sender, cipher, observe
        self._topic = topics.of_run(context.settings.namespace, record.run, "training")

    async def read(self, work: ReadRange, session: SnapshotSession) -> None:
        """Read a range, publish its rows, tell how many batches they are. Errors as of reading any range."""
        learning = self._plan.table(work.table).learning
        if learning is None:
            raise TerminalError(
                "work.no-sample", f"table {work.table} of the plan is not learned", "Plan again, and report this."
            )
        table, _ = learning.sampled(work.range)
        rule = CutRule.of(self._plan, table.rows_per_batch)
        assembler = RangeAssembler(
            Parser(Layout.of(table)),
            CutRule(rule.rows, rule.batch_bytes, WITHOUT_END, rule.row_bytes),
            f"sample {work.range} of {table.name}",
        )
        publisher = RangePublisher(
            self._sender,
            self._topic,
            self._cipher,
            self._plan,
            self._digest,
            BatchId(self._plan.run, work.attempt, work.table, work.load, work.range, 0, 0),
            correlation=self._plan.run,
            observe=self._observe,
            kind="training",
        )
        try:
            async with session.reading() as connection:
                await read_range(connection, query_of(learning, work), assembler, publisher.publish)
            await publisher.drain()
        except BaseException:
            publisher.abandon()
            raise
        await self._context.control.fact(
            SampleRead(
                run=self._plan.run,
                attempt=work.attempt,
                table=work.table,
                range=work.range,
                replica=self._context.replica,
                rows=assembler.rows,
                batches=assembler.batches,
            )
        )


def query_of(learning: Learning, work: ReadRange) -> RangeQuery:
    """What a sample's range selects: the same rows whenever it is asked for under one snapshot."""
    table, by = learning.sampled(work.range)
    some = learning.percent < ALL_PERCENT
    told = (
        TableFilter(table=table.number, condition=sampled_by(by, learning.percent, learning.seed))
        if by and some
        else None
    )
    query = RangeQuery.of(table, work.leaf, work.low, work.high, told)
    chance = ""
    if some and not by:
        chance = f" TABLESAMPLE BERNOULLI ({learning.percent:.6g}) REPEATABLE ({int(learning.seed)})"
    return RangeQuery(
        query.leaf, query.columns, query.low, query.high, query.names_objects, query.casts, told,
        chance=chance, limit=learning.rows if learning.sample == "first" else 0,
    )  # fmt: skip
