"""Taking back what an attempt has done: its rows are truncated under the fence, in the transaction of the run's move."""

from __future__ import annotations

from contextlib import suppress

import asyncpg

from tailrace_shared.messages import State
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified
from tailrace_writer import create, emptying
from tailrace_writer.state.decisions import Outcome
from tailrace_writer.state.moves import Seat, close_fence, forget, move, require


async def stop(
    connection: asyncpg.Connection, seat: Seat, state: State, outcome: Outcome, lock_timeout_s: float, *, empty: bool
) -> None:
    """Any state → stopping. ``empty``: the attempt has changed the destination."""
    with translated():
        async with connection.transaction():
            await close_fence(connection, seat.run, lock_timeout_s)
            await require(connection, seat, state)
            if empty:
                await _empty(connection, seat)
            await move(
                connection,
                seat,
                state,
                "stopping",
                "outcome = $6, waiting_for = '', queued = false, resync_state = ''",
                outcome,
            )


async def restart(
    connection: asyncpg.Connection, seat: Seat, state: State, lock_timeout_s: float, *, empty: bool
) -> None:
    """Back to submitted with the next attempt. What was dropped comes back before the destination is looked at again."""
    with translated():
        async with connection.transaction():
            await close_fence(connection, seat.run, lock_timeout_s)
            await require(connection, seat, state)
            if empty:
                await _empty(connection, seat)
            await forget(connection, seat.run)
            await connection.execute(
                "UPDATE tailrace.replica SET snapshot = '', resync = 0, refused = NULL WHERE run = $1", seat.run
            )
            await move(
                connection, seat, state, "submitted",
                "attempt = attempt + 1, plan_before = coalesce(nullif(revision, ''), nullif(digest, ''), plan_before), "
                "digest = '', catalogue_at = NULL, tasked_at = NULL, prepared = false, "
                "revision = '', resync_state = '', resync_plan = '', resync_why = '', "
                "restart_because = '', unavailable = '{}', verified_at = NULL, checks = '[]'",
            )  # fmt: skip


async def conclude(
    connection: asyncpg.Connection, seat: Seat, state: State, target: State, assignments: str = "", *values: object
) -> None:
    """The run's end: its claims and working rows go in the transaction of the last move.

    The definition of a thing that could not be brought back stays: there is no other copy of it.
    """
    with translated():
        async with connection.transaction():
            await forget(connection, seat.run, replicas=True)
            await connection.execute("DELETE FROM tailrace.ddl WHERE run = $1 AND trouble = ''", seat.run)
            await connection.execute("DELETE FROM tailrace.claim WHERE run = $1", seat.run)
            sets = "finished_at = clock_timestamp(), waiting_for = ''" + (f", {assignments}" if assignments else "")
            await move(connection, seat, state, target, sets, *values)


async def _empty(connection: asyncpg.Connection, seat: Seat) -> None:
    """Empty every table that the run has claimed; foreign keys and triggers that are back already step aside again.

    Never in the mode append, where the tables hold what was there before.
    """
    if await connection.fetchval(
        "SELECT job->'destination'->>'mode' = 'append' FROM tailrace.run WHERE run = $1", seat.run
    ):
        return
    steps = await connection.fetch(
        "SELECT number, attempt, drop_sql FROM tailrace.ddl WHERE run = $1 AND kind IN ('foreign-key', 'trigger') "
        "AND rebuilt > 0",
        seat.run,
    )
    for step in steps:
        await connection.execute(step["drop_sql"])
        await connection.execute(
            "UPDATE tailrace.ddl SET rebuilt = 0 WHERE run = $1 AND attempt = $2 AND number = $3",
            seat.run, step["attempt"], step["number"],
        )  # fmt: skip
    await create.remove(connection, seat)
    claimed = await connection.fetch(
        "SELECT k.schema_name, k.name, c.relkind <> 'p' AS only FROM tailrace.claim k JOIN pg_catalog.pg_class c "
        "ON c.oid = pg_catalog.to_regclass(pg_catalog.format('%I.%I', schema_name, name)) WHERE run = $1 ORDER BY 1, 2",
        seat.run,
    )  # fmt: skip
    # A table's own rows: others may inherit from it. Those of partitions are its own.
    names = [f"{'ONLY ' if row['only'] else ''}{qualified(row['schema_name'], row['name'])}" for row in claimed]
    if names:
        await _silence_triggers(connection, seat)
        await emptying.empty(connection, names)


async def _silence_triggers(connection: asyncpg.Connection, seat: Seat) -> None:
    """In the mode respect, under the replica role where it is granted: the plan has left triggers enabled that it silences."""
    respects = "SELECT job->'destination'->>'constraints' = 'respect' FROM tailrace.run WHERE run = $1"
    if await connection.fetchval(respects, seat.run):
        with suppress(asyncpg.InsufficientPrivilegeError):
            async with connection.transaction():
                await connection.execute("SET LOCAL session_replication_role = replica")
