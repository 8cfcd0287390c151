"""Headers of a change record: ASCII, in a fixed order, and whole they are the associated data of its encryption.

Records of a lane form a chain: ``previous`` is the ``last`` of the record before. Where a transaction is too large for one
record, its pieces follow each other with the same ``previous`` and ``last``, numbered from 0; only the final one completes it. A
piece 0 after unfinished pieces is the transaction's beginning anew (its capture died): what was held of it is to be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from tailrace_shared.errors import TerminalError

VERSION = 1
CONTENT_TYPE = "application/vnd.tailrace.changes"
ChangeKind = Literal["changes", "masked-changes"]


class ChangeHead(NamedTuple):
    """Everything a stage knows of a record without opening it. LSNs are bytes of WAL, xids the 32 bits that WAL has."""

    run: str
    kind: ChangeKind
    lane: int
    sequence: int
    """Position in the lane as one capture counts it; tells records apart, never decides what is applied."""
    system: str
    """The source's system identifier."""
    timeline: int
    previous: int
    """Commit LSN up to which the lane goes before this record."""
    last: int
    """Commit LSN up to which it goes with this record (with its final piece). Above the ``previous`` always."""
    end: int
    """Once this record is acknowledged the slot may be confirmed here; for a piece that is not final, where it was before."""
    piece: int
    final: bool
    transactions: int
    """Source transactions that end in this record."""
    first_xid: int
    last_xid: int
    changes: int
    """Rows in all streams of the body."""
    bytes: int
    """About what the body takes in memory."""
    first_time: int
    last_time: int
    """Commit times, µs since 1970; both 0 for a record without a transaction."""
    tables: tuple[int, ...]
    """Plan numbers of the body's streams, in order; a table comes twice where its columns changed inside the record."""
    schema: str
    """Fingerprint over the streams' schemas."""
    plan: str
    """Digest of the plan."""
    key: str
    """Id of the data key; empty for masked records."""
    traceparent: str = ""

    @property
    def identity(self) -> tuple[int, int, int]:
        """Where in the lane's order the record stands: commit LSNs before and after it, piece."""
        return self.previous, self.last, self.piece


def headers_of_change(head: ChangeHead) -> list[tuple[str, bytes]]:
    """Kafka headers, in a fixed order: the order is part of the associated data."""
    text = {"content-type": CONTENT_TYPE, "version": VERSION} | head._asdict()
    text |= {"final": int(head.final), "tables": ",".join(map(str, head.tables))}
    return [(name.replace("_", "-"), str(value).encode("ascii")) for name, value in text.items()]


def change_head_of(headers: Iterable[tuple[str, bytes]]) -> ChangeHead:
    """The head that ``headers_of_change`` wrote.

    Raises TerminalError: ``changes.version`` for a format of another release, ``changes.headers`` for anything else.
    """
    text = {name.replace("-", "_"): value.decode("ascii", "replace") for name, value in headers}
    version = text.get("version", "")
    if text.get("content_type") == CONTENT_TYPE and version != str(VERSION) and version.isdecimal():
        raise TerminalError(
            "changes.version",
            f"a change record has format {version}, this release knows {VERSION}",
            "Run the same version of all services.",
        )
    try:
        if text["content_type"] != CONTENT_TYPE or not version or text["kind"] not in ("changes", "masked-changes"):
            raise ValueError
        kind: ChangeKind = text["kind"]  # type: ignore[assignment]
        number = {name: int(text[name]) for name in _NUMBERS}
        return ChangeHead(
            run=text["run"],
            kind=kind,
            system=text["system"],
            final=text["final"] == "1",
            tables=tuple(int(t) for t in text["tables"].split(",") if t),
            schema=text["schema"],
            plan=text["plan"],
            key=text["key"],
            traceparent=text["traceparent"],
            **number,
        )
    except (KeyError, ValueError):
        raise TerminalError(
            "changes.headers",
            "a message on a changes topic has headers that Tailrace did not write",
            "Let nothing but Tailrace write to its topics; check the topic's ACLs.",
        ) from None


_NUMBERS = (
    "lane", "sequence", "timeline", "previous", "last", "end", "piece", "transactions", "first_xid", "last_xid", "changes",
    "bytes", "first_time", "last_time",
)  # fmt: skip
