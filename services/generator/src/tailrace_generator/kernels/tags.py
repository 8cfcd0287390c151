"""The keyed function under hashes, noise and mocks: 128 bits from (secret, domain, canonical text)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.kernels.arrays import bytes_of
from tailrace_generator.kernels.canonical import canonical
from tailrace_generator.kernels.prf import Aes, Blocks
from tailrace_generator.kernels.secret import MaskSecret
from tailrace_shared.generators import MaskColumn


class Tags:
    """The function of one domain, for one column."""

    def __init__(self, column: MaskColumn, secret: MaskSecret) -> None:
        self._column = column
        self._aes = Aes(secret.key(column.domain, "value"))

    def __call__(self, values: pa.Array) -> Blocks:
        """Tags of values without nulls, typed or as text: shape (n, 2), 16 bytes each in memory order."""
        return self._aes.cmac(*bytes_of(canonical(self._column, values)))


def uniform(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Numbers in (-1, 1), never 0, from 53 bits of each word."""
    return ((words >> np.uint64(10) | np.uint64(1)).astype(np.float64) / (1 << 53)) - 1.0
