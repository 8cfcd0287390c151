"""Parts of a batch that masking has grown above the message limit; a pure function of its rows, never of compressed sizes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tailrace_shared.errors import TerminalError

_FIXED_BYTES = 16
"""Counted per typed column and per offset: an upper bound of their widths."""


def part_limit(message_bytes: int) -> int:
    """Uncompressed bytes that surely fit a message: incompressible data grows a little under zstd, headers come on top."""
    return message_bytes * 7 // 8


def split(batch: pa.RecordBatch, limit: int, where: str) -> list[pa.RecordBatch]:
    """The batch in parts of at most ``limit`` uncompressed bytes, in order; itself when it fits.

    Raises TerminalError when one row alone is above the limit; it names the row's place (``where`` is the batch's) and the setting.
    """
    if batch.nbytes <= limit or batch.num_rows == 0:
        return [batch]
    weight = np.full(batch.num_rows, _FIXED_BYTES * batch.num_columns, np.int64)
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1 + column.offset)[column.offset :]
            weight += np.diff(offsets)
    if int(weight.max()) > limit:
        raise TerminalError(
            "batch.row-too-large",
            f"masked row {int(weight.argmax()) + 1:,} of {where} takes {int(weight.max()):,} bytes, the limit is {limit:,}",
            "Raise limits.message_bytes in the job, or choose a generator that makes shorter values.",
        )
    parts, start, total = [], 0, 0
    for row, size in enumerate(weight.tolist()):  # only for the rare batch that has grown
        if total + size > limit:
            parts.append(batch.slice(start, row - start))
            start, total = row, 0
        total += size
    parts.append(batch.slice(start))
    return parts
