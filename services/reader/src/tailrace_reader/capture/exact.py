"""A snapshot of the source that is a prefix of its WAL: every transaction that commits below a point, and none that does not.

An ordinary snapshot is not one: of two commits, the one that is later in WAL may be visible first. A logical slot's is, since it is
made by decoding. The slot is temporary: it goes with its session, as soon as the snapshot is held by another, and holds no WAL.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import asyncpg

from tailrace_reader.capture.errors import CapturePrivilege
from tailrace_reader.capture.events import HEARTBEAT, MARKER
from tailrace_reader.lane_opening import PREFIX
from tailrace_reader.snapshot import HeldSnapshot, SourceServer, join_snapshot
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, connect_replication, translated

SETTLE_S: Final = 30.0
"""For transactions that are running already, which making a slot waits for: nothing else waits for them yet."""
SLOT_S: Final = 5.0
"""The lane waits at the marker until the point is known; the slot now waits for transactions that have begun in between only."""
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_NO_SLOT = "53400"
_POINT = "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_catalog.pg_replication_slots WHERE slot_name = '{name}'"


async def exact_point(source: SourceServer, token: str) -> tuple[HeldSnapshot, int]:
    """A snapshot, held, and the LSN below which it has every commit. The marker ``token`` is in WAL before that point.

    Raises TransientError: ``capture.long-transaction`` where a transaction of the source does not end in time,
    ``comparison.no-slot`` where no replication slot is free; CapturePrivilege; and as ``tailrace_shared.postgres.connect``.
    """
    await _slot_once(source)
    plain = await connect(
        source.url,
        source.application_name,
        variable=source.variable,
        timeout_s=CONNECT_TIMEOUT_S,
        statement_timeout="0",
    )
    try:
        walsender = await _walsender(source)
        try:
            await _say(plain, MARKER, token)
            snapshot, point = await _export(walsender, SLOT_S)
            holder = await join_snapshot(source, [snapshot])
        finally:
            walsender.terminate()  # and the slot with it
        try:
            await _say(plain, HEARTBEAT, token)  # something has to come behind the point, also where nobody writes
        except BaseException:
            holder.release()
            raise
        return holder, point
    finally:
        plain.terminate()


async def _slot_once(source: SourceServer) -> None:
    """Make a slot and let it go: what could keep one from being made is found before anything waits for it."""
    walsender = await _walsender(source)
    try:
        await _export(walsender, SETTLE_S)
    finally:
        walsender.terminate()


async def _walsender(source: SourceServer) -> asyncpg.Connection:
    try:
        return await connect_replication(source.url, source.application_name, variable=source.variable)
    except TerminalError as error:
        if error.code == "postgres.privilege":
            raise CapturePrivilege from None
        raise


async def _say(connection: asyncpg.Connection, prefix: str, token: str) -> None:
    with translated():
        await connection.execute("SELECT pg_catalog.pg_logical_emit_message(true, $1, $2::text)", prefix, token)


async def _export(walsender: asyncpg.Connection, limit_s: float) -> tuple[str, int]:
    """The exported snapshot's id and the slot's point. A walsender takes no statement with a row from asyncpg, but a COPY."""
    name = f"{PREFIX}compare_{secrets.token_hex(6)}"
    try:
        async with asyncio.timeout(2 * limit_s):
            with translated():
                # It waits for transactions as for locks, one after the other, and does not notice that its client has gone.
                await walsender.execute(f"SET lock_timeout = {int(limit_s * 1000)}")
                await walsender.execute(_BEGIN)
                await walsender.execute(f"CREATE_REPLICATION_SLOT {name} TEMPORARY LOGICAL pgoutput USE_SNAPSHOT")
                snapshot = await _told(walsender, "SELECT pg_catalog.pg_export_snapshot()")
                point = await _told(walsender, _POINT.format(name=name))
    except (TimeoutError, TailraceError) as error:
        if isinstance(error, TimeoutError) or error.code == "postgres.lock":
            raise TransientError(
                "capture.long-transaction",
                "a transaction of the source has been running since before the snapshot was wanted",
                "It is waited for; pg_stat_activity (xact_start) and pg_prepared_xacts show it.",
            ) from None
        if getattr(error.__context__, "sqlstate", "") == _NO_SLOT:
            raise TransientError(
                "comparison.no-slot",
                "the source has no replication slot left for a comparison",
                "It takes one for a moment: raise max_replication_slots, or drop a slot that nobody needs.",
            ) from None
        raise
    return snapshot, int(point)


async def _told(connection: asyncpg.Connection, query: str) -> str:
    told: list[bytes] = []

    async def take(data: bytes) -> None:
        told.append(data)

    await connection.copy_from_query(query, output=take)
    return b"".join(told).decode("ascii").strip()
