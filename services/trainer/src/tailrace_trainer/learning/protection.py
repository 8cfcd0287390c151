"""Protection of values: nothing that fewer than k distinct entities share is kept.

A quantile of a sample is somebody's own value, so none is stored: every edge and knot is a mean over the values of at least k
distinct entities that are next to each other in rank. Extremes are cut first, to a mean over the k entities that follow the k most
extreme ones, so that a single outlier moves nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Entities:
    """To whom the rows of a column belong: a number per row; None where every row is an entity of its own."""

    ids: Ids | None
    k: int
    """Distinct entities behind everything that is kept."""

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Entities:
        """Of some rows."""
        return Entities(None if self.ids is None else self.ids[rows], self.k)

    def counts(self, codes: npt.NDArray[np.integer], size: int) -> Ids:
        """Distinct entities per code below ``size``; negative codes are nobody's."""
        known = codes >= 0
        if self.ids is None:
            return np.bincount(codes[known], minlength=size).astype(np.int64)
        span = int(self.ids.max(initial=0)) + 1
        pairs = np.unique(codes[known].astype(np.int64) * span + self.ids[known])
        return np.bincount(pairs // span, minlength=size).astype(np.int64)

    def first(self, begin: int, rows: int) -> int:
        """Where the first k distinct entities of rows from ``begin`` end; ``rows`` if there are not so many."""
        if self.ids is None:
            return min(begin + self.k, rows)
        seen: set[int] = set()
        for place in range(begin, rows):
            seen.add(int(self.ids[place]))
            if len(seen) >= self.k:
                return place + 1
        return rows

    def reversed(self) -> Entities:
        """The same, of rows in the opposite order."""
        return Entities(None if self.ids is None else self.ids[::-1], self.k)


def bounds(ordered: Floats, entities: Entities) -> tuple[float, float]:
    """Lowest and highest value to keep of ascending ``ordered``, of at least 2 k distinct entities."""
    return _low(ordered, entities), -_low(-ordered[::-1], entities.reversed())


def _low(ordered: Floats, entities: Entities) -> float:
    rows = len(ordered)
    begin = entities.first(0, rows)
    if entities.first(begin, rows) == rows and begin > 0:
        begin = 0  # too few for a second group: the mean of the first one is still a mean over k
    return float(ordered[begin : entities.first(begin, rows)].mean())


def smoothed(ordered: Floats, entities: Entities, ranks: npt.NDArray[np.int64]) -> Floats:
    """At every rank, the mean over the rows around it, as few as hold k distinct entities; ascending as ``ordered`` is."""
    rows, k = len(ordered), entities.k
    begins = np.clip(ranks - k // 2, 0, max(0, rows - k))
    ends = np.minimum(begins + k, rows)
    if entities.ids is not None:
        for place, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            while len(np.unique(entities.ids[begin:end])) < k and (begin > 0 or end < rows):
                begin, end = max(0, begin - k), min(rows, end + k)
            begins[place], ends[place] = begin, end
    sums = np.concatenate([[0.0], np.cumsum(ordered - ordered[0])])
    means = ordered[0] + (sums[ends] - sums[begins]) / (ends - begins)
    return np.maximum.accumulate(np.clip(means, ordered[0], ordered[-1]))
