"""A record batch as bytes: one Arrow IPC stream with its schema, buffers compressed with zstd level 1.

Format: https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format. The schema travels along (1 to 2 KB), so a
message can be read without anything else; Kafka's own compression stays off.
"""

from __future__ import annotations

import hashlib
from functools import cache

import pyarrow as pa

from tailrace_shared.envelope import Octets
from tailrace_shared.errors import TerminalError


@cache
def _write_options() -> pa.ipc.IpcWriteOptions:
    # Threads would fight over the one core that a replica has; level 1 halves the bytes at the price of lz4.
    return pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1), use_threads=False)


@cache
def _read_options() -> pa.ipc.IpcReadOptions:
    return pa.ipc.IpcReadOptions(use_threads=False)


def encode_view(batch: pa.RecordBatch) -> memoryview:
    """The stream as a view of Arrow's own memory: nothing is copied, seal it or send it as it is."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_write_options()) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue()).cast("B")  # Arrow's buffers are signed bytes, which cryptography refuses


def encode(batch: pa.RecordBatch) -> bytes:
    """The stream as bytes of its own."""
    return bytes(encode_view(batch))


def decode(data: Octets) -> pa.RecordBatch:
    """The one batch of a stream; buffers that are not compressed are views into ``data``.

    Raises TerminalError (``batch.malformed``) for anything that is not exactly one valid batch.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(data), options=_read_options()) as reader:
            batch = reader.read_next_batch()
            if next(iter(reader), None) is not None:
                raise _malformed("holds more than one record batch")
        batch.validate()
    except StopIteration:
        raise _malformed("holds no record batch") from None
    except (pa.ArrowException, OSError, EOFError) as error:
        # The library's text may quote what it could not read: only its kind is told.
        raise _malformed(f"is not a valid Arrow stream ({type(error).__name__})") from None
    return batch


def schema_fingerprint(schema: pa.Schema) -> str:
    """32 hex digits over names, types and nullability, independent of the library's serialisation."""
    digest = hashlib.sha256()
    for field in schema:
        digest.update(f"{field.name}\0{field.type}\0{int(field.nullable)}\n".encode())
    return digest.hexdigest()[:32]


def _malformed(how: str) -> TerminalError:
    return TerminalError(
        "batch.malformed", f"a message on a batch topic {how}",
        "Let nothing but Tailrace write to its topics; if nothing does, the broker's storage is damaged.",
    )  # fmt: skip
