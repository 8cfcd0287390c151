"""Where the timelines before the source's own ended: whether a promoted server holds all that a lane holds.

Only a walsender tells (TIMELINE_HISTORY, PostgreSQL documentation, "Streaming Replication Protocol"), in rows that asyncpg takes
from no simple query: they are read from its transport, as changes are.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping

from tailrace_reader.capture.errors import CapturePrivilege
from tailrace_reader.capture.wire import transport_of
from tailrace_reader.lane_opening import lsn_of
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect_replication


async def timeline_ends(server: SourceServer, timeline: int) -> Mapping[int, int]:
    """Every timeline that ``timeline`` descends from, with the LSN at which it was left.

    Raises CapturePrivilege, TransientError, and as ``tailrace_shared.postgres.connect``.
    """
    try:
        connection = await connect_replication(server.url, server.application_name, variable=server.variable)
    except TerminalError as error:
        if error.code == "postgres.privilege":
            raise CapturePrivilege from None
        raise
    try:
        answer = _Answer()
        transport = transport_of(connection)
        transport.set_protocol(answer)
        query = f"TIMELINE_HISTORY {timeline}".encode() + b"\0"
        transport.write(b"Q" + struct.pack(">I", len(query) + 4) + query)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await answer.whole.wait()
        return ends_of(history_of(bytes(answer.data)))
    except (TimeoutError, ValueError, IndexError):
        raise TransientError("capture.start", "the source did not tell the history of its timeline") from None
    finally:
        # The transport is not asyncpg's any more.
        transport_of(connection).abort()


def ends_of(history: str) -> dict[int, int]:
    """From a history file: ``parent timeline, LSN, reason`` per line. Raises ValueError and IndexError for anything else."""
    lines = [line.split() for line in history.splitlines()]
    return {int(words[0]): lsn_of(words[1]) for words in lines if words and not words[0].startswith("#")}


def history_of(messages: bytes) -> str:
    """The second column of the one row that the messages of a simple query bring. Raises ValueError where there is none."""
    at = 0
    while at + 5 <= len(messages):
        tag, length = messages[at : at + 1], int.from_bytes(messages[at + 1 : at + 5], "big")
        body = messages[at + 5 : at + 1 + length]
        if tag == b"D":
            first = int.from_bytes(body[2:6], "big")
            size = int.from_bytes(body[6 + first : 10 + first], "big")
            return body[10 + first : 10 + first + size].decode("utf-8", "replace")
        at += 1 + length
    raise ValueError("no row")


class _Answer(asyncio.Protocol):
    """Gathers what comes until the server is ready for the next query, or has gone."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.whole = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.data += data
        at = 0
        while at + 5 <= len(self.data):
            if self.data[at : at + 1] == b"Z":
                self.whole.set()
            at += 1 + int.from_bytes(self.data[at + 1 : at + 5], "big")

    def connection_lost(self, exc: Exception | None) -> None:
        self.whole.set()
