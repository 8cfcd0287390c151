"""A stream of pgoutput frames, built by hand: what a walsender would send, one message per frame."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from tailrace_reader.capture.frames import SPARE_BYTES, FrameBuffer, Frames
from tailrace_reader.capture.relations import Relation, RelationColumn

UNCHANGED = object()
"""A TOAST value that did not come."""
Row = Sequence[object]
EPOCH_US = 946_684_800_000_000
OIDS = {
    "bool": 16, "int8": 20, "int2": 21, "int4": 23, "text": 25, "float4": 700, "float8": 701, "varchar": 1043, "date": 1082,
    "time": 1083, "timestamp": 1114, "timestamptz": 1184, "numeric": 1700, "uuid": 2950,
}  # fmt: skip


def relation(
    oid: int = 16_400, name: str = "t", identity: str = "d", key: Sequence[str] = ("id",), **types: str
) -> Relation:
    """A table of schema ``s``: ``relation(id="int4", note="text")``; of FULL every column is flagged."""
    columns = tuple(RelationColumn(c, OIDS[t], -1, identity == "f" or c in key) for c, t in types.items())
    return Relation(oid, "s", name, identity, columns)


def texts(*values: object) -> bytes:
    """TupleData."""
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            data = value if isinstance(value, bytes) else str(value).encode()
            parts.append(b"t" + struct.pack(">I", len(data)) + data)
    return b"".join(parts)


@dataclass
class Server:
    """Writes messages; LSNs rise by themselves, a transaction's commit LSN is known at its beginning."""

    data: bytearray = field(default_factory=bytearray)
    lsn: int = 0x1_0000_0100
    xid: int = 700
    time_us: int = 1_700_000_000_000_000

    def frame(self, message: bytes) -> None:
        body = b"w" + struct.pack(">QQq", self.lsn, self.lsn, 0) + message
        self.data += b"d" + struct.pack(">I", len(body) + 4) + body

    def keepalive(self, lsn: int, reply: bool = False) -> None:
        body = b"k" + struct.pack(">QqB", lsn, 0, reply)
        self.data += b"d" + struct.pack(">I", len(body) + 4) + body

    def begin(self, xid: int | None = None, lsn: int | None = None) -> int:
        """The transaction's commit LSN."""
        self.xid = self.xid + 1 if xid is None else xid
        self.lsn = self.lsn + 0x100 if lsn is None else lsn
        self.frame(b"B" + struct.pack(">QqI", self.lsn, self.time_us - EPOCH_US, self.xid))
        return self.lsn

    def commit(self) -> int:
        """The LSN behind it."""
        self.frame(b"C\0" + struct.pack(">QQq", self.lsn, self.lsn + 0x30, self.time_us - EPOCH_US))
        return self.lsn + 0x30

    def relation(self, r: Relation) -> None:
        body = (
            b"R" + struct.pack(">I", r.oid) + r.schema.encode() + b"\0" + r.name.encode() + b"\0" + r.identity.encode()
        )
        body += struct.pack(">H", len(r.columns))
        for c in r.columns:
            body += bytes([c.key]) + c.name.encode() + b"\0" + struct.pack(">Ii", c.type_oid, c.typmod)
        self.frame(body)

    def type_(self, oid: int, schema: str, name: str) -> None:
        self.frame(b"Y" + struct.pack(">I", oid) + schema.encode() + b"\0" + name.encode() + b"\0")

    def insert(self, r: Relation, *row: object) -> None:
        self.frame(b"I" + struct.pack(">I", r.oid) + b"N" + texts(*row))

    def update(self, r: Relation, *row: object, key: Row | None = None, old: Row | None = None) -> None:
        before = b"" if key is None else b"K" + texts(*key)
        before = before if old is None else b"O" + texts(*old)
        self.frame(b"U" + struct.pack(">I", r.oid) + before + b"N" + texts(*row))

    def delete(self, r: Relation, *row: object) -> None:
        kind = b"O" if r.identity == "f" else b"K"
        self.frame(b"D" + struct.pack(">I", r.oid) + kind + texts(*row))

    def truncate(self, *relations: Relation, options: int = 0) -> None:
        oids = b"".join(struct.pack(">I", r.oid) for r in relations)
        self.frame(b"T" + struct.pack(">IB", len(relations), options) + oids)

    def message(self, prefix: str, content: bytes, *, transactional: bool = True, lsn: int = 0) -> None:
        body = b"M" + struct.pack(">BQ", transactional, lsn or self.lsn) + prefix.encode() + b"\0"
        self.frame(body + struct.pack(">I", len(content)) + content)

    def frames(self) -> Frames:
        """All that was written, as the wire hands it out."""
        buffer = FrameBuffer(1 << 30)
        at = 0
        while at < len(self.data):
            room = buffer.room()
            size = min(len(room), len(self.data) - at)
            room[:size] = self.data[at : at + size]
            buffer.filled(size)
            at += size
        return buffer.frames()


def rest(frames: Frames, used: int) -> Frames:
    """Frames behind the first ``used``."""
    return Frames(frames.data, frames.starts[used:], frames.end)


__all__ = ["SPARE_BYTES", "UNCHANGED", "Server", "relation", "rest", "texts"]
