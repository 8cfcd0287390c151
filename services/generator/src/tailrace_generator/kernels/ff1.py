"""FF1 (NIST SP 800-38G) on many values at once, also where every position has a radix of its own.

A value is a sequence of numerals; its left half and its right half add a keyed function of each other in turn, ten times. With
one radix this is FF1, digit for digit, for halves up to 2⁵² (eleven letters, fifteen digits); NIST's samples test the very code
that masks. It goes beyond the standard in three ways, none of which touches the Feistel argument (any group will do, a half
only ever adds a function of the other half):

- **Mixed radices**: a half's modulus is the product of its positions' radices, the halves are cut where their sizes are
  closest, and radix 0 with a CMAC of all radices as tweak tells every shape from every other.
- **Long values**: a half above 2⁵² is a sequence of limbs, each of the longest run of positions that fits; limb j adds block j of
  the round's key stream modulo its own size. The round function reads the whole other half, so cost is linear in length.
- **Lopsided shapes**: where a half has less than a thousand members, 32 rounds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tailrace_generator.kernels.prf import Aes, Blocks, Offsets

Words = npt.NDArray[np.uint64]

ROUNDS = 10
LOPSIDED_ROUNDS = 32
COST_BITS = 20
"""Sizes are compared as sums of log2(radix) in units of 2⁻²⁰ bit: exact, so never dependent on a batch."""
LIMB_COST = int(51.9 * (1 << COST_BITS))
"""A limb stays below 2⁵², so that a remainder can be shifted by 12 bits within 64."""
LONG_LIMBS = 32
"""Halves of more limbs are authenticated one by one, in C."""
STEP = np.uint64(12)


def cost(radix: int) -> int:
    """log2 of a radix in units of 2⁻²⁰ bit."""
    return round(math.log2(radix) * (1 << COST_BITS))


LOPSIDED_COST = cost(1000)


class Ff1:
    """The permutation of one key. (`ff1_long` does the same to one long value in little memory.)"""

    def __init__(self, aes: Aes) -> None:
        self._aes = aes

    def encrypt(self, numerals: Words, radices: Words, costs: Offsets, offsets: Offsets) -> Words:
        """New numerals for n values, laid end to end; value i has positions ``offsets[i]`` to ``offsets[i + 1]``.

        Every value has at least two positions; every numeral is below its radix, and ``costs`` are the radices' `cost`.
        """
        starts, ends = offsets[:-1], offsets[1:]
        total = np.concatenate((np.zeros(1, np.int64), np.cumsum(costs)))
        middles = starts + self._cut(total, starts, ends)
        leads = self._leads(radices, starts, middles, ends)
        left, right = (total[middles] - total[starts]), (total[ends] - total[middles])
        lopsided = np.minimum(left, right) < LOPSIDED_COST
        limbs = _Limbs(total, starts, middles, ends)
        values, sizes = limbs.pack(numerals, radices)
        for rounds, rows in ((ROUNDS, np.flatnonzero(~lopsided)), (LOPSIDED_ROUNDS, np.flatnonzero(lopsided))):
            for group in limbs.groups(rows):
                a, b = limbs.halves(group)
                self._feistel(values, sizes, a, b, leads[group], rounds)
        return limbs.unpack(values, radices, len(numerals))

    @staticmethod
    def _cut(total: Offsets, starts: Offsets, ends: Offsets) -> Offsets:
        """Length of the left half: the most positions that are not above half of the size; n // 2 with one radix."""
        middle = total[starts] + (total[ends] - total[starts]) // 2
        left = np.searchsorted(total, middle, side="right") - 1 - starts
        return np.asarray(np.clip(left, 1, ends - starts - 1), np.int64)

    def _leads(self, radices: Words, starts: Offsets, middles: Offsets, ends: Offsets) -> Blocks:
        """The chaining value after FF1's block P and, for mixed radices, the tweak: one per value."""
        low, high = np.minimum.reduceat(radices, starts), np.maximum.reduceat(radices, starts)
        uniform = low == high
        radix = np.where(uniform, low, 0)
        leads = self._aes.ecb(lead_blocks(radix, middles - starts, ends - starts, np.where(uniform, 0, 16)))
        mixed = np.flatnonzero(~uniform)
        if len(mixed):
            data = radices.astype("<u4").view(np.uint8)
            cuts = np.append(starts, ends[-1]) * 4
            tweaks = self._aes.cmac(data, cuts)[mixed]
            leads[mixed] = self._aes.ecb(leads[mixed] ^ tweaks)
        return leads

    def _feistel(self, values: Words, sizes: Words, a: Offsets, b: Offsets, leads: Blocks, rounds: int) -> None:
        """All rounds for values that have the same numbers of limbs; ``a``, ``b`` (limbs, rows) say where their limbs lie."""
        left, right, left_sizes, right_sizes = values[a], values[b], sizes[a], sizes[b]
        if len(a) == 1 and len(b) == 1:
            self.rounds(left[0], right[0], left_sizes[0], right_sizes[0], leads, None, rounds)
        else:
            for i in range(rounds):
                into, source, size = (left, right, left_sizes) if i % 2 == 0 else (right, left, right_sizes)
                stream = np.repeat(self._stream(source, leads, i)[None], len(into), axis=0)
                stream[1:, :, 1] ^= np.arange(1, len(into), dtype=np.uint64).byteswap()[:, None]
                stream[1:] = self._aes.ecb(stream[1:].reshape(-1, 2)).reshape(-1, *stream.shape[1:])
                y = into + residue96(stream, size)
                np.copyto(into, np.where(y >= size, y - size, y))
        values[a], values[b] = left, right

    def rounds(
        self,
        left: Words,
        right: Words,
        left_size: Words,
        right_size: Words,
        leads: Blocks,
        tail: Words | None,
        rounds: int,
    ) -> None:
        """FF1's own rounds, in place: one limb per half. ``tail`` holds tweak bytes that share the last block."""
        width = np.uint64(8) * _bytes(np.maximum(left_size, right_size))
        short = width <= 32  # FF1's d: 8 bytes of key stream, else 12
        every, none = bool(short.all()), not short.any()
        block = np.empty((len(left), 2), np.uint64)
        for i in range(rounds):
            into, source, size = (left, right, left_size) if i % 2 == 0 else (right, left, right_size)
            block[:, 0] = leads[:, 0]
            block[:, 1] = (source | np.uint64(i) << width).byteswap() ^ leads[:, 1]
            if tail is not None:
                block ^= tail
            stream = self._aes.ecb(block)
            if every:
                y = stream[:, 0].byteswap() % size
            else:
                y = residue96(stream, size)
                if not none:
                    y = np.where(short, stream[:, 0].byteswap() % size, y)
            y += into
            np.copyto(into, np.where(y >= size, y - size, y))

    def _stream(self, source: Words, leads: Blocks, i: int) -> Blocks:
        """First block of a round's key stream, from all limbs of a half: CBC-MAC over round and limbs, 8 bytes each."""
        count, rows = source.shape
        message = np.zeros((rows, (count + 2) // 2 * 2), np.uint64)
        message[:, 0] = i
        message[:, 1 : count + 1] = source.T
        if count > LONG_LIMBS:
            macs = [self._aes.cbc_mac((m.tobytes(),), v.tobytes()) for m, v in zip(message, leads, strict=True)]
            return np.frombuffer(b"".join(macs), np.uint64).reshape(-1, 2)
        state = leads
        for k in range(0, message.shape[1], 2):
            state = self._aes.ecb(state ^ message[:, k : k + 2])
        return state


def lead_blocks(radix: Words, left: Offsets, length: Offsets, tweak_bytes: Offsets) -> Blocks:
    """FF1's block P: 1, 2, 1, radix (3 bytes), 10, u mod 256, n and t (4 bytes each)."""
    words = np.empty((len(radix), 2), np.uint64)
    first = np.uint64(0x010201 << 40 | 10 << 8) | radix << np.uint64(16) | (left.astype(np.uint64) & np.uint64(255))
    words[:, 0] = first.byteswap()
    words[:, 1] = (length.astype(np.uint64) << np.uint64(32) | tweak_bytes.astype(np.uint64)).byteswap()
    return words


def _bytes(size: Words) -> Words:
    """FF1's b: bytes that hold a number below ``size`` ≤ 2⁵²."""
    bits = np.frexp((size - np.uint64(1)).astype(np.float64))[1]
    return ((bits + 7) // 8).astype(np.uint64)


def residue96(block: Blocks, size: Words) -> Words:
    """The first 12 bytes of each block (last axis), as a number, modulo ``size`` ≤ 2⁵²."""
    rest = block[..., 1].byteswap()
    y = block[..., 0].byteswap() % size
    for shift, bits in ((52, 12), (40, 12), (32, 8)):
        y = (y << np.uint64(bits) | rest >> np.uint64(shift) & np.uint64((1 << bits) - 1)) % size
    return y


class _Limbs:
    """Where the limbs of all values begin and end: the longest runs of positions that fit, half by half."""

    def __init__(self, total: Offsets, starts: Offsets, middles: Offsets, ends: Offsets) -> None:
        self._rows = len(starts)
        halves = np.stack((starts, middles), 1).reshape(-1), np.stack((middles, ends), 1).reshape(-1)
        at, until = halves[0].copy(), halves[1]
        open_halves = np.arange(len(at))
        firsts, lasts, owners = [], [], []
        while len(open_halves):
            first = at[open_halves]
            last = np.minimum(np.searchsorted(total, total[first] + LIMB_COST, side="right") - 1, until[open_halves])
            firsts.append(first)
            lasts.append(last)
            owners.append(open_halves)
            at[open_halves] = last
            open_halves = open_halves[last < until[open_halves]]
        owner = np.concatenate(owners)
        if len(owners) == 1:
            self.first, self.last = firsts[0], lasts[0]
        else:
            order = np.argsort(owner, kind="stable")
            self.first, self.last = np.concatenate(firsts)[order], np.concatenate(lasts)[order]
        self._counts = np.bincount(owner, minlength=2 * self._rows).reshape(-1, 2)
        self._at = np.cumsum(self._counts.reshape(-1)) - self._counts.reshape(-1)
        self._length = self.last - self.first
        self._shortest, self._longest = int(self._length.min()), int(self._length.max())

    def groups(self, rows: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
        """Rows with the same numbers of limbs in both halves."""
        if not len(rows):
            return []
        counts = self._counts[rows]
        key = counts[:, 0] << 32 | counts[:, 1]
        if (key == key[0]).all():
            return [rows]
        _, inverse, sizes = np.unique(key, return_inverse=True, return_counts=True)
        return np.split(rows[np.argsort(inverse, kind="stable")], np.cumsum(sizes)[:-1])

    def halves(self, rows: npt.NDArray[np.intp]) -> tuple[Offsets, Offsets]:
        """Places of the limbs of a group's left and right halves, each of shape (limbs, rows)."""
        left, right = self._counts[rows[0]]
        a, b = self._at[2 * rows], self._at[2 * rows + 1]
        return a + np.arange(left)[:, None], b + np.arange(right)[:, None]

    def pack(self, numerals: Words, radices: Words) -> tuple[Words, Words]:
        """Every limb as a number, the first position most significant, and its modulus."""
        value = np.zeros(len(self.first), np.uint64)
        size = np.ones(len(self.first), np.uint64)
        for j in range(self._longest):
            limbs, at = self._column(j)
            radix = radices[at]
            if limbs is None:
                value, size = (numerals[at], radix) if j == 0 else (value * radix + numerals[at], size * radix)
            else:
                value[limbs] = value[limbs] * radix + numerals[at]
                size[limbs] *= radix
        return value, size

    def unpack(self, values: Words, radices: Words, positions: int) -> Words:
        """Numerals of all positions."""
        rest = values.copy()
        numerals = np.empty(positions, np.uint64)
        for j in reversed(range(self._longest)):
            limbs, at = self._column(j)
            radix = radices[at]
            value = rest if limbs is None else rest[limbs]
            quotient = value // radix
            numerals[at] = value - quotient * radix
            if limbs is None:
                rest = quotient
            else:
                rest[limbs] = quotient
        return numerals

    def _column(self, j: int) -> tuple[npt.NDArray[np.intp] | None, Offsets]:
        """The limbs that have a position j (None: all of them), and where it is."""
        if j < self._shortest:
            return None, self.first + j
        limbs = np.flatnonzero(self._length > j)
        return limbs, self.first[limbs] + j
