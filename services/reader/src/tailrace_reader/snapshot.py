"""One snapshot for a whole attempt: exported by the reader that plans, imported and exported anew by every other.

A transaction that has imported a snapshot keeps it when the exporter dies, and may export it again under an id of its own; so
the snapshot lives while one reader does. https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from pydantic import SecretStr

from tailrace_shared.errors import TransientError
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, translated

SESSION = {
    # A snapshot lives as long as the run, also while the destination is slow.
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "statement_timeout": "0",
    "lock_timeout": "0",
    # Rows in ctid order, always: no scan that starts in the middle, in parallel, or through an index.
    "synchronize_seqscans": "off",
    "max_parallel_workers_per_gather": "0",
    "enable_tidscan": "on",
    "enable_seqscan": "off",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
}
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_TRANSACTION_TIMEOUT_SINCE = 17
_ID = re.compile(r"[0-9A-Fa-f-]{1,64}\Z")
_GONE = frozenset({"42704", "22023", "55000", "0A000"})
"""SQLSTATEs of an id that cannot be imported: unknown, malformed, its transaction ended, of another database."""


class SnapshotGone(TransientError):
    """No listed id can be imported: the attempt cannot go on in this reader."""

    def __init__(self, tried: Sequence[str]) -> None:
        super().__init__(
            "reader.snapshot-gone",
            "the source snapshot of this attempt is gone",
            "The run starts another attempt by itself, as often as limits.restarts allows.",
        )
        self.tried = tuple(tried)


@dataclass(frozen=True)
class SourceServer:
    """The source as a reader reaches it: one address, one application name."""

    url: SecretStr
    application_name: str
    variable: str
    """Name of the variable that holds the URL, for messages."""

    async def connect(self) -> asyncpg.Connection:
        """A session for reading in order. Raises as ``tailrace_shared.postgres.connect``."""
        connection = await connect(
            self.url, self.application_name, variable=self.variable, timeout_s=CONNECT_TIMEOUT_S, **SESSION
        )
        try:
            with translated():
                if connection.get_server_version().major >= _TRANSACTION_TIMEOUT_SINCE:
                    await connection.execute("SET transaction_timeout = 0")
        except BaseException:
            connection.terminate()
            raise
        return connection


class HeldSnapshot:
    """A transaction that holds the attempt's snapshot under an id of its own. It reads nothing: ranges have connections apart."""

    def __init__(self, connection: asyncpg.Connection, snapshot: str) -> None:
        self.connection = connection
        self.id = snapshot

    @property
    def alive(self) -> bool:
        """False when the server has ended the session: the id is dead then."""
        return not self.connection.is_closed()

    async def ping(self, timeout_s: float) -> None:
        """Keep the session known to firewalls; a server that does not answer closes it. Raises TransientError."""
        try:
            with translated():
                await self.connection.fetchval("SELECT 1", timeout=timeout_s)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let the snapshot go, at once: the server ends the transaction when the connection closes."""
        self.connection.terminate()


async def export_snapshot(server: SourceServer) -> HeldSnapshot:
    """A new snapshot of the source."""
    connection = await server.connect()
    try:
        with translated():
            await connection.execute(_BEGIN)
            return HeldSnapshot(connection, await _export(connection))
    except BaseException:
        connection.terminate()
        raise


async def join_snapshot(server: SourceServer, ids: Sequence[str]) -> HeldSnapshot:
    """The first of the listed snapshots that can be imported, under a new id. Raises SnapshotGone when none can."""
    connection = await server.connect()
    try:
        with translated():
            for snapshot in ids:
                if await _import(connection, snapshot):
                    return HeldSnapshot(connection, await _export(connection))
        raise SnapshotGone(ids)
    except BaseException:
        connection.terminate()
        raise


async def begin_in(connection: asyncpg.Connection, held: HeldSnapshot) -> None:
    """Begin a transaction in the held snapshot. Raises SnapshotGone when the holder has just died."""
    with translated():
        if not await _import(connection, held.id):
            raise SnapshotGone([held.id])


async def reading_connection(server: SourceServer, held: HeldSnapshot) -> asyncpg.Connection:
    """A session inside the held snapshot, to read ranges with. Raises SnapshotGone when the holder has just died."""
    connection = await server.connect()
    try:
        await begin_in(connection, held)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _export(connection: asyncpg.Connection) -> str:
    return str(await connection.fetchval("SELECT pg_catalog.pg_export_snapshot()"))


async def _import(connection: asyncpg.Connection, snapshot: str) -> bool:
    """Begin a transaction in the snapshot; False, with no transaction open, when it cannot be imported."""
    if not _ID.match(snapshot):
        return False
    await connection.execute(_BEGIN)
    try:
        await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
    except asyncpg.PostgresError as error:
        if error.sqlstate not in _GONE:
            raise
        await connection.execute("ROLLBACK")
        return False
    return True
