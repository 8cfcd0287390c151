"""Forms of mocks, such as ``{first}.{last}@example.com``: the first form that fits the column is taken, row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import Formatter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import merge
from tailrace_generator.kernels.slots import Lengths, Slot, Words

WORD_SPACE = 1 << 48
"""Indexes drawn from one 64-bit word stay below: no value is more likely than another by more than 2⁻¹⁶."""


class Forms:
    """Slots in the order in which they are drawn, and forms from the richest to the shortest.

    The order of the slots decides the mapping; a narrower column changes the form, not the draw.
    """

    def __init__(self, slots: Mapping[str, Slot], forms: Sequence[str]) -> None:
        self.slots = slots
        self.texts = tuple(forms)
        self._parts = [[(lead, name) for lead, name, _, _ in Formatter().parse(form)] for form in forms]
        self._place: dict[str, tuple[int, int]] = {}
        word, used = 0, 1
        for name, slot in slots.items():
            if used > 1 and used * slot.size > WORD_SPACE:
                word, used = word + 1, 1
            self._place[name] = (word, used)
            used *= slot.size

    def space(self, form: int = 0) -> int:
        """How many outputs a form has, at most."""
        return int(np.prod([self.slots[name].size for _, name in self._parts[form] if name], dtype=object))

    def longest(self, form: int = 0) -> int:
        """Most characters of a form."""
        return sum(len(lead) + (self.slots[name].longest if name else 0) for lead, name in self._parts[form])

    def make(self, word: Callable[[int], Words], rows: int, limit: int | None) -> pa.StringArray:
        """One value per row; ``word(k)`` gives the rows' k-th 64 random bits. The last form always fits."""
        drawn: dict[str, Words] = {}

        def index(name: str) -> Words:
            if name not in drawn:
                at, used = self._place[name]
                bits = word(at) if used == 1 else word(at) // np.uint64(used)
                drawn[name] = bits % np.uint64(self.slots[name].size)
            return drawn[name]

        if limit is None or self.longest() <= limit:
            return self._join(0, index, None, rows)
        left = np.arange(rows)
        parts = []
        for form in range(len(self._parts)):
            if form == len(self._parts) - 1 or self.longest(form) <= limit:
                chosen, left = left, left[:0]
            else:
                fits = self._lengths(form, index, rows)[left] <= limit
                chosen, left = left[fits], left[~fits]
            if len(chosen):
                parts.append((chosen, self._join(form, index, chosen, len(chosen))))
        return merge(parts, rows)

    def _lengths(self, form: int, index: Callable[[str], Words], rows: int) -> Lengths:
        total = np.zeros(rows, np.int64)
        for lead, name in self._parts[form]:
            total += len(lead)
            if name:
                total += self.slots[name].lengths(index(name))
        return total

    def _join(
        self,
        form: int,
        index: Callable[[str], Words],
        rows: np.ndarray[tuple[int], np.dtype[np.intp]] | None,
        count: int,
    ) -> pa.StringArray:
        pieces: list[pa.StringArray | pa.Scalar] = []
        for lead, name in self._parts[form]:
            if lead:
                pieces.append(pa.scalar(lead))
            if name:
                at = index(name)
                pieces.append(self.slots[name].take(at if rows is None else at[rows]))
        if len(pieces) == 1:
            return pieces[0]
        return pc.binary_join_element_wise(*pieces, "")
