"""Logical replication slots: made, looked at, dropped. Over an ordinary session; the role needs REPLICATION.

https://www.postgresql.org/docs/current/view-pg-replication-slots.html. A slot pins WAL on the source: one that is forgotten fills
its disk, so whoever makes one must see to its end.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from tailrace_reader.capture.errors import DUPLICATE, PRIVILEGE, CapturePrivilege
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.postgres import translated

PLUGIN = "pgoutput"
DROP_RETRY_S = 0.1
_FAILOVER_SINCE = 17
_STATE = """
SELECT slot_name::text AS name, plugin::text AS plugin, database::text AS database, active, active_pid, wal_status, safe_wal_size,
  (restart_lsn - '0/0')::bigint AS restart_lsn, (confirmed_flush_lsn - '0/0')::bigint AS confirmed_lsn,
  (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
   ELSE pg_catalog.pg_current_wal_lsn() END - restart_lsn)::bigint AS retained_bytes,
  (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
   ELSE pg_catalog.pg_current_wal_lsn() END - confirmed_flush_lsn)::bigint AS behind_bytes,
  pg_catalog.to_jsonb(s) ->> 'invalidation_reason' AS reason, (pg_catalog.to_jsonb(s) ->> 'conflicting')::boolean AS conflicting,
  coalesce((pg_catalog.to_jsonb(s) ->> 'failover')::boolean, false) AS failover,
  coalesce((pg_catalog.to_jsonb(s) ->> 'synced')::boolean, false) AS synced
FROM pg_catalog.pg_replication_slots AS s
"""
"""Columns that came with 16 and 17 are looked up by name, so that one query serves every version."""


@dataclass(frozen=True)
class SlotState:
    """A slot as the source shows it. LSNs and sizes in bytes."""

    name: str
    plugin: str
    database: str
    active: bool
    active_pid: int | None
    wal_status: str | None
    """``reserved``, ``extended`` (more than max_wal_size), ``unreserved`` (about to be lost), ``lost``."""
    safe_wal_size: int | None
    """What may be written before the slot is in danger; None without max_slot_wal_keep_size: without a limit."""
    restart_lsn: int | None
    confirmed_lsn: int | None
    retained_bytes: int | None
    """WAL that the source keeps for the slot."""
    behind_bytes: int | None
    """WAL that is written and not confirmed."""
    reason: str | None
    """Why it was invalidated; told by 17 and above."""
    conflicting: bool | None
    failover: bool
    synced: bool
    """A copy on a standby, kept by the primary."""

    @property
    def lost(self) -> bool:
        """Its stream cannot go on."""
        return self.wal_status == "lost" or self.reason is not None or bool(self.conflicting)

    @property
    def endangered(self) -> bool:
        """It holds more WAL than the source means to keep, or is about to be lost."""
        return not self.lost and self.wal_status in ("extended", "unreserved")


async def slot_state(connection: asyncpg.Connection, name: str) -> SlotState | None:
    """The slot, or None where there is none. Raises as ``tailrace_shared.postgres`` maps errors."""
    with translated():
        row = await connection.fetchrow(f"{_STATE} WHERE slot_name = $1", name)
    return None if row is None else SlotState(**dict(row))


async def slots_named(connection: asyncpg.Connection, prefix: str) -> list[SlotState]:
    """Slots of this database whose names begin so: what a janitor looks through."""
    with translated():
        rows = await connection.fetch(
            f"{_STATE} WHERE pg_catalog.starts_with(slot_name::text, $1) "
            "AND database = pg_catalog.current_database() ORDER BY 1",
            prefix,
        )
    return [SlotState(**dict(row)) for row in rows]


async def create_slot(
    connection: asyncpg.Connection, name: str, *, failover: bool = False, timeout_s: float | None = None
) -> int:
    """Make a slot and return its consistent point; one that exists and is whole is taken as it is.

    It waits for every transaction that is running, so a long one on the source delays it: TransientError (``postgres.timeout``)
    after ``timeout_s``. ``failover`` asks for a copy on standbys (17 and above; ignored before). Raises CapturePrivilege, and
    TerminalError ``capture.wal-level``, ``capture.standby``, ``capture.slot-exists`` (another plugin or database).
    """
    await _may_capture(connection)
    arguments = "$1, 'pgoutput', false, false"
    if connection.get_server_version().major >= _FAILOVER_SINCE:
        arguments += f", {'true' if failover else 'false'}"
    with translated():
        try:
            lsn = await connection.fetchval(
                f"SELECT (lsn - '0/0')::bigint FROM pg_catalog.pg_create_logical_replication_slot({arguments})",
                name,
                timeout=timeout_s,
            )
        except asyncpg.PostgresError as error:
            if error.sqlstate == PRIVILEGE:
                raise CapturePrivilege from None
            if error.sqlstate != DUPLICATE:
                raise
            lsn = None
    return int(lsn) if lsn is not None else await _existing(connection, name)


async def drop_slot(connection: asyncpg.Connection, name: str, deadline_s: float, *, terminate: bool = True) -> bool:
    """Drop the slot; False where there was none. ``terminate``: end the session that streams from it.

    Raises TransientError (``capture.slot-active``) when it is still in use after ``deadline_s``.
    """
    until = time.monotonic() + deadline_s
    while True:
        try:
            with translated():
                try:
                    await connection.execute("SELECT pg_catalog.pg_drop_replication_slot($1)", name)
                except asyncpg.UndefinedObjectError:
                    return False
                except asyncpg.ObjectInUseError:
                    if time.monotonic() >= until:
                        raise TransientError(
                            "capture.slot-active",
                            f"replication slot {name} is in use by another session and cannot be dropped",
                            "End the session of pg_replication_slots.active_pid; the slot keeps WAL until it is dropped.",
                        ) from None
                else:
                    return True
                if terminate:
                    await connection.execute(
                        "SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots "
                        "WHERE slot_name = $1 AND active_pid IS NOT NULL",
                        name,
                    )
        except TransientError as error:
            if error.code == "capture.slot-active" or time.monotonic() >= until:
                raise
        await asyncio.sleep(DROP_RETRY_S)


async def source_position(connection: asyncpg.Connection) -> tuple[str, int, int]:
    """System identifier, timeline and WAL insert position of a primary."""
    with translated():
        row = await connection.fetchrow(
            "SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system, "
            "pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8) AS timeline, "
            "(pg_catalog.pg_current_wal_insert_lsn() - '0/0')::bigint AS lsn"
        )
    assert row is not None
    return str(row["system"]), int(row["timeline"], 16), int(row["lsn"])


async def _may_capture(connection: asyncpg.Connection) -> None:
    with translated():
        row = await connection.fetchrow(
            "SELECT pg_catalog.pg_is_in_recovery() AS standby, pg_catalog.current_setting('wal_level') AS level"
        )
    assert row is not None
    if row["standby"]:
        raise TerminalError(
            "capture.standby",
            "the source is a standby: what is running on its primary cannot be seen there, and rows would be lost",
            "Name the primary server as source of a continuous job.",
        )
    if row["level"] != "logical":
        raise TerminalError(
            "capture.wal-level",
            f"the source has wal_level = {row['level']}",
            "Set wal_level = logical on the source and restart it.",
        )


async def _existing(connection: asyncpg.Connection, name: str) -> int:
    state = await slot_state(connection, name)
    with translated():
        database = await connection.fetchval("SELECT pg_catalog.current_database()::text")
    if state is None:
        raise TransientError("capture.slot-gone", f"replication slot {name} vanished while it was looked at")
    if state.plugin != PLUGIN or state.database != database or state.confirmed_lsn is None:
        raise TerminalError(
            "capture.slot-exists",
            f"replication slot {name} exists and is not one of pgoutput in this database",
            "Drop the slot, or choose another name for the job.",
        )
    return state.confirmed_lsn
