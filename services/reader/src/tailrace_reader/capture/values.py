"""Texts scattered over a buffer to Arrow columns, by the very parser that reads snapshots. Pure.

All typed columns of a piece are gathered into one CSV text and parsed at once; where a value does not fit its type, its column
stays text. Text columns are gathered as they are. So a value becomes the same whichever way it came.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_reader.capture.tuples import Bytes, Field
from tailrace_reader.parse import read_rows, typed, uuid_bytes
from tailrace_shared.errors import TerminalError
from tailrace_shared.types import Wire

_WINDOW_BYTES = 256
"""Values up to here are copied as windows of equal width, all in one step; above, one by one."""
_UUID_BYTES = 36


def columns_of(
    data: Bytes, fields: Sequence[Field], wires: Sequence[Wire], types: Sequence[pa.DataType], names: Sequence[str]
) -> list[pa.Array]:
    """One array per field, of its type, or text where a value does not fit.

    Raises TerminalError (``source.encoding``) for text that is not UTF-8.
    """
    arrays: list[pa.Array | None] = [None] * len(fields)
    parsed = [i for i, wire in enumerate(wires) if wire not in ("text", "uuid") and fields[i].size.any()]
    for i, array in zip(parsed, _parsed(data, [fields[i] for i in parsed], [types[i] for i in parsed]), strict=True):
        arrays[i] = array
    for i, (field, wire) in enumerate(zip(fields, wires, strict=True)):
        if arrays[i] is None:
            if wire != "text" and not field.size.any():
                arrays[i] = pa.nulls(len(field.flag), types[i])
            else:
                text = texts(data, field, names[i])
                arrays[i] = uuid_bytes(text) if wire == "uuid" else text
    return arrays


def texts(data: Bytes, field: Field, name: str) -> pa.StringArray:
    """The column as PostgreSQL wrote it."""
    present = field.present
    offsets = np.zeros(len(present) + 1, np.int32)
    np.cumsum(field.size, out=offsets[1:])
    missing = len(present) - int(np.count_nonzero(present))
    valid = pa.py_buffer(np.packbits(present, bitorder="little")) if missing else None
    values = pa.py_buffer(_gathered(data, field.start, field.size, offsets[:-1], int(offsets[-1])))
    array = pa.StringArray.from_buffers(len(present), pa.py_buffer(offsets), values, valid, missing)
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raise TerminalError(
            "source.encoding",
            f"column {name!r} cannot be read as UTF-8 text",
            "Repair the value in the source, or exclude the table: databases in SQL_ASCII accept any bytes.",
        ) from None
    return array


def _parsed(data: Bytes, fields: Sequence[Field], types: Sequence[pa.DataType]) -> list[pa.Array]:
    if not fields:
        return []
    rows, width = len(fields[0].flag), len(fields)
    size = np.empty((rows, width), np.int64)
    start = np.empty((rows, width), np.int64)
    for i, field in enumerate(fields):
        size[:, i], start[:, i] = field.size, field.start
    flat = size.reshape(-1)
    ends = np.cumsum(flat + 1)
    places = ends - flat - 1
    text = _gathered(data, start.reshape(-1), flat, places, int(ends[-1]))
    text[ends - 1] = np.tile(np.array([*b"," * (width - 1), *b"\n"], np.uint8), rows)
    raw = text[: ends[-1]].tobytes()
    try:
        return read_rows(raw, types)
    except pa.ArrowInvalid:
        each = [texts(data, field, "") for field in fields]
        fitted = [typed(column, type_) for column, type_ in zip(each, types, strict=True)]
        return [column if parsed is None else parsed for column, parsed in zip(each, fitted, strict=True)]


def _gathered(
    data: Bytes, start: npt.NDArray[np.int64], size: npt.NDArray[np.int64], place: npt.NDArray[np.integer], total: int
) -> Bytes:
    """The values at their places; rising places, so that what one window writes too much the next one overwrites."""
    width = max(int(size.max(initial=0)), 1)
    if width <= _WINDOW_BYTES:
        out = np.empty(total + width, np.uint8)
        filled = size > 0
        if not filled.all():
            start, place = start[filled], place[filled]
        windows(out, width)[place] = windows(data, width)[start]
        return out
    out = np.empty(max(total, 1), np.uint8)
    into, view = out.data, data.data
    for at, count, to in zip(start.tolist(), size.tolist(), place.tolist(), strict=True):
        into[to : to + count] = view[at : at + count]
    return out


def windows(data: Bytes, width: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Every window of that width as one item: indexing with an array is then one copy per row."""
    return np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
