"""Applying batches: at least once delivered, exactly once in effect."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from tailrace_shared.batch import BatchHead
from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TransientError
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.postgres import DRIVER_ERRORS, map_error
from tailrace_shared.service.metrics import Outcome
from tailrace_writer.encode import Encoded
from tailrace_writer.fence import APPLY, IN_LEDGER, opening
from tailrace_writer.sessions import Sessions
from tailrace_writer.terminate import terminate_stale

LOCKED = "postgres.lock"
BATCH_S = 120.0
"""A batch takes milliseconds. On a session that nobody answers on any more it is given up after so long, and tried again."""


class Applier:
    """Applies batches of one run through a few sessions."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        lock_timeout_s: float,
        stale_s: float,
        replica_role: bool,
        resync_silent: bool = False,
    ) -> None:
        self._resync_silent = resync_silent
        """Tables that are loaded again while the run streams meet foreign keys and triggers that are back: under the replica role
        these are silent."""
        self._sessions = sessions
        self._lock_timeout_s = lock_timeout_s
        self._stale_s = stale_s
        self._replica_role = replica_role

    async def apply(
        self, head: BatchHead, table: PlannedTable, columns: list[str], data: Encoded
    ) -> tuple[Outcome, float]:
        """Apply once; what became of it, and the seconds that it took once a session was free.

        ``duplicate``: the ledger has it. ``discarded``: the run is not loading this any more. Raises the mapped driver
        error; when fence or ledger were held for too long, the sessions of stopped replicas are ended first.
        """
        silent = self._replica_role or (self._resync_silent and head.id.load > 0)
        statement = opening(head, lock_timeout_s=self._lock_timeout_s, replica_role=silent)
        try:
            async with self._sessions.session() as connection:
                started = time.perf_counter()
                async with asyncio.timeout(BATCH_S):
                    outcome = await _transaction(connection, statement, head, table, columns, data)
                return outcome, time.perf_counter() - started
        except DRIVER_ERRORS as error:
            mapped = map_error(error)
        if isinstance(mapped, TransientError) and mapped.code == LOCKED:
            async with self._sessions.session() as connection:
                await terminate_stale(connection, self._stale_s)
        raise mapped


async def _transaction(
    connection: asyncpg.Connection,
    statement: str,
    head: BatchHead,
    table: PlannedTable,
    columns: list[str],
    data: Encoded,
) -> Outcome:
    if await connection.execute(statement) != APPLY:
        known = await connection.fetchval(IN_LEDGER, *head.id)
        await connection.execute("ROLLBACK")
        return "duplicate" if known else "discarded"
    await connection.copy_to_table(
        table.name.name,
        schema_name=table.name.schema_name,
        source=data.slices(),
        columns=columns,
        format=data.format,
    )
    crash_point("writer.after-copy-before-commit")
    await connection.execute("COMMIT")
    crash_point("writer.after-commit-before-offset")
    return "done"
