"""Texts put together from tables: every part is one copy of fixed width, in the order of the bytes.

A part shorter than the width leaves a rest behind it, which the next part overwrites. So the parts of all rows are written in
ascending order by one assignment through overlapping windows; that numpy keeps to that order is its behaviour, not its
promise, and a test watches it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.kernels.arrays import strings
from tailrace_generator.kernels.prf import Bytes

Words = npt.NDArray[np.uint64]
WIDTH = 8
"""Windows are multiples of it: copies of 8 and 16 bytes are single moves."""


class Code(NamedTuple):
    """Characters that are computed instead of looked up; they overwrite their place in the one entry of a part's table."""

    at: int
    """First byte of the place in the entry."""
    width: int
    write: Callable[[Words], Bytes]
    """Index per row to shape (n, width)."""


class Part(NamedTuple):
    """One part of a text: a table that an index per row chooses from, or a code in the only entry."""

    entries: Sequence[str]
    code: Code | None = None


class Joiner:
    """Joins parts row by row."""

    def __init__(self, parts: Sequence[Part]) -> None:
        entries = [entry.encode() for part in parts for entry in part.entries]
        self._width = max(-(-max(map(len, entries)) // WIDTH), 1) * WIDTH
        table = np.frombuffer(b"".join(entry.ljust(self._width, b"\0") for entry in entries), f"V{self._width}")
        self._table = table
        self._lengths = np.array([len(entry) for entry in entries], np.int64)
        self._codes = [part.code for part in parts]
        self._first = np.cumsum([0, *(len(part.entries) for part in parts)]).tolist()

    def __call__(self, indexes: Sequence[Words]) -> pa.StringArray:
        """One text per row, from one index per row and part."""
        parts, rows = len(self._codes), len(indexes[0])
        chosen = np.empty((rows, parts), np.int64)
        for number, (index, code) in enumerate(zip(indexes, self._codes, strict=True)):
            if code is None:
                np.add(index.view(np.int64), self._first[number], out=chosen[:, number])
            else:
                chosen[:, number] = self._first[number]
        entries = chosen.reshape(-1)
        ends = np.zeros(len(entries) + 1, np.int64)
        np.cumsum(self._lengths[entries], out=ends[1:])
        data = np.empty(int(ends[-1]) + self._width, np.uint8)
        _windows(data, self._width)[ends[:-1]] = self._table[entries]
        for number, (index, code) in enumerate(zip(indexes, self._codes, strict=True)):
            if code is not None:
                written = code.write(index).view(f"V{code.width}").reshape(-1)
                _windows(data, code.width)[ends[number:-1:parts] + code.at] = written
        return strings(data[: ends[-1]], ends[::parts])


def _windows(data: Bytes, width: int) -> npt.NDArray[np.void]:
    """Every run of ``width`` bytes as one item."""
    return np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
