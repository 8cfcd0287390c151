"""From a number's codes to values: atoms as they are, bins by their quantile function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tailrace_shared.synthesis.encodings import Number
from tailrace_shared.synthesis.network import Codes, Floats
from tailrace_shared.synthesis.tensors import Tensor

Values = npt.NDArray[np.float64]
Uniforms = Callable[[], Floats]
"""One per row, in (0, 1]."""


class Quantity:
    """A number's tokens as values; ``shift`` codes of the first token come before its own."""

    def __init__(self, number: Number, tensors: Mapping[str, Tensor], part: str, shift: int) -> None:
        self._number, self._shift = number, shift
        self._atoms = np.concatenate([np.zeros(shift), tensors.get(f"{part}.atoms", np.zeros(0))])
        knots = tensors.get(f"{part}.knots", np.zeros((0, 2)))
        self._gaps = knots.shape[1] - 1
        self._low = np.ascontiguousarray(knots[:, :-1]).ravel()
        self._rise = np.ascontiguousarray(np.diff(knots, axis=1)).ravel()

    def __call__(self, coarse: Codes, fine: Codes | None, uniforms: Uniforms) -> Values:
        """A value per row; where a code means NULL, it is 0. ``uniforms`` are asked for once, if there are bins."""
        if not self._number.bins:
            exact: Values = self._atoms[coarse]
            return exact
        bins = coarse - len(self._atoms)
        binned = bins >= 0
        cell = np.zeros(len(coarse), np.int32) if fine is None else fine
        at = (cell + uniforms().astype(np.float64)) * (self._gaps / self._number.cells)
        gap = np.minimum(at.astype(np.int64), self._gaps - 1)
        place = np.maximum(bins, 0) * self._gaps + gap
        values: Values = self._low[place] + self._rise[place] * (at - gap)
        if self._number.step:
            values = stepped(values, self._number.step)
        if len(self._atoms):
            values = np.where(binned, values, self._atoms[np.minimum(coarse, len(self._atoms) - 1)])
        return values


def stepped(values: Values, step: float) -> Values:
    """The nearest multiples of ``step``, without what binary fractions add to decimal ones."""
    exact: Values = np.round(np.rint(values / step) * step, digits_of(step))
    return exact


def digits_of(step: float) -> int:
    """Decimal places of multiples of ``step``; six for a step of 0."""
    if step == 0:
        return 6
    return next((digits for digits in range(10) if math.isclose(round(step, digits), step, rel_tol=1e-9)), 9)
