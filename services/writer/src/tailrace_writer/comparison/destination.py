"""The destination's side: at a point of the lane its owner takes a snapshot, in a session apart, and goes on applying; the tables
are read in that snapshot meanwhile.

Reading stands in nobody's way for long: a table's lock goes as soon as it has been read, and whoever needs one before that ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import asyncpg
import structlog

from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TailraceError
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import DRIVER_ERRORS, map_error
from tailrace_shared.types import qualified
from tailrace_shared.verify.digest import digest_query
from tailrace_writer.comparison.sink import CANONICAL
from tailrace_writer.destinations import Destination

WATCH_S = 1.0
"""How often it is looked whether anybody still wants to know."""
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FILES = """
SELECT string_agg(t.oid || '=' || coalesce(pg_catalog.pg_relation_filenode(t.oid), 0), ',' ORDER BY t.oid)
FROM (SELECT relid::oid AS oid FROM pg_catalog.pg_partition_tree($1::text::regclass)
      UNION SELECT $1::text::regclass::oid) t
"""
"""TRUNCATE and rewrites hide rows from older snapshots, silently. ``pg_relation_filenode`` sees the catalogue of now."""
_FOLLOWING = "SELECT table_no FROM tailrace.\"table\" WHERE run = $1 AND attempt = $2 AND state = 'loaded'"
_CUT = """
UPDATE tailrace.comparison SET owner = $3, cut_at = clock_timestamp(), moved_at = clock_timestamp()
WHERE run = $1 AND number = $2 AND state = 'reading' AND cut_at IS NULL
"""
_GOES_ON = """
UPDATE tailrace.comparison SET moved_at = clock_timestamp()
WHERE run = $1 AND number = $2 AND state = 'reading' AND trouble = ''
"""
"""A large table takes its time, and that is not standing still."""
_TELL = """
WITH moved AS (
  UPDATE tailrace.comparison SET moved_at = clock_timestamp() WHERE run = $1 AND number = $2 AND state = 'reading' AND owner = $3
  RETURNING run, number
)
INSERT INTO tailrace.comparison_side (run, number, table_no, side, rows, lane0, lane1, left_out)
SELECT run, number, $4, 'destination', $5, $6::text::numeric, $7::text::numeric, $8 FROM moved ON CONFLICT DO NOTHING
"""

log = structlog.get_logger()


class DestinationSide:
    """What one lane's owner does for comparisons. One at a time."""

    def __init__(self, destination: Destination, run: str, replica: str) -> None:
        self._destination = destination
        self._run = run
        self._replica = replica
        self._task: asyncio.Task[None] | None = None
        self._number = 0

    async def cut(self, lane: asyncpg.Connection, number: int, plan: Plan, numbers: Sequence[int]) -> None:
        """Take the snapshot now; what is read in it is read later. ``lane`` is outside of a transaction. Raises mapped errors."""
        await self.stop()
        self._number = number
        following = {row[0] for row in await lane.fetch(_FOLLOWING, self._run, plan.attempt)}
        tables = [plan.table(n) for n in numbers if n in following]
        connection = await self._destination.connect()
        try:
            await connection.execute(_BEGIN)
            files = {t.number: await _files(connection, t) for t in tables}  # and the snapshot with the first of them
            if await lane.execute(_CUT, self._run, number, self._replica) != "UPDATE 1":
                connection.terminate()
                return
            for left in sorted(set(numbers) - following):
                await lane.execute(
                    _TELL, self._run, number, self._replica, left, 0, "0", "0", "it does not follow its source now"
                )
        except BaseException:
            connection.terminate()
            raise
        crash_point("writer.after-cut")
        work = self._read(connection, number, tables, files)
        self._task = asyncio.create_task(work, name=f"comparison {self._run}")

    async def spoil(self, lane: asyncpg.Connection, number: int, why: str) -> None:
        """Say that the point cannot be met. ``lane`` is outside of a transaction."""
        await lane.execute(
            "UPDATE tailrace.comparison SET trouble = $3 WHERE run = $1 AND number = $2 AND state = 'reading' AND trouble = ''",
            self._run, number, why,
        )  # fmt: skip

    async def give_way(self) -> None:
        """The lane waits for a lock in vain, and this may be what stands in its way."""
        if self._task is not None and not self._task.done():
            await self.stop()
            await self._say(self._number, "the lane needed a table that was being read")

    async def stop(self) -> None:
        """Let the snapshot go."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _read(
        self, connection: asyncpg.Connection, number: int, tables: Sequence[PlannedTable], files: dict[int, str]
    ) -> None:
        """Never raises: what goes wrong is told."""
        told: asyncpg.Connection | None = None
        try:
            told = await self._destination.connect()
            reading = asyncio.create_task(self._tables(connection, told, number, tables, files))
            try:
                await self._watched(reading, number)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        except (TailraceError, *DRIVER_ERRORS) as error:
            mapped = error if isinstance(error, TailraceError) else map_error(error)
            log.warning("comparison.failed", run=self._run, number=number, code=mapped.code, message=mapped.message)
            await self._say(number, f"{mapped.message} ({mapped.code})")
        finally:
            for session in (connection, told):
                if session is not None:
                    session.terminate()

    async def _tables(
        self,
        connection: asyncpg.Connection,
        told: asyncpg.Connection,
        number: int,
        tables: Sequence[PlannedTable],
        files: dict[int, str],
    ) -> None:
        for table in tables:
            await connection.execute(f"SAVEPOINT compared; {CANONICAL}")
            columns = [column.name for column in table.columns]
            (made,) = await connection.fetch(digest_query(table.name, columns, only=table.only))
            await connection.execute("ROLLBACK TO SAVEPOINT compared; RELEASE SAVEPOINT compared")
            same = await _files(connection, table) == files[table.number]
            left = "" if same else "it was emptied or rewritten in the destination meanwhile"
            await told.execute(
                _TELL, self._run, number, self._replica, table.number, made["rows"], made["lane0"], made["lane1"], left
            )

    async def _watched(self, reading: asyncio.Task[None], number: int) -> None:
        """Until it has been read, or nobody wants it any more."""
        watch = await self._destination.connect()
        try:
            while not (await asyncio.wait({reading}, timeout=WATCH_S))[0]:
                if await watch.execute(_GOES_ON, self._run, number) != "UPDATE 1":
                    return
            reading.result()
        finally:
            watch.terminate()

    async def _say(self, number: int, why: str) -> None:
        with suppress(TailraceError, *DRIVER_ERRORS):  # the leader sees that nothing moves
            connection = await self._destination.connect()
            try:
                await self.spoil(connection, number, why)
            finally:
                connection.terminate()


async def _files(connection: asyncpg.Connection, table: PlannedTable) -> str:
    """Of the table and its partitions, now; its locks go at once."""
    await connection.execute("SAVEPOINT files")
    found = await connection.fetchval(_FILES, qualified(table.name.schema_name, table.name.name))
    await connection.execute("ROLLBACK TO SAVEPOINT files; RELEASE SAVEPOINT files")
    return str(found)
