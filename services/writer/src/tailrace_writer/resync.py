"""Loading tables anew while a run streams: what the leader does, each step in one transaction that proves its seat.

The plan is accepted in the transaction that holds the lane, empties the tables and lays out their ranges: the capture stands still
until the record says so, hence no change behind the new snapshot can have been applied, or passed over, before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import asyncpg

from tailrace_shared import topics
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError
from tailrace_shared.kafka import Kafka
from tailrace_shared.plan.growth import rules_told
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.plan.resync import ResyncOrder
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified
from tailrace_writer.lane.position import lsn_of
from tailrace_writer.state.moves import Deposed, Seat, close_fence
from tailrace_writer.state.resyncing import AGAIN_S, PASSING_S

_STOP_S = 5.0
_STREAMS = "run = $1 AND epoch = $2 AND attempt = $3 AND state IN ('streaming', 'paused')"
_NAMES = 'SELECT table_no, schema_name, name FROM tailrace."table" WHERE run = $1 AND attempt = $2 AND table_no = ANY($3::int[])'


async def ordered(connection: asyncpg.Connection, seat: Seat, numbers: Sequence[int]) -> list[tuple[int, str, str]]:
    """Number, schema and name of tables."""
    with translated():
        rows = await connection.fetch(_NAMES, seat.run, seat.attempt, list(numbers))
    return [(row["table_no"], row["schema_name"], row["name"]) for row in rows]


async def publish_order(kafka: Kafka, namespace: str, order: ResyncOrder, message_bytes: int) -> None:
    """The order to the run's ``plan`` topic; durable when this returns."""
    sender = Sender(kafka, message_bytes)
    await sender.start()
    try:
        await sender.send(topics.of_run(namespace, order.run, "plan"), order.encode(), partition=0)
    finally:
        await sender.stop(Deadline.after(_STOP_S))


async def note_order(connection: asyncpg.Connection, seat: Seat, order: ResyncOrder) -> None:
    """The order stands in the run's row; what asked for it is answered by it. Raises Deposed."""
    numbers = [table.number for table in order.tables]
    with translated():
        async with connection.transaction():
            status = await connection.execute(
                "UPDATE tailrace.run SET resync_no = $4, resync_state = 'asked', resync_order = $5, resync_tables = $6, "
                "resync_plan = '', resync_why = '', resync_refused = '{}', resync_passing = false, resync_at = clock_timestamp(), "
                f"resync_in_place = $7 WHERE {_STREAMS} AND resync_state = '' AND resync_no = $4 - 1",
                seat.run, seat.epoch, seat.attempt, order.number, order.digest, numbers, order.in_place,
            )  # fmt: skip
            if status != "UPDATE 1":
                raise Deposed(seat.run)
            answered = "grows" if order.in_place else "resync_requested"
            await connection.execute(
                f'UPDATE tailrace."table" SET {answered} = false WHERE run = $1 AND attempt = $2 AND table_no = ANY($3)',
                seat.run, seat.attempt, numbers,
            )  # fmt: skip


async def begin(connection: asyncpg.Connection, seat: Seat, plan: Plan, digest: str, lock_timeout_s: float) -> None:
    """Accept an offered plan. Raises Deposed where it is not the one at hand any more; the driver's errors where a table cannot be
    emptied or altered: then nothing has happened."""
    with translated():
        async with connection.transaction():
            await close_fence(connection, seat.run, lock_timeout_s)
            row = await connection.fetchrow(
                f"SELECT resync_tables, resync_refused FROM tailrace.run WHERE {_STREAMS} AND resync_state = 'asked' "
                "AND resync_plan = $4 AND resync_no = $5 FOR UPDATE",
                seat.run, seat.epoch, seat.attempt, digest, plan.revision,
            )  # fmt: skip
            if row is None:
                raise Deposed(seat.run)
            tables = [plan.table(number) for number in row["resync_tables"]]
            assert plan.continuous is not None
            await _require_behind(connection, seat, plan.continuous.lane, tables)
            await _claim(connection, seat, tables)
            if plan.continuous.apply == "replica-role":
                await connection.execute("SET LOCAL session_replication_role = replica")
            await _empty(connection, tables)
            for alteration in plan.alterations:
                for statement in alteration.statements:
                    await connection.execute(statement)
            await _lay_out(connection, seat, tables, digest)
            for number, why in json.loads(row["resync_refused"]).items():
                await _refuse(connection, seat, int(number), why)
            names = ", ".join(str(table.name) for table in tables)
            await connection.execute(
                "UPDATE tailrace.lane SET held = $4, tables_version = tables_version + 1 "
                "WHERE run = $1 AND attempt = $2 AND lane = $3",
                seat.run, seat.attempt, plan.continuous.lane, f"resync of {names}",
            )  # fmt: skip
            crash_point("leader.mid-resync")
            # The row comes last: a long wait for a table must not keep the leader's heartbeat waiting for it.
            await _set(connection, seat, "revision = $4, resync_state = 'loading'", digest)


async def grow(connection: asyncpg.Connection, seat: Seat, plan: Plan, digest: str, table: PlannedTable) -> None:
    """Accept a plan that adds columns to a table in place. Who follows the lane adds them in the destination, before the first row
    that has them. Raises Deposed where it is not the offer at hand any more."""
    with translated():
        async with connection.transaction():
            status = await connection.execute(
                "UPDATE tailrace.\"table\" SET why = $4 WHERE run = $1 AND attempt = $2 AND table_no = $3 AND state = 'loaded'",
                seat.run, seat.attempt, table.number, rules_told(table),
            )  # fmt: skip
            if status != "UPDATE 1":
                raise TerminalError(
                    "resync.late", "the table does not follow its source any more", "It is loaded anew."
                )
            status = await connection.execute(
                "UPDATE tailrace.run SET revision = $4, resync_state = '', resync_plan = '', resync_why = '' "
                f"WHERE {_STREAMS} AND resync_state = 'asked' AND resync_in_place AND resync_plan = $4 AND resync_no = $5",
                seat.run, seat.epoch, seat.attempt, digest, plan.revision,
            )  # fmt: skip
            if status != "UPDATE 1":
                raise Deposed(seat.run)
            crash_point("leader.mid-growth")


async def end(connection: asyncpg.Connection, seat: Seat, number: int, lock_timeout_s: float) -> None:
    """All that could be loaded is: the lane goes on."""
    with translated():
        async with connection.transaction():
            await close_fence(connection, seat.run, lock_timeout_s)
            await _require(connection, seat, number)
            await connection.execute(
                "UPDATE tailrace.\"table\" SET tries = 0, retry_at = NULL WHERE run = $1 AND attempt = $2 AND revision = $3 "
                "AND state = 'loaded'",
                seat.run, seat.attempt, number,
            )  # fmt: skip
            await _release(connection, seat)


async def abandon(
    connection: asyncpg.Connection,
    seat: Seat,
    number: int,
    why: str,
    lock_timeout_s: float,
    *,
    refused_it: bool = False,
) -> None:
    """What is not loaded stays in quarantine, and is tried again later: a few times where something stands in the way
    (``refused_it``: the destination said so), any number of times where it only was not to be had."""
    with translated():
        async with connection.transaction():
            await close_fence(connection, seat.run, lock_timeout_s)
            row = await _require(connection, seat, number)
            refused = json.loads(row["resync_refused"])
            counts = refused_it or (row["resync_why"] != "" and not row["resync_passing"])
            for table in row["resync_tables"]:
                await _refuse(connection, seat, table, refused.pop(str(table), why), counts=counts)
            for table, reason in refused.items():
                await _refuse(connection, seat, int(table), reason)
            await _release(connection, seat)


async def let_go(connection: asyncpg.Connection, seat: Seat) -> None:
    """Columns are not followed in place: the capture hears it, goes on without them, and says so in the lane; then the table is
    loaded anew. It takes no lock that the lane holds: that may be inside a transaction whose next piece the capture has."""
    with translated():
        async with connection.transaction():
            await _set(connection, seat, "resync_state = '', resync_plan = '', resync_why = ''")


async def following(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> Plan:
    """The plan without tables that are in quarantine: of a continuous run there is nothing to ask of these."""
    if plan.continuous is None:
        return plan
    with translated():
        rows = await connection.fetch(
            "SELECT table_no FROM tailrace.\"table\" WHERE run = $1 AND attempt = $2 AND state <> 'loaded'",
            seat.run, seat.attempt,
        )  # fmt: skip
    out = {row["table_no"] for row in rows}
    return plan.model_copy(update={"tables": tuple(t for t in plan.tables if t.number not in out)})


async def _require(connection: asyncpg.Connection, seat: Seat, number: int) -> asyncpg.Record:
    row = await connection.fetchrow(
        f"SELECT resync_tables, resync_refused, resync_passing, resync_why FROM tailrace.run WHERE {_STREAMS} "
        "AND resync_state <> '' AND resync_no = $4 FOR UPDATE",
        seat.run, seat.epoch, seat.attempt, number,
    )  # fmt: skip
    if row is None:
        raise Deposed(seat.run)
    return row


async def _refuse(connection: asyncpg.Connection, seat: Seat, number: int, why: str, *, counts: bool = True) -> None:
    """Back to quarantine. A table that is loaded already, and one that was asked for while it was well, stay as they are."""
    status = await connection.execute(
        "UPDATE tailrace.\"table\" SET state = 'quarantined', why = $4, tries = tries + $6::bool::int, "
        "retry_at = clock_timestamp() + make_interval(secs => CASE WHEN $6 THEN $5 * 2 ^ tries ELSE $7 END) "
        "WHERE run = $1 AND attempt = $2 AND table_no = $3 AND state IN ('resync', 'quarantined')",
        seat.run, seat.attempt, number, why, AGAIN_S, counts, PASSING_S,
    )  # fmt: skip
    if status != "UPDATE 1":
        await connection.execute(
            'UPDATE tailrace."table" SET why = $4 WHERE run = $1 AND attempt = $2 AND table_no = $3',
            seat.run, seat.attempt, number, f"it was not loaded anew: {why}",
        )  # fmt: skip
    else:
        for kept in ("range", "ledger"):
            await connection.execute(
                f"DELETE FROM tailrace.{kept} WHERE run = $1 AND attempt = $2 AND table_no = $3",
                seat.run, seat.attempt, number,
            )  # fmt: skip


async def _release(connection: asyncpg.Connection, seat: Seat) -> None:
    await connection.execute(
        "UPDATE tailrace.lane SET held = '', tables_version = tables_version + 1 WHERE run = $1 AND attempt = $2",
        seat.run, seat.attempt,
    )  # fmt: skip
    await connection.execute(
        "UPDATE tailrace.replica SET snapshot = '', resync = 0 WHERE run = $1 AND resync > 0", seat.run
    )
    await _set(connection, seat, "resync_state = '', resync_plan = '', resync_why = ''")


async def _set(connection: asyncpg.Connection, seat: Seat, assignments: str, *values: object) -> None:
    status = await connection.execute(
        f"UPDATE tailrace.run SET {assignments} WHERE {_STREAMS}", seat.run, seat.epoch, seat.attempt, *values
    )
    if status != "UPDATE 1":
        raise Deposed(seat.run)


async def _require_behind(
    connection: asyncpg.Connection, seat: Seat, lane: int, tables: Sequence[PlannedTable]
) -> None:
    """The lane has not passed the place where the capture stood: else it has gone on without the offer, and changes behind the
    snapshot were passed over."""
    position = await connection.fetchval(
        "SELECT position FROM tailrace.lane WHERE run = $1 AND attempt = $2 AND lane = $3 FOR UPDATE",
        seat.run, seat.attempt, lane,
    )  # fmt: skip
    if position is None or any(table.cut is None or position > lsn_of(table.cut.since) for table in tables):
        raise TerminalError(
            "resync.late", "the capture had gone on before its offer was accepted", "It is tried again."
        )


async def _claim(connection: asyncpg.Connection, seat: Seat, tables: Sequence[PlannedTable]) -> None:
    for table in tables:
        name = table.name
        await connection.execute(
            "INSERT INTO tailrace.claim (schema_name, name, run) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            name.schema_name, name.name, seat.run,
        )  # fmt: skip
        holder = await connection.fetchval(
            "SELECT run FROM tailrace.claim WHERE schema_name = $1 AND name = $2", name.schema_name, name.name
        )
        if holder != seat.run:
            raise TerminalError(
                "claim.taken", f"run {holder} is working on destination table {name}", f"Wait for run {holder} to end."
            )


async def _empty(connection: asyncpg.Connection, tables: Sequence[PlannedTable]) -> None:
    """TRUNCATE; DELETE where another table refers to one of these, which keeps its rows."""
    for table in tables:
        kind = await connection.fetchval(
            "SELECT relkind FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)",
            qualified(table.name.schema_name, table.name.name),
        )
        name = qualified(table.name.schema_name, table.name.name)
        only = name if kind == b"p" else f"ONLY {name}"
        try:
            async with connection.transaction():
                await connection.execute(f"TRUNCATE {only}")
        except asyncpg.FeatureNotSupportedError:
            await connection.execute(f"DELETE FROM {only}")


async def _lay_out(connection: asyncpg.Connection, seat: Seat, tables: Sequence[PlannedTable], digest: str) -> None:
    for table in tables:
        cut = table.cut
        assert cut is not None
        for kept in ("range", "ledger"):
            await connection.execute(
                f"DELETE FROM tailrace.{kept} WHERE run = $1 AND attempt = $2 AND table_no = $3",
                seat.run, seat.attempt, table.number,
            )  # fmt: skip
        load = await connection.fetchval(
            "UPDATE tailrace.\"table\" SET state = 'resync', why = '', load = load + 1, plan = $4, revision = $5, since = $6, "
            "snapshot = $7, filter_until = $8, planned_ranges = $9, estimated_rows = $10, rows_loaded = 0, rows_read = 0, "
            "after_tables = '{}', grown = $5, grows = false WHERE run = $1 AND attempt = $2 AND table_no = $3 RETURNING load",
            seat.run, seat.attempt, table.number, digest, cut.revision, lsn_of(cut.since), cut.snapshot,
            lsn_of(cut.filter_until), len(table.ranges), float(table.estimated_rows),
        )  # fmt: skip
        await connection.executemany(
            "INSERT INTO tailrace.range (run, attempt, table_no, load, range_no, leaf, low_block, high_block, high_item, "
            "estimated_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            [
                (
                    seat.run, seat.attempt, table.number, load, r.number, r.leaf, r.low, r.high, r.high_item,
                    max(1, r.estimated_bytes),
                )
                for r in table.ranges
            ],
        )  # fmt: skip
