"""Changes of one table in one record, as an Arrow batch whose columns go by position.

| columns | what |
|---|---|
| ``_op`` uint8 | INSERT, UPDATE, DELETE |
| ``_seq`` uint32 | order inside the record, across all tables and control entries |
| ``_xid`` uint32, ``_lsn`` uint64, ``_ts`` timestamp[us, UTC] | of the transaction: 32-bit xid, commit LSN and commit time |
| ``_old`` bool | an old image came along: always of a DELETE, of an UPDATE when its key changed or the identity is FULL |
| ``_gone`` binary(⌈n/8⌉), nullable | bit c (byte c div 8, bit c mod 8): the value of column c did not come, the row keeps it |
| ``_old_NAME`` | old values of the columns that identify rows; null where ``_old`` is false |
| the plan's n columns | new values; all null of a DELETE |

A user's column may be called ``_op``: names are for people, positions count. Any column travels typed, or as text where a value
does not fit its wire type, as in batches; an old column always as the new one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_shared.errors import TerminalError

INSERT, UPDATE, DELETE = 0, 1, 2
_OLD = b"tailrace.old"
"""Schema metadata: plan positions of the old columns."""
_META = (
    ("_op", pa.uint8()), ("_seq", pa.uint32()), ("_xid", pa.uint32()), ("_lsn", pa.uint64()),
    ("_ts", pa.timestamp("us", tz="UTC")), ("_old", pa.bool_()),
)  # fmt: skip
_GONE = len(_META)
_FIRST = _GONE + 1

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChangeRows:
    """One table's changes, in commit order."""

    op: npt.NDArray[np.uint8]
    seq: npt.NDArray[np.uint32]
    xid: npt.NDArray[np.uint32]
    lsn: npt.NDArray[np.uint64]
    time: npt.NDArray[np.int64]
    """Commit times, µs since 1970."""
    has_old: Bits
    gone: Bits | None
    """[changes × columns]; None where every value came."""
    old: dict[int, pa.Array]
    """Old values by position of the column in the plan."""
    names: tuple[str, ...]
    """Of the plan's columns."""
    columns: tuple[pa.Array, ...]
    """New values, in the plan's order."""

    def __len__(self) -> int:
        return len(self.op)

    def with_values(self, old: dict[int, pa.Array], columns: Sequence[pa.Array]) -> ChangeRows:
        """The same changes with other values: masked ones. Old columns keep their positions."""
        if old.keys() != self.old.keys() or len(columns) != len(self.columns):
            raise ValueError("other columns than the record has")
        return ChangeRows(
            self.op, self.seq, self.xid, self.lsn, self.time, self.has_old, self.gone, old, self.names, tuple(columns)
        )

    def new_rows(self) -> pa.RecordBatch:
        """New images, as a batch of the plan's columns."""
        return pa.RecordBatch.from_arrays(list(self.columns), names=list(self.names))

    def old_rows(self) -> pa.RecordBatch:
        """Old images, as a batch of the columns that came."""
        return pa.RecordBatch.from_arrays(list(self.old.values()), names=[self.names[i] for i in self.old])

    @staticmethod
    def of(batch: pa.RecordBatch) -> ChangeRows:
        """The rows of a batch that ``change_batch`` made. Raises TerminalError (``changes.malformed``)."""
        positions = tuple(int(i) for i in (batch.schema.metadata or {}).get(_OLD, b"").decode().split(",") if i)
        fields = list(batch.schema)
        after = _FIRST + len(positions)
        names = tuple(field.name for field in fields[after:])
        if (
            tuple((f.name, f.type) for f in fields[:_GONE]) != _META
            or any(c.null_count for c in batch.columns[:_GONE])
            or len(fields) < after
            or any(i >= len(names) for i in positions)
        ):
            raise TerminalError(
                "changes.malformed", "a change record holds a table in another form", "Run the same version of all services."
            )  # fmt: skip
        op, seq, xid, lsn, ts, old = batch.columns[:_GONE]
        return ChangeRows(
            op.to_numpy(),
            seq.to_numpy(),
            xid.to_numpy(),
            lsn.to_numpy(),
            ts.view(pa.int64()).to_numpy(),
            old.to_numpy(zero_copy_only=False),
            _bits(batch.column(_GONE), len(names)),
            dict(zip(positions, batch.columns[_FIRST:after], strict=True)),
            names,
            tuple(batch.columns[after:]),
        )


def change_batch(rows: ChangeRows) -> pa.RecordBatch:
    """The batch that travels."""
    width = (len(rows.names) + 7) // 8
    if rows.gone is None or not width:
        gone = pa.nulls(len(rows), pa.binary(width))
    else:
        packed = np.packbits(rows.gone, axis=1, bitorder="little")
        some = np.packbits(rows.gone.any(axis=1), bitorder="little")
        gone = pa.Array.from_buffers(
            pa.binary(width), len(rows), [pa.py_buffer(some), pa.py_buffer(np.ascontiguousarray(packed))]
        )
    stamps = pa.array(rows.time).view(_META[4][1])
    meta = [
        pa.array(rows.op),
        pa.array(rows.seq),
        pa.array(rows.xid),
        pa.array(rows.lsn),
        stamps,
        pa.array(rows.has_old),
    ]
    arrays = [*meta, gone, *rows.old.values(), *rows.columns]
    names = [*(name for name, _ in _META), "_gone", *(f"_old_{rows.names[i]}" for i in rows.old), *rows.names]
    schema = pa.schema(
        [pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)],
        {_OLD: ",".join(map(str, rows.old)).encode("ascii")},
    )
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _bits(array: pa.Array, columns: int) -> Bits | None:
    if array.null_count == len(array):
        return None
    width = array.type.byte_width
    data = np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width).reshape(-1, width)
    bits = np.unpackbits(data, axis=1, count=columns, bitorder="little").view(bool)
    return np.asarray(bits & array.is_valid().to_numpy(zero_copy_only=False)[:, None])
