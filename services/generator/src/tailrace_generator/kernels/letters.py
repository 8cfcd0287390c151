"""The alphabets as tables over all code points: alphabet and index of each, and the way back."""

from __future__ import annotations

from functools import cache

import numpy as np

from tailrace_generator.kernels.ff1 import cost
from tailrace_shared.generators.alphabets import alphabets

STAYS = 0xFFFF
"""Alphabet number of a code point that stays in place."""
CODE_POINTS = 0x110000


class Letters:
    """About 12 MB, built once per process from the pinned table."""

    def __init__(self) -> None:
        table = alphabets()
        self.alphabet = np.full(CODE_POINTS, STAYS, np.uint16)
        self.place = np.zeros(CODE_POINTS, np.uint32)
        self.size = np.array(table.sizes, np.uint64)
        self.cost = np.array([cost(size) for size in table.sizes], np.int64)
        self.base = np.concatenate((np.zeros(1, np.uint64), np.cumsum(self.size)[:-1]))
        """First member of each alphabet in ``member``."""
        self.member = np.zeros(int(self.size.sum()), np.uint32)
        for run in table.runs:
            count = run.last - run.first + 1
            self.alphabet[run.first : run.last + 1] = run.alphabet
            self.place[run.first : run.last + 1] = np.arange(run.place, run.place + count)
            at = int(self.base[run.alphabet]) + run.place
            self.member[at : at + count] = np.arange(run.first, run.last + 1)


@cache
def letters() -> Letters:
    """The tables, built once."""
    return Letters()
