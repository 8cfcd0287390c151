"""Applying folded changes to a table, inside the lane's transaction.

What goes, goes first; then rows that keep their key are updated in place, which leaves indexes of unchanged columns alone; then
what comes is copied. Values of a unique column that rows have swapped make the update fail, since PostgreSQL looks at every row
on its own: all touched rows are then taken out and put back whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_shared.plan.model import PlannedColumn
from tailrace_writer.encode import TableEncoder
from tailrace_writer.lane.fold import Flags, Folded
from tailrace_writer.lane.multiset import Counted
from tailrace_writer.lane.statements import LaneTable

BY_INDEX = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
"""A temporary table has no statistics: the planner would read the whole table for a few thousand keys."""
BY_HASH = "SET LOCAL enable_hashjoin = on"
"""Where rows are their values there is no index to go by."""


class LaneApplier:
    """Applies changes of one table in one session."""

    def __init__(self, connection: asyncpg.Connection, lane: LaneTable) -> None:
        self._connection = connection
        self._lane = lane
        rows, keys = lane.row_columns(), lane.key_columns()
        self._into_table = _encoder(lane, lane.table.columns)
        self._into_rows = _encoder(lane, rows)
        self._into_keys = _encoder(lane, keys)
        self._filled: set[str] = set()
        """Temporary tables that hold what an earlier call of this transaction has put there."""

    def begin(self) -> None:
        """A transaction has begun: the temporary tables are empty."""
        self._filled.clear()

    async def prepare(self) -> None:
        """Make the temporary tables, once per session and outside of any transaction that could be rolled back."""
        await self._connection.execute(self._lane.create())

    async def apply(self, folded: Folded) -> None:
        """Make the table what the changes have made of it. Raises the driver's errors; the transaction is then over."""
        if folded.empty:
            return
        lane = self._lane
        if folded.deletes.num_rows:
            await self._copy(lane.keys, None, self._into_keys, folded.deletes)
            await self._connection.execute(lane.delete())
        if folded.moves.num_rows or folded.updates.num_rows:
            await self._staged(folded)
        if folded.inserts.num_rows:
            await self._copy(lane.table.name.name, lane.table.name.schema_name, self._into_table, folded.inserts)

    async def replace(self, counted: Counted) -> None:
        """The same for a table whose rows are their values."""
        if counted.leaves.num_rows:
            await self._connection.execute(BY_HASH)
            data = counted.leaves.append_column(self._into_keys.columns[-1], counted.copies)
            await self._copy(self._lane.keys, None, self._into_keys, data)
            await self._connection.execute(self._lane.delete_copies())
            await self._connection.execute(BY_INDEX)
        if counted.arrives.num_rows:
            name = self._lane.table.name
            await self._copy(name.name, name.schema_name, self._into_table, counted.arrives)

    async def empty(self) -> None:
        """TRUNCATE; DELETE where a table that is not emptied too refers to this one."""
        await self._connection.execute("SAVEPOINT emptied")
        try:
            await self._connection.execute(f"TRUNCATE {self._lane.only}")
        except asyncpg.FeatureNotSupportedError:
            await self._connection.execute("ROLLBACK TO SAVEPOINT emptied")
            await self._connection.execute(f"DELETE FROM {self._lane.only}")
        await self._connection.execute("RELEASE SAVEPOINT emptied")

    async def _staged(self, folded: Folded) -> None:
        """Rows that were there and stay. What the server does with them is asked in one message: the temporary table is the same
        for both ways."""
        moves = folded.moves.num_rows
        patterns, pattern = _patterns(np.concatenate([folded.moves_gone, folded.updates_gone]))
        # Patterns of rows that move get numbers of their own, behind those of rows that stay.
        pattern[:moves] += len(patterns)
        await self._stage(folded, pattern)
        moving = {int(n): patterns[int(n) - len(patterns)] for n in np.unique(pattern[:moves])}
        staying = {int(n): patterns[int(n)] for n in np.unique(pattern[moves:])}
        updates = [self._lane.update(n, self._named(~absent)) for n, absent in staying.items()]
        goes, comes = self._whole(moving)
        if not staying:
            await self._execute(*goes, *comes)
            return
        try:
            await self._execute("SAVEPOINT updates", *goes, *updates, *comes, "RELEASE SAVEPOINT updates")
        except (asyncpg.UniqueViolationError, asyncpg.ExclusionViolationError):
            goes, comes = self._whole(moving | staying)
            await self._execute("ROLLBACK TO SAVEPOINT updates", *goes, *comes, "RELEASE SAVEPOINT updates")

    def _whole(self, patterns: Mapping[int, Flags]) -> tuple[list[str], list[str]]:
        """Statements by which the rows of these patterns go, and those by which they come back with all their values."""
        if not patterns:
            return [], []
        lane, every = self._lane, list(patterns)
        fills = [lane.fill(n, self._named(absent)) for n, absent in patterns.items() if absent.any()]
        return [*fills, lane.delete_origins(every)], [lane.insert(every)]

    def _named(self, columns: Flags) -> list[str]:
        return [name for name, wanted in zip(self._lane.columns, columns, strict=True) if wanted]

    async def _execute(self, *statements: str) -> None:
        """In one message. An empty statement is one that has nothing to do."""
        await self._connection.execute(";".join(filter(None, statements)))

    async def _stage(self, folded: Folded, pattern: npt.NDArray[np.int64]) -> None:
        """Moves, then updates, into the temporary table."""
        lane = self._lane
        columns = [pa.concat_arrays([folded.moves.column(n), folded.updates.column(n)]) for n in lane.columns]
        olds = [pa.concat_arrays([folded.origins.column(n), folded.updates.column(n)]) for n in lane.identity]
        batch = pa.RecordBatch.from_arrays([*columns, *olds, pa.array(pattern)], names=self._into_rows.columns)
        await self._copy(lane.rows, None, self._into_rows, batch)

    async def _copy(self, table: str, schema: str | None, encoder: TableEncoder, batch: pa.RecordBatch) -> None:
        if table in self._filled and schema is None:
            await self._connection.execute(f"TRUNCATE {table}")
        if schema is None:
            self._filled.add(table)
        data = encoder.encode(batch)
        await self._connection.copy_to_table(
            table, schema_name=schema, source=data.slices(), columns=encoder.columns, format=data.format
        )


def _encoder(lane: LaneTable, columns: Sequence[PlannedColumn]) -> TableEncoder:
    return TableEncoder(lane.table.model_copy(update={"columns": tuple(columns)}))


def _patterns(gone: Flags) -> tuple[Flags, npt.NDArray[np.int64]]:
    """Distinct rows of flags, and of every row which one it is."""
    if not gone.any():
        return gone[:1], np.zeros(len(gone), dtype=np.int64)
    distinct, which = np.unique(gone, axis=0, return_inverse=True)
    return distinct, which.reshape(-1).astype(np.int64)
