"""How far two columns, or two pairs of columns, are from each other. All distances lie between 0 (the same) and 1.

Definitions as in SDMetrics (MIT) and the papers that use it: the Kolmogorov–Smirnov statistic of numbers, the total variation
distance of names, for pairs the distance of the joint table with numbers cut into ten bins of equal width, or half the
difference of two Pearson correlations. NULL counts as a value of its own, below every number: where there is none, the results
equal those of SDMetrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from tailrace.quality.columns import Codes, Column, Floats, Rows, codes

BINS = 10
"""Of a number that is one side of a pair; what the published figures were made with."""
CELLS_MAX = 1 << 22
"""Of a joint table that is counted in an array; larger ones are counted by sorting."""


def column_distance(real: Column, made: Column) -> float:
    """Kolmogorov–Smirnov of numbers and moments, total variation of anything else."""
    if not len(real) or not len(made):
        return 0.0 if len(real) == len(made) else 1.0
    if real.numbers is not None:
        return kolmogorov_smirnov(real.values, made.values)
    return total_variation(*codes(real, made))


def kolmogorov_smirnov(real: Floats, made: Floats) -> float:
    """The largest difference of the two distribution functions; NaN lies below every number."""
    sides = [np.sort(np.where(np.isnan(side), -np.inf, side)) for side in (real, made)]
    values = np.concatenate(sides)
    below = [np.searchsorted(side, values, side="right") / len(side) for side in sides]
    return float(np.abs(below[0] - below[1]).max())


def total_variation(real: Codes, made: Codes) -> float:
    """Half the sum of the differences of all shares."""
    if int(max(real.max(initial=0), made.max(initial=0))) >= CELLS_MAX:
        _, both = np.unique(np.concatenate([real, made]), return_inverse=True)
        real, made = both[: len(real)], both[len(real) :]
    size = int(max(real.max(), made.max())) + 1
    shares = [np.bincount(side, minlength=size) / len(side) for side in (real, made)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def profile_distance(real: Column, made: Column) -> float:
    """Total variation of the shares sorted by size, NULL apart: what is left of a column when its values are renamed."""
    shares = []
    for side in (real, made):
        counts = (
            np.bincount(codes(side.take(np.flatnonzero(~side.missing)))[0]) if not side.missing.all() else np.zeros(0)
        )
        shares.append(np.concatenate([[side.missing.sum()], np.sort(counts)[::-1]]) / max(1, len(side)))
    size = max(map(len, shares))
    padded = [np.pad(share, (0, size - len(share))) for share in shares]
    return float(np.abs(padded[0] - padded[1]).sum() / 2)


class Pair(NamedTuple):
    """Two columns and how differently they go together."""

    first: str
    second: str
    own: float
    """With the bins of each side's own extremes, as SDMetrics has it: one clipped outlier moves them all."""
    shared: float
    """With the real side's bins on both."""


def pairs_of(wanted: Sequence[str], most: int, seed: int) -> list[tuple[str, str]]:
    """All pairs of columns; where there are more than ``most``, that many of them, drawn."""
    every = list(combinations(wanted, 2))
    if len(every) <= most:
        return every
    chosen = np.random.default_rng(seed).permutation(len(every))[:most]
    return [every[place] for place in sorted(chosen)]


def pair_distances(real: Rows, made: Rows, pairs: Sequence[tuple[str, str]]) -> Iterator[Pair]:
    """Every pair's distance, own and shared bins."""
    cut = _Cut(real, made)
    for first, second in pairs:
        if real[first].numbers is not None and real[second].numbers is not None:
            ours, theirs = (correlation(side[first].values, side[second].values) for side in (real, made))
            found = abs(ours - theirs) / 2
            yield Pair(first, second, found, found)
        else:
            own, shared = (_joint(cut.of(first, way), cut.of(second, way)) for way in (False, True))
            yield Pair(first, second, own, shared)


def correlation(first: Floats, second: Floats) -> float:
    """Pearson's, over the rows in which both are finite; 0 where one does not vary."""
    both = np.isfinite(first) & np.isfinite(second)
    a, b = first[both], second[both]
    if len(a) < 2:
        return 0.0
    with np.errstate(all="ignore"):
        a, b = a - a.mean(), b - b.mean()
        scale = float(np.sqrt((a * a).sum()) * np.sqrt((b * b).sum()))
        return float((a * b).sum() / scale) if np.isfinite(scale) and scale > 0 else 0.0


class _Cut:
    """Columns as codes of both sides, each cut once."""

    def __init__(self, real: Rows, made: Rows) -> None:
        self._sides = (real, made)
        self._known: dict[tuple[str, bool], tuple[Codes, Codes]] = {}

    def of(self, name: str, shared: bool) -> tuple[Codes, Codes]:
        real, made = (side[name] for side in self._sides)
        if real.numbers is None:
            shared = True
        if (name, shared) not in self._known:
            if real.numbers is None:
                found = codes(real, made)
            else:
                edges = _edges(real.values), _edges((real if shared else made).values)
                found = (_binned(real.values, edges[0]), _binned(made.values, edges[1]))
            self._known[name, shared] = (found[0], found[1])
        return self._known[name, shared]


def _edges(values: Floats) -> Floats:
    finite = values[np.isfinite(values)]
    return np.histogram_bin_edges(finite, BINS) if len(finite) else np.zeros(1)


def _binned(values: Floats, edges: Floats) -> Codes:
    """Bins from 1 on; 0 lies below, and NULL is a bin of its own."""
    places = np.digitize(values, edges)
    return np.where(np.isnan(values), len(edges) + 1, places).astype(np.int64)


def _joint(first: tuple[Codes, Codes], second: tuple[Codes, Codes]) -> float:
    if not len(first[0]) or not len(first[1]):
        return 0.0
    wide = int(max(second[0].max(), second[1].max())) + 1
    return total_variation(first[0] * wide + second[0], first[1] * wide + second[1])
