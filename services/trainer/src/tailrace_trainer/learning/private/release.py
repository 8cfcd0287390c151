"""Noisy histograms: the only way in which values leave the rows under differential privacy."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]


class Release(NamedTuple):
    """What a column's histograms are made with. Noise comes from the machine's entropy: a seed would undo it."""

    sigma: float
    """Of a release that takes one unit."""
    delta: float
    """The chance that a value which only one row has is found."""
    k: int
    """Entities behind every value, as without noise."""
    rows: int
    rng: np.random.Generator

    def part(self, units: float) -> Release:
        """For a release that takes ``units``."""
        return self._replace(sigma=self.sigma / math.sqrt(units))

    @property
    def threshold(self) -> float:
        """A noisy count that a value of a single row, or of fewer than k, passes with at most ``delta``."""
        return self.k + self.sigma * NormalDist().inv_cdf(1 - self.delta)

    def counts(self, codes: npt.NDArray[np.integer], size: int) -> Floats:
        """Noisy counts per code below ``size``, which was known before the rows were looked at; negative codes do not count."""
        found = np.bincount(codes[codes >= 0], minlength=size).astype(np.float64)
        noisy: Floats = found + self.rng.normal(0, self.sigma, size)
        return noisy

    def found(self, values: pa.Array) -> tuple[pa.Array, Floats, Codes]:
        """Values that pass the threshold, their noisy counts, and each row's place among them (−1: none); no NULLs in, most
        frequent first.
        """
        encoded = pc.dictionary_encode(values)
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        noisy = self.counts(codes, len(encoded.dictionary))
        kept = np.flatnonzero(noisy >= self.threshold)
        kept = kept[np.argsort(-noisy[kept], kind="stable")]
        places = np.full(len(encoded.dictionary), -1, np.int32)
        places[kept] = np.arange(len(kept), dtype=np.int32)
        return (
            encoded.dictionary.take(pa.array(kept)),
            noisy[kept],
            places[codes] if len(codes) else np.zeros(0, np.int32),
        )
