"""Text within its shape: a bijection on all texts that have the same characters in place and the same alphabets elsewhere.

Length in characters and in UTF-8 bytes, case, digits, punctuation and script stay. What varies is a sequence of numerals with
a radix per position: below a million members the whole shape is permuted by a table, from there on by `Ff1`. Both depend on
the key and the radices alone, not on what stays: ``0171-2345`` and ``0171 2345`` get the same digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import bytes_of, strings
from tailrace_generator.kernels.ff1 import Ff1, Words, cost
from tailrace_generator.kernels.ff1_long import LONG_POSITIONS, encrypt_long
from tailrace_generator.kernels.letters import STAYS, Letters, letters
from tailrace_generator.kernels.prf import Aes, Bytes, Offsets
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.tables import Tables

SMALL_COST = 6 * cost(10)
"""A million members, in the exact unit of `cost`: six digits are already FF1's."""


PIECE_BYTES = 256 << 10
"""Text masked at a time: temporaries are some 80 bytes per character."""
LONG_BYTES = 64 << 10
"""Values from here on are masked alone, in slices. Below, whole arrays are quicker."""


class TextFpe:
    """The text permutation of one domain."""

    def __init__(self, secret: MaskSecret, domain: str) -> None:
        self._aes = Aes(secret.key(domain, "text"))
        self._ff1 = Ff1(self._aes)
        self._names = Aes(secret.key(domain, "text.shape"))
        self._tables = Tables(Aes(secret.key(domain, "text.small")))
        self._letters = letters()

    def permute(self, values: pa.StringArray) -> pa.StringArray:
        """Outputs of texts without nulls; equal texts are computed once."""
        coded = pc.dictionary_encode(values)
        distinct = self._permute_in_pieces(coded.dictionary)
        return distinct if len(distinct) == len(values) else distinct.take(coded.indices)

    def _permute_in_pieces(self, values: pa.StringArray) -> pa.StringArray:
        """Piece by piece, so that memory follows neither the batch nor, for long values, the value."""
        ends = bytes_of(values)[1]
        pieces, first = [], 0
        while first < len(values):
            if ends[first + 1] - ends[first] >= LONG_BYTES:
                last = first + 1
                pieces.append(self._permute_long(values.slice(first, 1)))
            else:
                last = max(int(np.searchsorted(ends, ends[first] + PIECE_BYTES, side="right")) - 1, first + 1)
                pieces.append(self._permute(values.slice(first, last - first)))
            first = last
        return pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)

    def _permute(self, values: pa.StringArray) -> pa.StringArray:
        data, ends = bytes_of(values)
        data, ends = data[ends[0] : ends[-1]], ends - ends[0]
        codes, cuts = _decode(data, ends)
        alphabet = self._letters.alphabet[codes]
        varies = alphabet != STAYS
        at = np.flatnonzero(varies)
        alphabet = alphabet[at]
        numerals = self._letters.place[codes[at]].astype(np.uint64)
        radices = self._letters.size[alphabet]
        offsets = np.searchsorted(at, cuts)
        masked = self.numerals(numerals, radices, self._letters.cost[alphabet], offsets)
        out = codes.copy()
        out[at] = self._letters.member[self._letters.base[alphabet] + masked]
        return strings(_encode(out), ends)  # every alphabet has one UTF-8 width

    def _permute_long(self, value: pa.StringArray) -> pa.StringArray:
        data, ends = bytes_of(value)
        codes, _ = _decode(data[ends[0] : ends[1]], ends - ends[0])
        varies = self._letters.alphabet[codes] != STAYS
        text = _Text(self._letters, codes[varies])
        if text.length >= LONG_POSITIONS:
            encrypt_long(self._aes, text)
        else:
            numerals, radices = text.read(0, text.length)
            costs = text.costs(0, text.length)
            text.write(0, text.length, self.numerals(numerals, radices, costs, np.array([0, text.length])))
        out = codes.copy()
        out[varies] = text.codes
        return strings(_encode(out), ends - ends[0])

    def numerals(self, numerals: Words, radices: Words, costs: Offsets, offsets: Offsets) -> Words:
        """New numerals for values laid end to end, some of which may have none."""
        lengths = np.diff(offsets)
        total = np.concatenate((np.zeros(1, np.int64), np.cumsum(costs)))
        small = total[offsets[1:]] - total[offsets[:-1]] < SMALL_COST
        del total  # as long as the text: see PIECE_BYTES
        large = np.flatnonzero(~small)
        if len(large) == len(lengths):
            return self._ff1.encrypt(numerals, radices, costs, offsets)
        out = numerals.copy()
        if len(large):
            at = np.flatnonzero(np.repeat(~small, lengths))
            cuts = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths[large])))
            out[at] = self._ff1.encrypt(numerals[at], radices[at], costs[at], cuts)
        for count in range(1, int(lengths[small].max(initial=0)) + 1):
            rows = np.flatnonzero(small & (lengths == count))
            if len(rows):
                at = offsets[:-1][rows][:, None] + np.arange(count)
                out[at] = self._small(numerals[at], radices[at])
        return out

    def _small(self, numerals: Words, radices: Words) -> Words:
        """New numerals of shape (values, positions), by one table per sequence of radices."""
        shapes, which = np.unique(radices, axis=0, return_inverse=True)
        out = np.empty_like(numerals)
        for number, shape in enumerate(shapes):
            rows = np.flatnonzero(which.reshape(-1) == number)
            index = np.zeros(len(rows), np.uint64)
            for j, radix in enumerate(shape):
                index = index * radix + numerals[rows, j]
            index = self._tables.permutation(self._name(shape), int(np.prod(shape)))[index].astype(np.uint64)
            for j in reversed(range(len(shape))):
                index, out[rows, j] = np.divmod(index, shape[j])
        return out

    def _name(self, shape: Words) -> bytes:
        data = shape.astype("<u4").view(np.uint8)
        return self._names.cmac(data, np.array([0, len(data)])).tobytes()[:8]


class _Text:
    """The characters of a long text that vary, as positions."""

    def __init__(self, letters: Letters, codes: npt.NDArray[np.unsignedinteger]) -> None:
        self._letters = letters
        self.codes = codes
        self.length = len(codes)

    def read(self, first: int, last: int) -> tuple[Words, Words]:
        codes = self.codes[first:last]
        return self._letters.place[codes].astype(np.uint64), self._letters.size[self._letters.alphabet[codes]]

    def costs(self, first: int, last: int) -> Offsets:
        return np.asarray(self._letters.cost[self._letters.alphabet[self.codes[first:last]]], np.int64)

    def write(self, first: int, last: int, numerals: Words) -> None:
        codes = self.codes[first:last]
        codes[:] = self._letters.member[self._letters.base[self._letters.alphabet[codes]] + numerals]


def _decode(data: Bytes, ends: Offsets) -> tuple[npt.NDArray[np.unsignedinteger], Offsets]:
    """Code points, and where each value's begin among them."""
    if not len(data) or data.max() < 0x80:
        return data, ends
    codes = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), np.uint32)
    leads = (data & 0xC0) != 0x80
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(leads)))
    return codes, before[ends]


def _encode(codes: npt.NDArray[np.unsignedinteger]) -> Bytes:
    if codes.dtype == np.uint8:
        return codes.view(np.uint8)
    return np.frombuffer(codes.astype("<u4").tobytes().decode("utf-32-le").encode(), np.uint8)
