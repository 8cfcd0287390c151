"""Integer and uuid keys: keyed permutations that keep an integer in its region, and a uuid's version and variant.

Feistel networks with AES as round function (ten rounds, as in FF1), cycle walking where a region is not a power of two: the
permutation is applied again until it lands inside, which keeps it a permutation. Regions up to 2¹⁶ are tables.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tailrace_generator.kernels.prf import Aes
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.tables import Tables
from tailrace_shared.generators.regions import COMPLEMENT_STARTS, POSITIVE_STARTS

ROUNDS = 10
TABLE_SIZE = 1 << 16
Words = npt.NDArray[np.uint64]


class IntegerPermutation:
    """The permutation of int8 that a domain's key gives; int2 and int4 are its restrictions."""

    def __init__(self, secret: MaskSecret, domain: str) -> None:
        self._tables = Tables(Aes(secret.key(domain, "integer.small")))
        aes = Aes(secret.key(domain, "integer"))
        self._regions = [
            _Region(aes, number, starts[i], starts[i + 1])
            for number, starts in enumerate((POSITIVE_STARTS, COMPLEMENT_STARTS))
            for i in range(len(starts) - 1)
        ]

    def permute(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """0 stays 0; everything else moves within its region and sign."""
        negative = values < 0
        magnitude = np.where(negative, ~values, values).view(np.uint64)
        out = values.copy()
        starts = np.array(POSITIVE_STARTS[1:-1], np.uint64)
        region = np.searchsorted(starts, magnitude, side="right")
        region += len(POSITIVE_STARTS[1:]) * negative
        region[values == 0] = -1
        for number in np.flatnonzero(np.bincount(region + 1)) - 1:
            if number < 0:
                continue
            rows = np.flatnonzero(region == number)
            whole = len(rows) == len(values)
            moved = self._move(int(number), magnitude if whole else magnitude[rows]).view(np.int64)
            signed = ~moved if number >= len(POSITIVE_STARTS) - 1 else moved
            if whole:
                return signed
            out[rows] = signed
        return out

    def _move(self, number: int, magnitudes: Words) -> Words:
        region = self._regions[number]
        size = region.high - region.low
        if size > TABLE_SIZE:
            return region.permute(magnitudes)
        table = self._tables.permutation(number.to_bytes(8, "little"), size)
        low = np.uint64(region.low)
        moved: Words = table[magnitudes - low].astype(np.uint64) + low
        return moved


class _Region:
    """A permutation of [low, high), as a Feistel network over just enough bits."""

    def __init__(self, aes: Aes, number: int, low: int, high: int) -> None:
        self.low, self.high = low, high
        # Regions above 2^k that start at 2^k need no walking when they count from their start.
        self._base = low if (high - low) & (high - low - 1) == 0 else 0
        bits = (high - self._base - 1).bit_length()
        self._feistel = Feistel(aes, number, bits // 2, bits - bits // 2)

    def permute(self, values: Words) -> Words:
        base, low = np.uint64(self._base), np.uint64(self.low - self._base)
        high = np.uint64(self.high - self._base)
        out = self._feistel.permute(values - base)
        outside = np.flatnonzero((out < low) | (out >= high))
        while len(outside):
            walked = self._feistel.permute(out[outside])
            out[outside] = walked
            outside = outside[(walked < low) | (walked >= high)]
        return out + base


class IndexRegion(_Region):
    """A permutation of 0 … size - 1."""

    def __init__(self, aes: Aes, size: int) -> None:
        super().__init__(aes, 0, 0, size)


class Feistel:
    """A permutation of numbers of left + right bits, each half at most 62."""

    def __init__(self, aes: Aes, name: int, left: int, right: int) -> None:
        self._aes, self._name = aes, name
        self._left, self._right = left, right

    def permute(self, values: Words) -> Words:
        right_bits = np.uint64(self._right)
        left, right = self.halves(values >> right_bits, values & np.uint64((1 << self._right) - 1))
        return left << right_bits | right

    def halves(self, left: Words, right: Words) -> tuple[Words, Words]:
        """The permutation on halves of their own."""
        for i in range(ROUNDS):
            if i % 2 == 0:
                left = left ^ self._function(i, right, self._left)
            else:
                right = right ^ self._function(i, left, self._right)
        return left, right

    def _function(self, i: int, source: Words, bits: int) -> Words:
        blocks = np.empty((len(source), 2), np.uint64)
        blocks[:, 0] = source
        blocks[:, 1] = self._name << 8 | i
        return self._aes.ecb(blocks)[:, 0] & np.uint64((1 << bits) - 1)


class UuidPermutation:
    """The permutation of uuids: 122 bits move, version and variant stay (RFC 9562)."""

    def __init__(self, secret: MaskSecret, domain: str) -> None:
        self._feistel = Feistel(Aes(secret.key(domain, "uuid")), 0, 60, 62)

    def permute(self, words: Words) -> Words:
        """Uuids as shape (n, 2), in memory order."""
        high, low = words[:, 0].byteswap(), words[:, 1].byteswap()
        twelve, sixteen, free = np.uint64(0xFFF), np.uint64(16), np.uint64((1 << 62) - 1)
        left, right = self._feistel.halves(high >> sixteen << np.uint64(12) | high & twelve, low & free)
        out = np.empty_like(words)
        version = high & np.uint64(0xF000)
        out[:, 0] = (left >> np.uint64(12) << sixteen | version | left & twelve).byteswap()
        out[:, 1] = (low & ~free | right).byteswap()
        return out
