"""Draws: from the ordinals of rows to numbers below a size, by a keyed function of the ordinal alone.

Every draw uses additions, multiplications and comparisons only, which IEEE 754 and the integers fix to the last bit: replicas on
different processors draw alike (powers and logarithms would not do).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tailrace_generator.kernels.permute import TABLE_SIZE, IndexRegion
from tailrace_generator.kernels.prf import Aes
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.tables import Tables
from tailrace_shared.plan.model import Slot

Ordinals = npt.NDArray[np.int64]
Indexes = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Draw = Callable[[Ordinals], Indexes]
"""Numbers from 0 to a size less one."""

NULLS, VALUE = 0, 1
"""Blocks of a row: which of them says what."""


class Source:
    """Random words per row of one column, or of one foreign key."""

    def __init__(self, secret: MaskSecret, name: str) -> None:
        self._aes = Aes(secret.key(name, "make"))

    def words(self, ordinals: Ordinals, block: int) -> Words:
        """128 bits per row, shape (n, 2)."""
        blocks = np.empty((len(ordinals), 2), np.uint64)
        blocks[:, 0] = ordinals.view(np.uint64)
        blocks[:, 1] = block
        return self._aes.ecb(blocks)

    def unit(self, ordinals: Ordinals, block: int) -> npt.NDArray[np.float64]:
        """One number in [0, 1) per row, of 53 bits."""
        return units(self.words(ordinals, block)[:, 0])

    def nulls(self, ordinals: Ordinals, share: float) -> npt.NDArray[np.bool_]:
        """Which rows are NULL."""
        return self.unit(ordinals, NULLS) < share


def units(words: Words) -> npt.NDArray[np.float64]:
    """53 bits of each word as a number in [0, 1)."""
    return (words >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def even(source: Source, size: int) -> Draw:
    """All equally likely."""
    limit = np.uint64(size)

    def draw(ordinals: Ordinals) -> Indexes:
        words = source.words(ordinals, VALUE)[:, 0]
        return (words - words // limit * limit).view(np.int64)

    return draw


def central(source: Source, size: int) -> Draw:
    """The mean of four even draws: near the middle, and never outside."""

    def draw(ordinals: Ordinals) -> Indexes:
        first, second = source.words(ordinals, VALUE), source.words(ordinals, VALUE + 1)
        mean = (units(first[:, 0]) + units(first[:, 1]) + units(second[:, 0]) + units(second[:, 1])) * 0.25
        return _scaled(mean, size)

    return draw


def skewed(source: Source, size: int, skew: int, order: Permutation | None = None) -> Draw:
    """Few get most: the power ``1 + skew`` of an even draw. ``order`` says who they are; without, the first ones."""

    def draw(ordinals: Ordinals) -> Indexes:
        base = source.unit(ordinals, VALUE)
        power = base
        for _ in range(skew):
            power = power * base
        rank = _scaled(power, size)
        return rank if order is None else order(rank)

    return draw


def weighted(source: Source, weights: Sequence[float]) -> Draw:
    """By weights."""
    sums = np.cumsum(np.array(weights, np.float64))

    def draw(ordinals: Ordinals) -> Indexes:
        at = source.unit(ordinals, VALUE) * sums[-1]
        place: Indexes = np.minimum(np.searchsorted(sums, at, side="right"), len(sums) - 1).astype(np.int64)
        return place

    return draw


def earlier(source: Source) -> Draw:
    """A row before this one; the first draws itself."""

    def draw(ordinals: Ordinals) -> Indexes:
        words = source.words(ordinals, VALUE)[:, 0]
        limits = np.maximum(ordinals, 1).view(np.uint64)
        return (words % limits).view(np.int64)

    return draw


def fanned(secret: MaskSecret, name: str, rows: int, size: int, groups: Sequence[tuple[int, int]]) -> Draw:
    """As many rows for each as in the groups: so many of them, so many rows of theirs together. Their shares are kept.

    All rows stand in a line that is shuffled by a key; groups take stretches of it, and in a stretch each of its numbers takes
    about equally many. Who belongs to which group is shuffled too.
    """
    many, theirs = (np.cumsum([group[side] for group in groups]) for side in (0, 1))
    if not theirs[-1]:
        groups, many, theirs = [(1, 1)], np.ones(1, np.int64), np.ones(1, np.int64)
    starts = np.array([0, *(int(end) * size // int(many[-1]) for end in many)], np.int64)
    stretches = np.array([0, *(int(end) * rows // int(theirs[-1]) for end in theirs)], np.int64)
    line, order = Permutation(secret, f"{name} line", rows), Permutation(secret, name, size)

    def draw(ordinals: Ordinals) -> Indexes:
        at = line(ordinals)
        group = np.searchsorted(stretches[1:], at, side="right")
        length = stretches[group + 1] - stretches[group]
        wide = np.maximum(starts[group + 1] - starts[group], 1)
        place = starts[group] + (at - stretches[group]) * wide // length
        return order(np.minimum(place, size - 1))

    return draw


def digit(secret: MaskSecret, slot: Slot) -> Draw:
    """This column's digit of one number that is another for every row: see ``Slot``."""
    permutation = Permutation(secret, slot.name, slot.total)

    def draw(ordinals: Ordinals) -> Indexes:
        digits: Indexes = permutation(ordinals) // slot.divisor % slot.size
        return digits

    return draw


class Permutation:
    """A keyed permutation of 0 … size - 1."""

    def __init__(self, secret: MaskSecret, name: str, size: int) -> None:
        aes = Aes(secret.key(name, "permutation"))
        self._table: npt.NDArray[np.int64] | None = None
        if size <= TABLE_SIZE:
            self._table = Tables(aes).permutation(bytes(8), size).astype(np.int64)
        else:
            self._region = IndexRegion(aes, size)

    def __call__(self, indexes: Indexes) -> Indexes:
        if self._table is not None:
            return self._table[indexes]
        moved: Indexes = self._region.permute(indexes.view(np.uint64)).view(np.int64)
        return moved


def _scaled(unit: npt.NDArray[np.float64], size: int) -> Indexes:
    return np.minimum((unit * float(size)).astype(np.int64), size - 1)
