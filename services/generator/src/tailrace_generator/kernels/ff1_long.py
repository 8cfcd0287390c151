"""`Ff1` on one long value, slice by slice: the same function (the tests compare), in memory that is a few bytes per position.

Whole arrays cost some 80 bytes per position: nothing for names, hundreds of megabytes for a document of a few. Here a position
exists as a number only while its slice is worked on; what lasts are the limbs, 32 bytes for every nine letters or so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from tailrace_generator.kernels.ff1 import LIMB_COST, ROUNDS, Words, lead_blocks, residue96
from tailrace_generator.kernels.prf import Aes, Blocks, Offsets

LONG_POSITIONS = 4096
"""From here on a value is worth the fixed cost of its own slices, about a millisecond. Both its halves have a thousand members
and more limbs than one, so the special cases of `Ff1` for short and lopsided values do not arise."""
SLICE = 1 << 16
"""Positions at a time."""
SLICE_LIMBS = 1 << 13
"""Limbs at a time: about as many positions."""
MOST_IN_LIMB = 64
"""Positions of a limb are fewer: a radix is at least 2, a limb below 2⁵²."""


class Positions(Protocol):
    """A long value's positions, read and written slice by slice."""

    length: int

    def read(self, first: int, last: int) -> tuple[Words, Words]:
        """Numerals and radices."""

    def costs(self, first: int, last: int) -> Offsets:
        """The radices' `ff1.cost`."""

    def write(self, first: int, last: int, numerals: Words) -> None:
        """New numerals."""


def encrypt_long(aes: Aes, positions: Positions) -> None:
    """Replace the numerals of one value of at least LONG_POSITIONS positions by those that `Ff1.encrypt` gives."""
    middle = _middle(positions)
    lead = _lead(aes, positions, middle)
    left, right = (_Half(positions, *place) for place in ((0, middle), (middle, positions.length)))
    for i in range(ROUNDS):
        into, source = (left, right) if i % 2 == 0 else (right, left)
        into.add(aes, np.frombuffer(aes.cbc_mac(source.message(i), lead.tobytes()), np.uint64))
    for half in (left, right):
        half.store(positions)


def _slices(first: int, last: int, step: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last, step):
        yield start, min(start + step, last)


def _middle(positions: Positions) -> int:
    """Length of the left half, as `Ff1` cuts it."""
    half = sum(int(positions.costs(*s).sum()) for s in _slices(0, positions.length, SLICE)) // 2
    middle, total = 0, 0
    for first, last in _slices(0, positions.length, SLICE):
        totals = total + np.cumsum(positions.costs(first, last))
        fitting = int(np.searchsorted(totals, half, side="right"))
        middle, total = middle + fitting, int(totals[-1])
        if fitting < last - first:
            break
    return min(max(middle, 1), positions.length - 1)


def _lead(aes: Aes, positions: Positions, middle: int) -> Blocks:
    low, high = np.iinfo(np.int64).max, 0
    for s in _slices(0, positions.length, SLICE):
        radices = positions.read(*s)[1]
        low, high = min(low, int(radices.min())), max(high, int(radices.max()))
    uniform = low == high
    radix = np.array([low if uniform else 0], np.uint64)
    lead = aes.ecb(lead_blocks(radix, *(np.array([n]) for n in (middle, positions.length, 0 if uniform else 16))))
    if uniform:
        return lead
    tweak = (positions.read(*s)[1].astype("<u4").tobytes() for s in _slices(0, positions.length, SLICE))
    return aes.ecb(lead ^ aes.cmac_pieces(tweak))


class _Half:
    """The limbs of one half: where each ends, its value and its modulus."""

    def __init__(self, positions: Positions, first: int, last: int) -> None:
        self._cuts = _cuts(positions, first, last)
        count = len(self._cuts) - 1
        self._values, self._sizes = np.zeros(count, np.uint64), np.ones(count, np.uint64)
        for limbs in self._slices():
            starts, lengths, (begin, end) = self._places(limbs)
            numerals, radices = positions.read(begin, end)
            for j in range(int(lengths.max())):
                having = np.flatnonzero(lengths > j)
                at, limb = starts[having] + j, having + limbs[0]
                self._values[limb] = self._values[limb] * radices[at] + numerals[at]
                self._sizes[limb] *= radices[at]

    def message(self, i: int) -> Iterator[bytes]:
        """What the round function authenticates: the round's number and all limbs, 8 bytes each, to whole blocks."""
        yield np.array([i, self._values[0]], np.uint64).tobytes()
        for first, last in _slices(1, len(self._values), SLICE_LIMBS):  # an even number each, but the last
            yield self._values[first:last].tobytes()
        if len(self._values) % 2 == 0:
            yield bytes(8)

    def add(self, aes: Aes, stream: Words) -> None:
        """Limb j adds block j of the key stream, modulo its own size."""
        for first, last in self._slices():
            blocks = np.repeat(stream[None], last - first, axis=0)
            blocks[:, 1] ^= np.arange(first, last, dtype=np.uint64).byteswap()
            keyed = aes.ecb(blocks)
            if first == 0:
                keyed[0] = stream
            size = self._sizes[first:last]
            y = self._values[first:last] + residue96(keyed, size)
            self._values[first:last] = np.where(y >= size, y - size, y)

    def store(self, positions: Positions) -> None:
        """The limbs' values as numerals."""
        for limbs in self._slices():
            starts, lengths, (begin, end) = self._places(limbs)
            radices = positions.read(begin, end)[1]
            rest = self._values[slice(*limbs)].copy()
            numerals = np.empty(end - begin, np.uint64)
            for j in reversed(range(int(lengths.max()))):
                having = np.flatnonzero(lengths > j)
                at = starts[having] + j
                rest[having], numerals[at] = np.divmod(rest[having], radices[at])
            positions.write(begin, end, numerals)

    def _slices(self) -> Iterator[tuple[int, int]]:
        return _slices(0, len(self._values), SLICE_LIMBS)

    def _places(self, limbs: tuple[int, int]) -> tuple[Offsets, Offsets, tuple[int, int]]:
        """Of a slice of limbs: first positions (counted from the slice's own), lengths, and the positions of all."""
        cuts = self._cuts[limbs[0] : limbs[1] + 1]
        return cuts[:-1] - cuts[0], np.diff(cuts), (int(cuts[0]), int(cuts[-1]))


def _cuts(positions: Positions, first: int, last: int) -> Offsets:
    """Where limbs begin, and the end: the longest runs of positions that fit, one after the other."""
    found, at = [np.array([first])], first
    while at < last:
        start, stop = at, min(at + SLICE, last)
        totals = np.concatenate(
            (np.zeros(1, np.int64), np.cumsum(positions.costs(start, min(stop + MOST_IN_LIMB, last))))
        )
        following = np.searchsorted(totals, totals[: stop - start] + LIMB_COST, side="right") - 1 + start
        jumps, cuts = following.tolist(), []
        while at < stop:
            at = jumps[at - start]
            cuts.append(at)
        found.append(np.array(cuts))
    return np.concatenate(found)
