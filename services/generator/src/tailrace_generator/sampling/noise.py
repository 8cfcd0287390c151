"""Uniforms for a block of rows: a function of model, seed and the block's number, and of nothing else."""

from __future__ import annotations

import hashlib

import numpy as np

from tailrace_shared.synthesis.draws import even, independent
from tailrace_shared.synthesis.network import Floats

COUNTER_BITS = 192
"""Philox counts in 256 bits: the block takes the highest 64, so that no two blocks' streams meet."""


class Noise:
    """The uniforms of one block, to be asked for in a fixed order."""

    def __init__(self, model: str, seed: int, block: int, rows: int, *, stratified: bool = True) -> None:
        digest = hashlib.blake2b(f"{model}/{seed}".encode("ascii"), digest_size=16).digest()
        key = np.frombuffer(digest, "<u8")
        self.generator = np.random.Generator(np.random.Philox(key=key, counter=block << COUNTER_BITS))
        self.rows = rows
        self._way = even if stratified else independent

    def uniforms(self) -> Floats:
        """One per row, in (0, 1]; stratified over the block unless told otherwise."""
        return self.draw(self.rows)

    def draw(self, rows: int) -> Floats:
        """As many as are asked for; stratified over themselves."""
        return self._way(self.generator, rows)
