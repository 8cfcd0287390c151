"""Kernels of `mask.text` and `mask.hash`."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.kernels.arrays import fixed_strings
from tailrace_generator.kernels.canonical import HEX
from tailrace_generator.kernels.kernel import Kernel
from tailrace_generator.kernels.keys import TextKey
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_generator.kernels.tags import Tags
from tailrace_shared.generators import MaskColumn, MaskHash, MaskText


@cache
def hex_quads() -> npt.NDArray[np.uint32]:
    """The four digits of every two bytes, both in memory order: 256 KB, once per process."""
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
    return HEX[pairs].reshape(-1).view(np.uint32)


class TextKernel(TextKey):
    """Text within its shape: the same function as `key` on text, so that columns of one domain agree."""

    def __init__(self, spec: MaskText, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column, secret)


class HashKernel(Kernel):
    """The first hexadecimal digits of the tag."""

    def __init__(self, spec: MaskHash, column: MaskColumn, secret: MaskSecret) -> None:
        super().__init__(column)
        self._tags = Tags(column, secret)
        self._digits = spec.chars(column)
        self._table = hex_quads()

    def mask(self, values: pa.Array) -> pa.Array:
        digits = self._table[self._tags(values).view(np.uint16)].view(np.uint8)
        return fixed_strings(digits[:, : self._digits])
