"""Truncate and Message frames to control entries. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace_reader.capture.relations import text_at
from tailrace_reader.capture.transactions import Context
from tailrace_shared.changes import Heartbeat, Marker, Truncated

HEARTBEAT: Final = "tailrace.heartbeat"
MARKER: Final = "tailrace.marker"
"""Prefixes for ``pg_logical_emit_message``; the content is a token: printable ASCII, at most TOKEN_BYTES."""
TOKEN_BYTES: Final = 256
_CASCADE, _RESTART = 1, 2


def truncated(data: bytearray, at: int, tables: Mapping[int, int], context: Context) -> Truncated | None:
    """A Truncate message whose count begins at ``at``; ``tables``: plan numbers by oid. None when it is of none of ours."""
    count = int.from_bytes(data[at : at + 4], "big")
    options = data[at + 4]
    oids = [int.from_bytes(data[at + 5 + 4 * i : at + 9 + 4 * i], "big") for i in range(count)]
    numbers = tuple(tables[oid] for oid in oids if oid in tables)
    if not numbers:
        return None
    return Truncated(
        tables=numbers,
        cascade=bool(options & _CASCADE),
        restart_identity=bool(options & _RESTART),
        **context._asdict(),
    )


def message(data: bytearray, at: int, context: Context) -> Heartbeat | Marker | None:
    """A Message whose flags are at ``at``. None when it is not ours: others' messages may hold anything and do not travel."""
    prefix, at = text_at(data, at + 9)
    if prefix not in (HEARTBEAT, MARKER):
        return None
    length = int.from_bytes(data[at : at + 4], "big")
    content = bytes(data[at + 4 : at + 4 + min(length, TOKEN_BYTES + 1)])
    if length > TOKEN_BYTES or not content.isascii() or not content.decode("ascii").isprintable():
        return None
    kind = Heartbeat if prefix == HEARTBEAT else Marker
    return kind(token=content.decode("ascii"), **context._asdict())
