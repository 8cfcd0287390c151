"""What a mock is put together from: lists and fixed-width codes, each indexed by a number that a keyed hash gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tailrace_generator.kernels.joiner import Code, Part, Words
from tailrace_generator.kernels.prf import Bytes

Lengths = npt.NDArray[np.int64]

BASE32 = "abcdefghijklmnopqrstuvwxyz234567"


class Slot(Protocol):
    """One part of a form."""

    size: int
    longest: int

    def lengths(self, index: Words) -> Lengths:
        """Characters of the parts."""

    def between(self, lead: str, tail: str) -> Part:
        """The part between two literals."""


class ListSlot:
    """A part from a list."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = values
        self._lengths = np.array([len(value) for value in values], np.int64)
        self.size, self.longest = len(values), int(self._lengths.max())

    def lengths(self, index: Words) -> Lengths:
        return self._lengths[index]

    def between(self, lead: str, tail: str) -> Part:
        return Part([f"{lead}{value}{tail}" for value in self._values])


class CodeSlot:
    """A code of an even number of characters from an alphabet, two at a time."""

    def __init__(self, alphabet: str, width: int) -> None:
        self._base = np.uint64(len(alphabet) ** 2)
        pairs = "".join(a + b for a in alphabet for b in alphabet).encode()
        self._table = np.frombuffer(pairs, np.uint16)
        self.size, self.longest = len(alphabet) ** width, width

    def lengths(self, index: Words) -> Lengths:
        return np.full(len(index), self.longest, np.int64)

    def between(self, lead: str, tail: str) -> Part:
        return Part([f"{lead}{'?' * self.longest}{tail}"], Code(len(lead.encode()), self.longest, self._written))

    def _written(self, index: Words) -> Bytes:
        code = np.empty((len(index), self.longest // 2), np.uint16)
        for pair in reversed(range(code.shape[1])):
            rest = index // self._base
            code[:, pair] = self._table[index - rest * self._base]
            index = rest
        return code.view(np.uint8)
