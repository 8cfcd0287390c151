"""Arrow arrays as numpy buffers and back. Everything here is for arrays without nulls; see `kernel.Kernel`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.prf import Bytes, Offsets


def bytes_of(array: pa.StringArray) -> tuple[Bytes, Offsets]:
    """A string array's data and its n + 1 offsets into it."""
    _, offsets, data = array.buffers()
    if len(array) == 0 or offsets is None:
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    ends = np.frombuffer(offsets, np.int32, len(array) + 1, 4 * array.offset).astype(np.int64)
    return (np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)), ends


def strings(data: Bytes, offsets: npt.NDArray[np.integer]) -> pa.StringArray:
    """A string array over UTF-8 data; ``offsets`` has n + 1 entries."""
    ends = np.ascontiguousarray(offsets, np.int32)
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(data)))


def fixed_strings(data: npt.NDArray[np.uint8]) -> pa.StringArray:
    """A string array of equally long ASCII strings, one per row of ``data``."""
    rows, width = data.shape
    return strings(data.reshape(-1), np.arange(0, rows * width + 1, width) if width else np.zeros(rows + 1, np.int32))


def words_of(array: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """16-byte values as shape (n, 2), in memory order."""
    if len(array) == 0:
        return np.zeros((0, 2), np.uint64)
    data = np.frombuffer(array.buffers()[1], np.uint8, 16 * len(array), 16 * array.offset)
    return data.view(np.uint64).reshape(-1, 2)


def binary16(words: npt.NDArray[np.uint64]) -> pa.FixedSizeBinaryArray:
    """The other way round."""
    data = pa.py_buffer(np.ascontiguousarray(words))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(words), [None, data])


def int64s(array: pa.Array) -> npt.NDArray[np.int64]:
    """Integers, dates, times and timestamps as the int64 that counts their unit."""
    width = array.type.bit_width
    if not pa.types.is_integer(array.type):
        array = array.view(pa.int32() if width == 32 else pa.int64())
    return np.asarray(array.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def from_int64s(values: npt.NDArray[np.int64], kind: pa.DataType) -> pa.Array:
    """The other way round."""
    if pa.types.is_integer(kind):
        return pa.array(values).cast(kind)
    width = kind.bit_width
    return pa.array(values).cast(pa.int32()).view(kind) if width == 32 else pa.array(values).view(kind)


def spread(dense: pa.Array, like: pa.Array) -> pa.Array:
    """Values of the rows that are not null, put back between the nulls of ``like``."""
    valid = np.asarray(pc.is_valid(like).to_numpy(zero_copy_only=False), bool)
    rows = np.cumsum(valid) - 1
    return dense.take(pa.array(rows, mask=~valid))


def merge(parts: list[tuple[npt.NDArray[np.intp], pa.Array]], length: int) -> pa.Array:
    """One array of parts that each say which rows they fill; together they fill all."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.empty(length, np.int64)
    order[np.concatenate([rows for rows, _ in parts])] = np.arange(length)
    return pa.concat_arrays([part for _, part in parts]).take(pa.array(order))
