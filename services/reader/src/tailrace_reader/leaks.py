"""Which of the destination's values a source column holds: only counts leave the source."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from tailrace_reader.snapshot import SourceServer
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.messages import CheckLeaks, LeaksChecked
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, translated
from tailrace_shared.types import qualified


class Overlap(NamedTuple):
    """Distinct values."""

    source: int
    """In the source column."""
    found: int
    """Of the given values, in the source column too."""


async def look_up(
    source: SourceServer, table: PlannedTable, work: CheckLeaks, timeout_s: float, replica: str
) -> LeaksChecked:
    """Answer one question about a column of ``table``, on a connection of its own: the source as it is now."""
    connection = await connect(
        source.url,
        source.application_name,
        variable=source.variable,
        timeout_s=CONNECT_TIMEOUT_S,
        default_transaction_read_only="on",
    )
    try:
        column = next(c for c in table.columns if c.name == work.column)
        counts = await overlap(connection, table.name, column.expression, work.values, timeout_s)
    finally:
        connection.terminate()
    return LeaksChecked(
        run=work.run,
        attempt=work.attempt,
        table=work.table,
        column=work.column,
        sampled=len(set(work.values)),
        found=counts.found,
        source_distinct=counts.source,
        replica=replica,
    )


async def overlap(
    connection: asyncpg.Connection, table: TableName, column: str, values: tuple[str, ...], timeout_s: float
) -> Overlap:
    """Count in one pass over the column (SQL), on a partitioned parent as on a plain table.

    The comparison is by bytes, whatever the column's collation. Raises TerminalError (``reader.leak-timeout``) when the source
    needs longer than ``timeout_s``.
    """
    relation = qualified(table.schema_name, table.name)
    query = f"""
        WITH given AS MATERIALIZED (SELECT DISTINCT v COLLATE "C" AS value FROM unnest($1::text[]) AS v),
        kept AS (SELECT DISTINCT ({column})::text COLLATE "C" AS value FROM {relation} WHERE ({column}) IS NOT NULL)
        SELECT count(*) AS source, count(given.value) AS found FROM kept LEFT JOIN given USING (value)"""
    try:
        with translated():
            await connection.execute(f"SET statement_timeout = {int(timeout_s * 1000)}")
            row = await connection.fetchrow(query, list(values))
    except TransientError as error:
        if error.code != "postgres.cancelled":
            raise
        raise TerminalError(
            "reader.leak-timeout",
            f"the source did not count the values of {table}.{column} within {timeout_s:g} s",
            "Raise the reader's TAILRACE_LEAK_TIMEOUT_S, or set verify.leak_sample to 0 to go without the leak scan.",
        ) from None
    assert row is not None
    return Overlap(row["source"], row["found"])
