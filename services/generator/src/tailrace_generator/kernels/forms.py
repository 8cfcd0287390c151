"""Forms of mocks, such as ``{first}.{last}@example.com``: the first form that fits the column is taken, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from string import Formatter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.kernels.arrays import merge
from tailrace_generator.kernels.joiner import Joiner, Words
from tailrace_generator.kernels.slots import Lengths, Slot

WORD_SPACE = 1 << 48
"""Indexes drawn from one 64-bit word stay below: no value is more likely than another by more than 2⁻¹⁶."""


class Forms:
    """Slots in the order in which they are drawn, and forms from the richest to the shortest.

    The order of the slots decides the mapping; a narrower column changes the form, not the draw.
    """

    def __init__(self, slots: Mapping[str, Slot], forms: Sequence[str]) -> None:
        self.slots = slots
        self.texts = tuple(forms)
        self._parts = [_parse(form) for form in forms]
        self._joiners: dict[int, Joiner] = {}
        self._place: dict[str, tuple[int, int]] = {}
        word, used = 0, 1
        for name, slot in slots.items():
            if used > 1 and used * slot.size > WORD_SPACE:
                word, used = word + 1, 1
            self._place[name] = (word, used)
            used *= slot.size

    def space(self, form: int = 0) -> int:
        """How many outputs a form has, at most."""
        return prod(self.slots[name].size for _, name, _ in self._parts[form])

    def longest(self, form: int = 0) -> int:
        """Most characters of a form."""
        return sum(len(lead) + self.slots[name].longest + len(tail) for lead, name, tail in self._parts[form])

    def make(self, word: Callable[[int], Words], rows: int, limit: int | None) -> pa.StringArray:
        """One value per row; ``word(k)`` gives the rows' k-th 64 random bits. The last form always fits."""
        drawn: dict[str, Words] = {}

        def index(name: str) -> Words:
            if name not in drawn:
                at, used = self._place[name]
                bits = word(at) if used == 1 else word(at) // np.uint64(used)
                size = np.uint64(self.slots[name].size)
                drawn[name] = bits - bits // size * size  # numpy's // by one number is five times as fast as its %
            return drawn[name]

        if limit is None or self.longest() <= limit:
            return self._join(0, index)
        left = np.arange(rows)
        parts = []
        for form in range(len(self._parts)):
            if form == len(self._parts) - 1 or self.longest(form) <= limit:
                chosen, left = left, left[:0]
            else:
                fits = self._lengths(form, index, rows)[left] <= limit
                chosen, left = left[fits], left[~fits]
            if len(chosen):
                parts.append((chosen, self._join(form, _only(index, chosen))))
        return merge(parts, rows)

    def _lengths(self, form: int, index: Callable[[str], Words], rows: int) -> Lengths:
        total = np.zeros(rows, np.int64)
        for lead, name, tail in self._parts[form]:
            total += self.slots[name].lengths(index(name)) + len(lead) + len(tail)
        return total

    def _join(self, form: int, index: Callable[[str], Words]) -> pa.StringArray:
        if form not in self._joiners:
            self._joiners[form] = Joiner(
                [self.slots[name].between(lead, tail) for lead, name, tail in self._parts[form]]
            )
        return self._joiners[form]([index(name) for _, name, _ in self._parts[form]])


def _only(index: Callable[[str], Words], rows: npt.NDArray[np.intp]) -> Callable[[str], Words]:
    """Indexes of some rows."""
    return lambda name: index(name)[rows]


def _parse(form: str) -> list[tuple[str, str, str]]:
    """Slots with the literal before each; what follows the last one belongs to it."""
    parts = [(lead, name or "", "") for lead, name, _, _ in Formatter().parse(form)]
    if not parts[-1][1]:
        tail = parts.pop()[0]
        parts[-1] = (*parts[-1][:2], tail)
    return parts
