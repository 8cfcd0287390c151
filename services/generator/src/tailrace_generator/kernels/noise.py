"""Kernel of `mask.number`: noise decided by the value, on whole units of the last digit.

Integers and numerics are integers of units; the noise is a whole number of units, never none, and stays in the type's range.
A relative noise keeps zero and the sign. Floats are multiplied or added to; NaN and the infinities stay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_generator.kernels.arrays import from_int64s, int64s, merge
from tailrace_generator.kernels.canonical import decimal_text
from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.tags import Tags, uniform
from tailrace_shared.generators import MaskColumn, MaskNumber

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

INT64_DIGITS = 18
"""Decimals of up to 18 digits are counted in int64; longer ones one by one, as Python integers."""
BITS = {"int2": 16, "int4": 32, "int8": 64}
DECIMAL_TEXT = r"^-?\d+(\.\d+)?$"


class NumberKernel(Kernel):
    """Noise on integers, numerics and floats."""

    def __init__(self, spec: MaskNumber, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._tags = Tags(column, secret)
        self._share, self._absolute = spec.share, spec.absolute
        bits = BITS.get(column.type.base, 64)
        self._high = (1 << (bits - 1)) - 1
        self._low = ~self._high
        if column.type.family == "number" and column.type.precision is not None:
            digits = column.type.precision
            self._high = min(self._high, 10**digits - 1)
            self._low = -self._high

    def mask(self, values: pa.Array) -> pa.Array:
        noise = uniform(self._tags(values)[:, 0])
        family, is_text = self.column.type.family, pa.types.is_string(values.type)
        if family == "integer":
            moved = self._units(int64s(values.cast(pa.int64())), 0, noise)
            return pa.array(moved).cast(pa.string()) if is_text else from_int64s(moved, values.type)
        if family == "float":
            return self._floats(values, noise)
        if not is_text and values.type.precision <= INT64_DIGITS:
            return self._decimals(values, noise)
        if is_text:
            return self._texts(values, noise)
        return self._texts(decimal_text(values), noise).cast(values.type)

    def _units(self, units: Ints, scale: int, noise: Floats) -> Ints:
        """Units after noise: never the same, unless zero under relative noise."""
        size = np.abs(units.astype(np.float64)) * self._share if self._share is not None else self._step(scale)
        delta = np.rint(np.clip(size * noise, -(2.0**62), 2.0**62)).astype(np.int64)
        sign = np.where(noise < 0, -1, 1)
        if self._share is not None:  # the smallest values grow, and zero stays
            sign = np.where(np.abs(units) == 1, np.sign(units), sign) * (units != 0)
        delta = np.where(delta == 0, sign, delta)
        room = np.clip(delta, self._low - np.minimum(units, 0), self._high - np.maximum(units, 0))
        return units + np.where((room == 0) & (delta != 0), -np.sign(delta), room)

    def _step(self, scale: int) -> float:
        return (self._absolute or 0.0) * 10.0**scale

    def _decimals(self, values: pa.Array, noise: Floats) -> pa.Array:
        words = np.frombuffer(values.buffers()[1], np.int64, 2 * len(values), 16 * values.offset).reshape(-1, 2)
        moved = self._units(words[:, 0], values.type.scale, noise)
        out = np.stack((moved, moved >> 63), 1)
        return pa.Array.from_buffers(values.type, len(values), [None, pa.py_buffer(np.ascontiguousarray(out))])

    def _floats(self, values: pa.Array, noise: Floats) -> pa.Array:
        typed = values.cast(self.wire)
        x = np.asarray(typed.to_numpy(zero_copy_only=False), np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = x * (1 + self._share * noise) if self._share is not None else x + self._step(0) * noise
        limit = float(np.finfo(np.float32 if self.column.type.base == "float4" else np.float64).max)
        moved = np.where(np.isfinite(x), np.clip(moved, -limit, limit), x)
        out = pa.array(moved.astype(typed.to_numpy(zero_copy_only=False).dtype))
        return out.cast(values.type)

    def _texts(self, values: pa.StringArray, noise: Floats) -> pa.StringArray:
        """Decimal texts, by their number of fractional digits; NaN and the infinities stay."""
        digits = pc.replace_substring(values, ".", "")
        lengths = pc.utf8_length(pc.utf8_ltrim(digits, characters="-")).to_numpy(zero_copy_only=False)
        point = pc.find_substring(values, ".").to_numpy(zero_copy_only=False)
        scales = np.where(point < 0, 0, pc.utf8_length(values).to_numpy(zero_copy_only=False) - point - 1)
        plain = pc.match_substring_regex(values, DECIMAL_TEXT).to_numpy(zero_copy_only=False)
        long = plain & (lengths > INT64_DIGITS)
        parts = []
        if len(rows := np.flatnonzero(~plain)):
            parts.append((rows, values.take(pa.array(rows))))
        if len(rows := np.flatnonzero(long)):
            texts = values.take(pa.array(rows)).to_pylist()
            pairs = zip(texts, scales[rows].tolist(), noise[rows].tolist(), strict=True)
            parts.append((rows, pa.array([self._long(text, scale, n) for text, scale, n in pairs], pa.string())))
        short = plain & ~long
        for scale in np.unique(scales[short]).tolist():
            rows = np.flatnonzero(short & (scales == scale))
            units = int64s(digits.take(pa.array(rows)).cast(pa.int64()))
            parts.append((rows, decimal_texts(self._units(units, scale, noise[rows]), scale)))
        return merge(parts, len(values))

    def _long(self, text: str, scale: int, noise: float) -> str:
        """One decimal of more digits than int64 holds."""
        units = int(text.replace(".", ""))
        size = float(abs(units)) * self._share if self._share is not None else self._step(scale)
        delta = round(size * noise)
        moved = units + (delta or (1 if noise > 0 else -1))
        precision = self.column.type.precision
        if precision is not None and abs(moved) >= 10**precision:
            moved = units - (moved - units)
        written = str(abs(moved)).rjust(scale + 1, "0")
        sign = "-" if moved < 0 else ""
        return f"{sign}{written[:-scale]}.{written[-scale:]}" if scale else f"{sign}{written}"


def decimal_texts(units: Ints, scale: int) -> pa.StringArray:
    """Units of 10⁻ˢᶜᵃˡᵉ as decimal texts with all fractional digits."""
    if scale == 0:
        return pa.array(units).cast(pa.string())
    digits = pc.utf8_lpad(pa.array(np.abs(units)).cast(pa.string()), scale + 1, "0")
    sign = pa.array(["", "-"]).take(pa.array((units < 0).astype(np.int8)))
    whole = pc.binary_join_element_wise(sign, pc.utf8_slice_codeunits(digits, 0, -scale), "")
    return pc.binary_join_element_wise(whole, pc.utf8_slice_codeunits(digits, -scale), ".")
