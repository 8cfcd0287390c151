"""A batch on the wire: its identity, and the ASCII headers that are also the associated data of its encryption.

One Kafka message is one Arrow IPC stream (schema and one record batch). Nothing but these functions reads or writes headers.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from ulid import ULID

from tailrace_shared.errors import TerminalError

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
Kind = Literal["raw", "masked", "training", "pool"]
"""``pool``: keys of a carried table that made rows refer to, on the topic ``raw``."""


class BatchId(NamedTuple):
    """What makes a batch the same batch however often it is delivered: a pure function of the row sequence."""

    run: str
    attempt: int
    table: int
    load: int
    """Of the table: 0 the first, +1 per resync. Below 0: of a comparison, and never applied."""
    range: int
    batch: int
    part: int


class BatchHead(NamedTuple):
    """Everything a stage knows of a batch without opening it."""

    id: BatchId
    kind: Kind
    parts: int
    """Parts of this batch; above 1 only where masking has grown it."""
    last: bool
    """The last batch of its range: the range holds ``id.batch + 1`` batches."""
    rows: int
    bytes: int
    """Row text bytes of the raw batch: what credit counts."""
    plan: str
    """Digest of the plan."""
    schema: str
    """Fingerprint of the wire schema."""
    key: str
    """Id of the data key; empty for masked batches."""
    correlation: str
    traceparent: str = ""
    """W3C Trace Context of the batch, from ``traceparent_of``; every stage passes it on unchanged."""


def traceparent_of(identity: BatchId) -> str:
    """The batch's place in a trace (W3C Trace Context, version 00, sampled): one trace per run, one span per batch.

    A function of the identity alone, so that a batch that is read again has the same headers. The run is a ULID, whose 128 bits
    are the trace's. Raises ValueError for any other run.
    """
    span = hashlib.blake2b("/".join(map(str, identity)).encode("ascii"), digest_size=8).hexdigest()
    return f"00-{_trace_id(identity.run)}-{span}-01"


@lru_cache(maxsize=64)
def _trace_id(run: str) -> str:
    return ULID.from_str(run).bytes.hex()


def partition_of(table: int, range_: int, batch: int, partitions: int) -> int:
    """Where a batch goes: the same on every delivery, spread evenly."""
    return zlib.crc32(f"{table}/{range_}/{batch}".encode("ascii")) % partitions


def headers_of(head: BatchHead) -> list[tuple[str, bytes]]:
    """Kafka headers, in a fixed order: the order is part of the associated data."""
    i = head.id
    text = {
        "content-type": CONTENT_TYPE,
        "kind": head.kind, "run": i.run, "attempt": i.attempt, "table": i.table, "load": i.load, "range": i.range,
        "batch": i.batch, "part": f"{i.part}/{head.parts}", "last": int(head.last), "rows": head.rows, "bytes": head.bytes,
        "plan": head.plan, "schema": head.schema, "key": head.key, "correlation_id": head.correlation,
        "traceparent": head.traceparent,
    }  # fmt: skip
    return [(name, str(value).encode("ascii")) for name, value in text.items()]


def decoded_bytes(headers: Iterable[tuple[str, bytes]]) -> int:
    """About what a batch takes once it is decoded; 0 for a message that is none (its handler will say so)."""
    text = dict(headers).get("bytes", b"0")
    return int(text) if text.isdigit() else 0


def head_of(headers: Iterable[tuple[str, bytes]]) -> BatchHead:
    """The head that ``headers_of`` wrote. Raises TerminalError (``batch.headers``) for anything else."""
    text = {name: value.decode("ascii", "replace") for name, value in headers}
    try:
        if text["content-type"] != CONTENT_TYPE or text["kind"] not in get_args(Kind):
            raise ValueError
        part, parts = text["part"].split("/")
        identity = BatchId(
            text["run"],
            int(text["attempt"]),
            int(text["table"]),
            int(text["load"]),
            int(text["range"]),
            int(text["batch"]),
            int(part),
        )
        kind: Kind = text["kind"]  # type: ignore[assignment]
        return BatchHead(
            identity, kind, int(parts), text["last"] == "1", int(text["rows"]), int(text["bytes"]), text["plan"], text["schema"],
            text["key"], text["correlation_id"], text["traceparent"],
        )  # fmt: skip
    except (KeyError, ValueError):
        raise TerminalError(
            "batch.headers", "a message on a batch topic has headers that Tailrace did not write",
            "Let nothing but Tailrace write to its topics; check the topic's ACLs.",
        ) from None  # fmt: skip


def comparison_of(headers: Iterable[tuple[str, bytes]]) -> int:
    """Number of the comparison that a batch is read for; 0 for one that is to be applied, or that cannot be read."""
    try:
        return max(0, -head_of(headers).id.load)
    except TerminalError:
        return 0


def associated_data(headers: Iterable[tuple[str, bytes]]) -> bytes:
    """The headers as the associated data of AES-GCM: a batch cannot be replayed under another identity."""
    return b"\0".join(name.encode("ascii") + b"=" + value for name, value in headers)
