"""The cut-over: a snapshot that fits the stream of a slot that exists already.

The same for the first load, a table added later and a table that is read anew. A commit may be in WAL before it is visible; one
that lies before the slot's start, or before where the capture stands, and is not visible yet would be in neither. So: note what is
running once the slot exists, and take the snapshot only when all of that is over. What is running is told by its lock on its own
id, which is given back after the commit has become visible. A snapshot does not tell it: its xmax is behind the newest transaction
that has *ended*, and one that hangs in its commit may be newer.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import asyncpg

from tailrace_reader.capture.cutover import SnapshotFilter
from tailrace_shared.changes.visible import Visible
from tailrace_shared.errors import TransientError
from tailrace_shared.postgres import translated

POLL_S = 0.05


class CutOver(NamedTuple):
    """An exported snapshot, what it sees, and the WAL position behind it."""

    snapshot: str
    visible: Visible
    lsn: int

    def filter(self) -> SnapshotFilter:
        """For a table that is loaded from this snapshot."""
        return SnapshotFilter(self.visible, self.lsn)


async def settled(connection: asyncpg.Connection, deadline_s: float) -> None:
    """Wait until every transaction that is running now has ended. Outside of a transaction, once the slot exists.

    Raises TransientError (``capture.long-transaction``) after ``deadline_s``.
    """
    until = time.monotonic() + deadline_s
    with translated():
        awaited = running = await _running(connection)
        while awaited & running:
            if time.monotonic() >= until:
                raise TransientError(
                    "capture.long-transaction",
                    "a transaction of the source has been running since before the snapshot was wanted",
                    "It is waited for; pg_stat_activity (xact_start) and pg_prepared_xacts show it.",
                )
            await asyncio.sleep(POLL_S)
            running = await _running(connection)


async def _running(connection: asyncpg.Connection) -> frozenset[str]:
    """Ids of the transactions that have one, of any database: prepared ones and those that hang in their commit, too."""
    rows = await connection.fetch(
        "SELECT transactionid::text AS xid FROM pg_catalog.pg_locks "
        "WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted"
    )
    return frozenset(row["xid"] for row in rows)


async def export_point(connection: asyncpg.Connection) -> CutOver:
    """Export the snapshot of the REPEATABLE READ transaction that is open, whose first statement this is. After ``settled``."""
    with translated():
        row = await connection.fetchrow(
            "SELECT pg_catalog.pg_current_snapshot()::text AS visible, pg_catalog.pg_export_snapshot() AS snapshot"
        )
        assert row is not None
        lsn = await connection.fetchval("SELECT (pg_catalog.pg_current_wal_insert_lsn() - '0/0')::bigint")
    return CutOver(row["snapshot"], Visible.parse(row["visible"]), int(lsn))
