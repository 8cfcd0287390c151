"""Numeric keys among themselves: a bijection on canonical decimals that keeps sign and digits before and after the point.

The digits are permuted as text digits are, and again until the number is canonical: no leading zero before the point (but the
one of 0.x), no trailing zero after it. So a numeric(p, s) holds its masked key, and 1.0 and 1.00 mask alike. Zero, NaN and the
infinities stay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import bytes_of, strings
from tailrace_generator.kernels.ff1 import cost
from tailrace_generator.kernels.prf import Bytes, Offsets
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.text_fpe import TextFpe

ZERO, NINE = ord("0"), ord("9")


class NumberPermutation:
    """The decimal permutation of one domain."""

    def __init__(self, secret: MaskSecret, domain: str) -> None:
        self._text = {fraction: secret.shared(TextFpe, f"{domain}\0number\0{fraction}") for fraction in ("", ".")}

    def permute(self, values: pa.StringArray) -> pa.StringArray:
        """Masks of canonical decimals without nulls."""
        data, ends = bytes_of(values)
        data, ends = data[ends[0] : ends[-1]].copy(), ends - ends[0]
        fraction = pc.match_substring(values, ".").to_numpy(zero_copy_only=False)
        zero = pc.match_substring_regex(values, r"^-?0\.").to_numpy(zero_copy_only=False)
        moves = pc.match_substring_regex(values, r"^-?(0*[1-9]\d*|0)(\.\d+)?$").to_numpy(zero_copy_only=False)
        moves &= ~pc.equal(values, "0").to_numpy(zero_copy_only=False)
        for kind, wanted in (("", ~fraction), (".", fraction)):
            rows = np.flatnonzero(moves & wanted).astype(np.int64)
            if len(rows):
                self._walk(kind, data, ends, rows, zero)
        return strings(data, ends)

    def _walk(self, kind: str, data: Bytes, ends: Offsets, rows: Offsets, zero: npt.NDArray[np.bool_]) -> None:
        """Permute the digits of some rows in place until each is canonical."""
        digit = (data >= ZERO) & (data <= NINE)
        units = np.flatnonzero(zero)
        digit[ends[units] + (data[ends[units]] == ord("-"))] = False  # the 0 of 0.x stays
        before: Offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(digit, dtype=np.int64)))
        positions = np.flatnonzero(digit).astype(np.int64)
        while len(rows):
            first, last = before[ends[:-1][rows]], before[ends[1:][rows]]
            lengths: Offsets = last - first
            cuts: Offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
            at = positions[np.repeat(first - cuts[:-1], lengths) + np.arange(cuts[-1])]
            radices, costs = np.full(len(at), 10, np.uint64), np.full(len(at), cost(10), np.int64)
            moved = self._text[kind].numerals((data[at] - ZERO).astype(np.uint64), radices, costs, cuts)
            data[at] = moved.astype(np.uint8) + ZERO
            leading = (data[at[cuts[:-1]]] == ZERO) & ~zero[rows]
            trailing = data[at[cuts[1:] - 1]] == ZERO
            rows = rows[leading | trailing] if kind else rows[leading]
