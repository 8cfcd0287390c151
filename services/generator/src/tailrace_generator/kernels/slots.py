"""What a mock is put together from: lists and fixed-width codes, each indexed by a number that a keyed hash gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.kernels.arrays import fixed_strings

Words = npt.NDArray[np.uint64]
Lengths = npt.NDArray[np.int64]

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


class Slot(Protocol):
    """One part of a form."""

    size: int
    longest: int

    def lengths(self, index: Words) -> Lengths:
        """Characters of the parts."""

    def take(self, index: Words) -> pa.StringArray:
        """The parts."""


class ListSlot:
    """A part from a list."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = pa.array(values, pa.string())
        self._lengths = np.array([len(value) for value in values], np.int64)
        self.size, self.longest = len(values), int(self._lengths.max())

    def lengths(self, index: Words) -> Lengths:
        return self._lengths[index]

    def take(self, index: Words) -> pa.StringArray:
        return self._values.take(pa.array(index))


class CodeSlot:
    """A code of an even number of characters from an alphabet, two at a time."""

    def __init__(self, alphabet: str, width: int) -> None:
        self._alphabet, self._pairs = alphabet, width // 2
        self._base = np.uint64(len(alphabet) ** 2)
        pairs = "".join(a + b for a in alphabet for b in alphabet).encode()
        self._table = np.frombuffer(pairs, np.uint16)
        self.size, self.longest = len(alphabet) ** width, width

    def lengths(self, index: Words) -> Lengths:
        return np.full(len(index), self.longest, np.int64)

    def take(self, index: Words) -> pa.StringArray:
        out = np.empty((len(index), self._pairs), np.uint16)
        for pair in reversed(range(self._pairs)):
            rest = index // self._base
            out[:, pair] = self._table[index - rest * self._base]
            index = rest
        return fixed_strings(out.view(np.uint8))
