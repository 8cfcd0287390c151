"""Which of the destination's values a source column holds: only counts leave the source."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import asyncpg

from tailrace_reader.snapshot import SourceServer
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.messages import CheckLeaks, LeakCount, LeaksChecked
from tailrace_shared.plan.model import Plan
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, translated
from tailrace_shared.types import qualified

_LEAST_S = 0.001
"""PostgreSQL takes a timeout of 0 for none."""


class Overlap(NamedTuple):
    """Distinct values."""

    source: int
    """In the source column."""
    found: int
    """Of the given values, in the source column too."""


async def look_up(source: SourceServer, plan: Plan, work: CheckLeaks, timeout_s: float, replica: str) -> LeaksChecked:
    """Answer one question, on a connection of its own: the source as it is now. One statement per table.

    Raises TerminalError (``reader.leak-timeout``) when the source needs longer than ``timeout_s`` for all of it.
    """
    deadline = time.monotonic() + timeout_s
    connection = await connect(
        source.url,
        source.application_name,
        variable=source.variable,
        timeout_s=CONNECT_TIMEOUT_S,
        default_transaction_read_only="on",
    )
    counts: list[LeakCount] = []
    try:
        for number, group in groupby(work.samples, key=lambda sample: sample.table):
            table, samples = plan.table(number), list(group)
            expressions = {column.name: column.expression for column in table.columns}
            asked = [(expressions[sample.column], sample.values) for sample in samples]
            what = f"{table.name}.{samples[0].column}" if len(samples) == 1 else str(table.name)
            left_s = max(_LEAST_S, deadline - time.monotonic())
            overlaps = await overlap(connection, table.name, asked, left_s, what=what, allowed_s=timeout_s)
            counts += [
                LeakCount(
                    table=number,
                    column=sample.column,
                    sampled=len(set(sample.values)),
                    found=found.found,
                    source_distinct=found.source,
                )
                for sample, found in zip(samples, overlaps, strict=True)
            ]
    finally:
        connection.terminate()
    return LeaksChecked(run=work.run, attempt=work.attempt, counts=tuple(counts), replica=replica)


async def overlap(
    connection: asyncpg.Connection,
    table: TableName,
    asked: Sequence[tuple[str, tuple[str, ...]]],
    timeout_s: float,
    *,
    what: str,
    allowed_s: float,
) -> list[Overlap]:
    """Per column (SQL) and its values count in one pass over the column, on a partitioned parent as on a plain table.

    The comparison is by bytes, whatever the column's collation. Raises TerminalError (``reader.leak-timeout``), which names
    ``what`` and the time ``allowed_s``, when the source needs longer than ``timeout_s``.
    """
    relation = qualified(table.schema_name, table.name)
    parts = [_counted(place, column, relation) for place, (column, _) in enumerate(asked, start=1)]
    try:
        with translated():
            await connection.execute(f"SET statement_timeout = {max(1, int(timeout_s * 1000))}")
            query = " UNION ALL ".join(parts) + " ORDER BY place"
            rows = await connection.fetch(query, *(list(values) for _, values in asked))
    except TransientError as error:
        if error.code != "postgres.cancelled":
            raise
        raise TerminalError(
            "reader.leak-timeout",
            f"the source did not count the values of {what} within {allowed_s:g} s",
            "Raise the reader's TAILRACE_LEAK_TIMEOUT_S, or set verify.leak_sample to 0 to go without the leak scan.",
        ) from None
    return [Overlap(row["source"], row["found"]) for row in rows]


def _counted(place: int, column: str, relation: str) -> str:
    return f"""
        (WITH given AS MATERIALIZED (SELECT DISTINCT v COLLATE "C" AS value FROM unnest(${place}::text[]) AS v),
        kept AS (SELECT DISTINCT ({column})::text COLLATE "C" AS value FROM {relation} WHERE ({column}) IS NOT NULL)
        SELECT {place} AS place, count(*) AS source, count(given.value) AS found FROM kept LEFT JOIN given USING (value))"""
