"""The body of a change record: length and control entries, then length and Arrow stream per table (lengths: uint32, big-endian)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from tailrace_shared.changes.controls import Control, decode_controls, encode_controls
from tailrace_shared.changes.rows import ChangeRows, change_batch
from tailrace_shared.dataplane import ipc
from tailrace_shared.envelope import Octets
from tailrace_shared.errors import TerminalError

_LENGTH = struct.Struct(">I")


class Body(NamedTuple):
    """What is in a record: rows per table, and control entries in order of ``seq``."""

    controls: tuple[Control, ...]
    tables: tuple[tuple[int, ChangeRows], ...]
    """Plan number and rows, in the order of the head's ``tables``."""


class EncodedBody(NamedTuple):
    """A body as it travels, and what the head says of it."""

    data: bytes
    schema: str
    """Fingerprint over the streams' schemas."""
    bytes: int
    """Arrow's bytes in memory."""


def encode_body(controls: Sequence[Control], tables: Sequence[ChangeRows]) -> EncodedBody:
    """Encode. The tables' numbers go into the head."""
    batches = [change_batch(rows) for rows in tables]
    parts: list[Octets] = [encode_controls(controls), *(ipc.encode_view(batch) for batch in batches)]
    data = b"".join(piece for part in parts for piece in (_LENGTH.pack(len(part)), part))
    return EncodedBody(data, schemas_fingerprint(batches), len(parts[0]) + sum(batch.nbytes for batch in batches))


def decode_body(data: Octets, tables: Sequence[int]) -> Body:
    """What ``encode_body`` made. Raises TerminalError (``changes.malformed``, ``batch.malformed``)."""
    view = memoryview(data)
    sections: list[memoryview] = []
    at = 0
    while at + _LENGTH.size <= len(view):
        (length,) = _LENGTH.unpack_from(view, at)
        at += _LENGTH.size
        sections.append(view[at : at + length])
        at += length
    if at != len(view) or len(sections) != 1 + len(tables):
        raise TerminalError(
            "changes.malformed",
            "a change record does not hold what its headers say",
            "Let nothing but Tailrace write to its topics; if nothing does, the broker's storage is damaged.",
        )
    rows = [ChangeRows.of(ipc.decode(section)) for section in sections[1:]]
    return Body(decode_controls(bytes(sections[0])), tuple(zip(tables, rows, strict=True)))


def schemas_fingerprint(batches: Sequence[pa.RecordBatch]) -> str:
    """32 hex digits over all streams' schemas."""
    joined = "\n".join(ipc.schema_fingerprint(batch.schema) for batch in batches)
    return hashlib.sha256(joined.encode("ascii")).hexdigest()[:32]
