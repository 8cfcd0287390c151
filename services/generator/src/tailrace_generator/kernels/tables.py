"""Keyed permutations of small sets, as tables: a sort by random tags, so every permutation is equally likely."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from tailrace_generator.kernels.prf import Aes

CACHE_BYTES = 8 << 20
"""Per domain: two tables of a million members; one that was dropped is built again (some 0.1 s for a million)."""


class Tables:
    """The permutations of one key, told apart by a name of 8 bytes; least recently used ones are dropped."""

    def __init__(self, aes: Aes) -> None:
        self._aes = aes
        self._tables: OrderedDict[tuple[bytes, int], npt.NDArray[np.unsignedinteger]] = OrderedDict()
        self._bytes = 0

    def permutation(self, name: bytes, size: int) -> npt.NDArray[np.unsignedinteger]:
        """The permutation of 0 … size - 1."""
        key = (name, size)
        table = self._tables.get(key)
        if table is None:
            table = self._build(name, size)
            self._tables[key] = table
            self._bytes += table.nbytes
            while self._bytes > CACHE_BYTES and len(self._tables) > 1:
                self._bytes -= self._tables.popitem(last=False)[1].nbytes
        self._tables.move_to_end(key)
        return table

    def _build(self, name: bytes, size: int) -> npt.NDArray[np.unsignedinteger]:
        blocks = np.empty((size, 2), np.uint64)
        blocks[:, 0] = np.frombuffer(name, "<u8")[0]
        blocks[:, 1] = np.arange(size)
        tags = self._aes.ecb(blocks)[:, 0]
        return np.argsort(tags, kind="stable").astype(np.uint16 if size <= 1 << 16 else np.uint32)
