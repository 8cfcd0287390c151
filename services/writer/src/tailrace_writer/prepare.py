"""Taking hold of the destination: claims on its tables, then drops, emptiness and lay-out in one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence

import asyncpg

from tailrace_shared.crash import crash_point
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified
from tailrace_shared.verify.answers import answers
from tailrace_writer import create
from tailrace_writer.emptying import empty
from tailrace_writer.lane.laying import lay_out_lane
from tailrace_writer.staging import steps_before
from tailrace_writer.state.learning import lay_out_models
from tailrace_writer.state.moves import Seat, close_fence, move, require
from tailrace_writer.state.pools import lay_out_pools

_DROPS_AT_ONCE = 50
"""Statements per round trip; all are in one transaction anyway."""


class Outdated(Exception):
    """The plan may rest on a destination that lacked what another run had dropped: that run has ended since the look.

    While it lasts, its claims refuse this run; once it is over, nothing else tells that there was one.
    """

    def __init__(self, other: str) -> None:
        super().__init__(other)
        self.other = other


_ENDED = """
SELECT other.run FROM tailrace.run other JOIN tailrace.run mine ON mine.run = $1
WHERE other.run <> $1 AND other.started_at IS NOT NULL AND other.finished_at >= mine.catalogue_at
  AND (other.job->'schemas')::jsonb ?| $2::text[]
ORDER BY 1 LIMIT 1
"""


async def claim(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> None:
    """planned → preparing: these tables are this run's until it is over.

    Raises TerminalError (``claim.taken``) that names the run which has one of them already, and Outdated where a run that had
    changed tables of these schemas has ended since the destination was looked at for the plan.
    """
    places = [t.name.schema_name for t in plan.tables]
    names = [t.name.name for t in plan.tables]
    with translated():
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO tailrace.claim (schema_name, name, run) "
                # in one order, so that two runs never wait for each other
                "SELECT s, n, $3 FROM unnest($1::text[], $2::text[]) AS t(s, n) ORDER BY s, n ON CONFLICT DO NOTHING",
                places, names, seat.run,
            )  # fmt: skip
            taken = await connection.fetchrow(
                "SELECT c.schema_name, c.name, c.run FROM tailrace.claim c "
                "JOIN unnest($1::text[], $2::text[]) AS t(s, n) ON c.schema_name = s AND c.name = n WHERE c.run <> $3 "
                "ORDER BY 1, 2 LIMIT 1",
                places, names, seat.run,
            )  # fmt: skip
            if taken is not None:
                raise TerminalError(
                    "claim.taken",
                    f"run {taken['run']} is working on destination table {taken['schema_name']}.{taken['name']}",
                    f"Wait for run {taken['run']} to end, or cancel it: tailrace cancel {taken['run']}.",
                )
            ended = await connection.fetchval(_ENDED, seat.run, places)
            if ended is not None:
                raise Outdated(ended)
            warnings = json.dumps([problem.model_dump() for problem in plan.warnings])
            await move(connection, seat, "planned", "preparing", "problems = $6", warnings)


_ENDING = """
SELECT c.run, r.heartbeat < clock_timestamp() - make_interval(secs => $3) AS silent
FROM tailrace.claim c JOIN tailrace.run r ON r.run = c.run
WHERE c.run <> $1 AND c.schema_name = ANY($2::text[])
  AND (r.state = 'stopping' OR r.heartbeat < clock_timestamp() - make_interval(secs => $3))
ORDER BY 2, 1 LIMIT 1
"""


async def ending_elsewhere(
    connection: asyncpg.Connection, run: str, schemas: Sequence[str], stale_s: float
) -> tuple[str, bool] | None:
    """A run that has tables of these schemas and will not have them for long: it is stopping, or nobody leads it (True).

    While it has them, things that it has dropped are missing, and a plan made now would not know of them.
    """
    with translated():
        row = await connection.fetchrow(_ENDING, run, list(schemas), stale_s)
    return None if row is None else (row["run"], row["silent"])


async def prepare(connection: asyncpg.Connection, seat: Seat, plan: Plan, lock_timeout_s: float) -> None:
    """preparing → loading, all or nothing: what is dropped is remembered in the very transaction that drops it.

    Raises TerminalError (``prepare.not-empty``) where the job expects empty tables and one is not.
    """
    with translated():
        async with connection.transaction():
            await close_fence(connection, seat.run, lock_timeout_s)
            await require(connection, seat, "preparing")
            await create.make(connection, seat, plan)
            if not plan.truncate_first and plan.mode not in ("append", "create"):
                await _require_empty(connection, plan)
            await _drop(connection, seat, plan)
            if (
                plan.replica_role and plan.mode != "append"
            ):  # the triggers that it silences are not disabled, and some are ON TRUNCATE
                await connection.execute("SET LOCAL session_replication_role = replica")
            if plan.mode != "create":
                emptied = [t for t in plan.tables if plan.truncate_first or t.mode == "truncate"]
                await empty(connection, [_own(table) for table in emptied])
                for alteration in plan.alterations:
                    for statement in alteration.statements:
                        await connection.execute(statement)
            crash_point("leader.after-truncate")
            await _lay_out(connection, seat, plan)
            await lay_out_lane(connection, seat, plan)
            await lay_out_models(connection, seat, plan)
            await lay_out_pools(connection, seat, plan)
            # The row comes last: a long drop must not keep the leader's heartbeat waiting for it.
            await move(
                connection, seat, "preparing", "loading",
                "prepared = $6, started_at = coalesce(started_at, clock_timestamp())",
                plan.mode != "append",  # where no table is touched before the very end, none is to be emptied
            )  # fmt: skip


def _own(table: PlannedTable) -> str:
    """The table without those that inherit from it."""
    return f"{'ONLY ' if table.only else ''}{qualified(table.name.schema_name, table.name.name)}"


async def _require_empty(connection: asyncpg.Connection, plan: Plan) -> None:
    tables = [table for table in plan.tables if table.mode != "truncate"]
    filled = await answers(connection, [f"SELECT EXISTS (SELECT 1 FROM {_own(table)})" for table in tables])
    for table, any_row in zip(tables, filled, strict=True):
        if any_row:
            raise TerminalError(
                "prepare.not-empty",
                f"destination table {table.name} is not empty",
                "Empty it, exclude it, or set destination.mode: truncate.",
            )


async def _drop(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> None:
    steps = [step for step in steps_before(plan) if not step.creates]
    await connection.executemany(
        "INSERT INTO tailrace.ddl (run, attempt, number, kind, schema_name, table_name, name, drop_sql, rebuild) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        [
            (
                seat.run, seat.attempt, step.number, step.kind, step.table.schema_name, step.table.name, step.name,
                step.drop, list(step.rebuild),
            )
            for step in steps
        ],
    )  # fmt: skip
    for first in range(0, len(steps), _DROPS_AT_ONCE):
        await connection.execute(";\n".join(step.drop for step in steps[first : first + _DROPS_AT_ONCE]))


async def _lay_out(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> None:
    carried = [t for t in plan.tables if t.mode != "truncate"]
    await connection.executemany(
        'INSERT INTO tailrace."table" (run, attempt, table_no, schema_name, name, after_tables, planned_ranges, estimated_rows) '
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (
                seat.run, seat.attempt, t.number, t.name.schema_name, t.name.name, list(t.after), len(t.ranges),
                float(t.estimated_rows),
            )
            for t in carried
        ],
    )  # fmt: skip
    await connection.executemany(
        "INSERT INTO tailrace.range (run, attempt, table_no, load, range_no, leaf, low_block, high_block, high_item, "
        "estimated_bytes) "
        "VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8, $9)",
        [
            (seat.run, seat.attempt, t.number, r.number, r.leaf, r.low, r.high, r.high_item, max(1, r.estimated_bytes))
            for t in carried
            for r in t.ranges
        ],
    )
