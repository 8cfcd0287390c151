"""The source's side: masked batches that nobody applies. Each goes into a temporary table, as it would into the real one, and a
sum of hashes comes out of it; no row is kept. PostgreSQL itself makes the values what they would be in the table, so no type is
special.
"""

from __future__ import annotations

import asyncio

import asyncpg

from tailrace_shared.batch import BatchHead
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.crash import crash_point
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.postgres import DRIVER_ERRORS, map_error
from tailrace_shared.service.metrics import Outcome
from tailrace_shared.types import qualified, quote_ident
from tailrace_shared.verify.digest import digest_query
from tailrace_writer.destinations import Destination
from tailrace_writer.encode import Encoded

BATCH_S = 120.0
"""As for a batch that is applied."""
CANONICAL = "SET LOCAL search_path = pg_catalog"
"""Names of objects that are values come out in full, on both sides."""
_WANTED = "SELECT true FROM tailrace.comparison WHERE run = $1 AND attempt = $2 AND number = $3 AND state = 'reading'"
_ADD = """
WITH added AS (
  INSERT INTO tailrace.comparison_batch (run, number, table_no, range_no, batch_no, part_no, parts, rows, lane0, lane1)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::numeric, $10::text::numeric) ON CONFLICT DO NOTHING RETURNING rows
)
UPDATE tailrace.comparison c SET bytes = c.bytes + $11, rows = c.rows + added.rows, moved_at = clock_timestamp()
FROM added WHERE c.run = $1 AND c.number = $2 AND c.state = 'reading'
"""


class ComparisonSink:
    """Takes batches one at a time, in one session of its own."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._one = asyncio.Lock()
        self._connection: asyncpg.Connection | None = None
        self._made: set[str] = set()

    async def take(self, head: BatchHead, table: PlannedTable, data: Encoded) -> Outcome:
        """Count a batch once. Raises the mapped driver error; again is fine."""
        async with self._one:
            try:
                connection = await self._session()
                async with asyncio.timeout(BATCH_S):
                    return await self._count(connection, head, table, data)
            except DRIVER_ERRORS as error:
                self.close()
                raise map_error(error) from None
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Drop the session, and its temporary tables with it."""
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None
        self._made.clear()

    async def _session(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._made.clear()
            self._connection = await self._destination.connect()
        return self._connection

    async def _count(
        self, connection: asyncpg.Connection, head: BatchHead, table: PlannedTable, data: Encoded
    ) -> Outcome:
        i, number = head.id, -head.id.load
        if not await connection.fetchval(_WANTED, i.run, i.attempt, number):
            return "discarded"
        names = [column.name for column in table.columns]
        scratch = f"tailrace_compare_{number}_{i.table}"
        if scratch not in self._made:
            await connection.execute(
                f"CREATE TEMPORARY TABLE {scratch} ON COMMIT DELETE ROWS AS SELECT {', '.join(map(quote_ident, names))} "
                f"FROM {qualified(table.name.schema_name, table.name.name)} WITH NO DATA"
            )
            self._made.add(scratch)
        async with connection.transaction():
            await connection.copy_to_table(scratch, source=data.slices(), columns=names, format=data.format)
            await connection.execute(CANONICAL)
            (made,) = await connection.fetch(digest_query(TableName(schema_name="pg_temp", name=scratch), names))
            status = await connection.execute(
                _ADD, i.run, number, i.table, i.range, i.batch, i.part, head.parts, made["rows"], made["lane0"], made["lane1"],
                head.bytes if i.part == 0 else 0,
            )  # fmt: skip
        crash_point("writer.after-counting")
        return "done" if status == "UPDATE 1" else "duplicate"
