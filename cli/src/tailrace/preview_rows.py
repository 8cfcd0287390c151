"""Rows before and after, through the code that runs: the reader's parser over COPY, the generator's masker over its batches.

The only place outside of the services where original values are held; they go to whoever asked and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import pyarrow as pa

from tailrace_generator.kernels import MaskSecret
from tailrace_generator.making import TableMaker
from tailrace_generator.masking import TableMasker
from tailrace_generator.pool import Pool
from tailrace_generator.pooling import masked_pool
from tailrace_generator.workshop import Workshop
from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Parser
from tailrace_reader.pools import Smallest
from tailrace_reader.ranges import RangeQuery
from tailrace_reader.views import ViewQuery
from tailrace_shared.generators import Ai
from tailrace_shared.messages import Bound
from tailrace_shared.plan.model import Plan, PlannedColumn, PlannedPool, PlannedTable
from tailrace_shared.postgres import translated

KEYS: Final = 1_000
"""Of a carried table that previewed rows refer to."""
Row = tuple[str | None, ...]
"""A row's values as text; None is NULL."""


class Preview(NamedTuple):
    """The first rows of a table, in the order of its columns; a generated one has none before. Learned columns are left out."""

    table: PlannedTable
    before: list[Row]
    after: list[Row]


async def preview(
    connection: asyncpg.Connection, plan: Plan, table: PlannedTable, secret: MaskSecret, rows: int
) -> Preview:
    """At most ``rows`` rows of the table. Raises the reader's and the generator's errors, as a run would."""
    if table.mode == "generate":
        plan, pools = await _few_keys(connection, plan, table, secret)
        workshop = Workshop(plan, secret)
        for number, pool in pools.items():
            workshop.take_pool(number, pool)
        table = unlearned(plan.table(table.number))
        made = TableMaker(table, workshop)(0, min(rows, table.rows)) if table.columns else None
        return Preview(table, [], [] if made is None else _texts(made))
    masker = TableMasker(table, secret, Workshop(plan, secret))
    before: list[Row] = []
    after: list[Row] = []
    for leaf in range(len(table.leaves)):
        if len(before) >= rows:
            break
        for batch in await _read(connection, plan, table, leaf, rows - len(before)):
            before += _texts(batch)
            after += _texts(masker(batch))
    return Preview(table, before, after)


def unlearned(table: PlannedTable) -> PlannedTable:
    """A generated table without the columns that come from a model: that is there only once a run has learned it."""
    known = [c for c in table.columns if not isinstance(c.rule, Ai) and not (c.parent and c.parent.owner)]
    return table.model_copy(update={"columns": tuple(known)})


async def _few_keys(
    connection: asyncpg.Connection, plan: Plan, table: PlannedTable, secret: MaskSecret
) -> tuple[Plan, dict[int, Pool]]:
    """The first keys of carried tables that the table's rows refer to, and the plan as if there were no others: a run would draw
    among all of them."""
    pools: dict[int, Pool] = {}
    few: list[PlannedPool] = []
    for pool in plan.pools:
        if table.number not in pool.drawn_by:
            few.append(pool)
            continue
        parent = plan.table(pool.table)
        keys = parent.model_copy(update={"columns": tuple(c for c in parent.columns if c.name in pool.columns)})
        batches = []
        for leaf in range(len(keys.leaves)):
            batches += await _read(connection, plan, keys, leaf, KEYS)
        chosen = Smallest(min(KEYS, pool.rows))
        for batch in batches:
            chosen.add(batch)
        made = masked_pool(plan, pool.table, chosen.batch(), secret, Workshop(plan, secret))
        pools[pool.table] = Pool("", made)
        few.append(pool.model_copy(update={"rows": pools[pool.table].rows}))
    sizes = {pool.table: pool.rows for pool in few}
    tables = tuple(
        t.model_copy(update={"columns": tuple(_among(column, sizes) for column in t.columns)})
        if t.mode == "generate"
        else t
        for t in plan.tables
    )
    return plan.model_copy(update={"tables": tables, "pools": tuple(few)}), pools


def _among(column: PlannedColumn, sizes: Mapping[int, int]) -> PlannedColumn:
    """The column as it draws among so many keys."""
    to = column.parent
    if to is None or not to.pool or sizes.get(to.table, to.rows) == to.rows:
        return column
    return column.model_copy(update={"parent": to.model_copy(update={"rows": max(1, sizes[to.table])}), "slot": None})


async def _read(
    connection: asyncpg.Connection, plan: Plan, table: PlannedTable, leaf: int, rows: int
) -> list[pa.RecordBatch]:
    layout = Layout.of(table)
    assembler = RangeAssembler(Parser(layout), CutRule.of(plan, table.rows_per_batch), str(table.leaves[leaf].name))
    start = Bound(block=0)
    told = next((told for told in plan.filters if told.table == table.number), None)
    ranges = [piece for piece in table.ranges if piece.leaf == leaf]
    if not ranges:  # behind the end of a row limit
        return []
    end = None if (last := ranges[-1]).high is None else Bound(block=last.high, item=last.high_item)
    if table.view:
        selected = ViewQuery.of(table, start, Bound(block=rows if end is None else min(rows, end.block)), told).rows
    else:
        selected = f"{RangeQuery.of(table, leaf, start, end, told).rows} LIMIT {int(rows)}"
    received: list[bytes] = []

    async def take(data: bytes) -> None:
        received.append(data)

    with translated():
        await connection.copy_from_query(selected, output=take, format="csv")
    cuts: list[Cut | None] = [*assembler.feed(b"".join(received)), assembler.finish()]
    return [cut.batch for cut in cuts if cut is not None]


def _texts(batch: pa.RecordBatch) -> list[Row]:
    columns = [_column(column) for column in batch.columns]
    return list(zip(*columns, strict=True)) if columns else [()] * batch.num_rows


def _column(column: pa.Array) -> list[str | None]:
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        return [None if value is None else str(UUID(bytes=value)) for value in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        zone = "+00" if kind.tz else ""
        plain = column.cast(pa.timestamp("us")).cast(pa.string()).to_pylist()
        return [None if v is None else _without_zeros(v) + zone for v in plain]
    texts: list[str | None] = column.cast(pa.string()).to_pylist()
    return [None if v is None else _without_zeros(v) for v in texts] if pa.types.is_time(kind) else texts


def _without_zeros(moment: str) -> str:
    """``12:00:00.500000`` as PostgreSQL prints it: without zeros at the end of the fraction."""
    return moment.rstrip("0").rstrip(".") if "." in moment else moment
