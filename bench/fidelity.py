"""How near synthetic rows are to real ones, as papers on tabular synthesis report it: in percent, without what is missing.

The measures are those of ``tailrace quality``; here they get numpy arrays, and a table's kinds from a list. Definitions (TabSyn,
arXiv 2310.09656, and SDMetrics): *Shape* is the mean over columns, *Trend* over pairs. SDMetrics takes the edges of a pair's bins
from each table's own extremes, so that one clipped outlier moves them all: both that and shared edges are given. 0 is best, and
a bootstrap of the real table is what a perfect sampler would reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.quality import learners
from tailrace.quality import nearness as measured
from tailrace.quality.columns import Column as Measured
from tailrace.quality.columns import codes, names, numbers, size_of, some
from tailrace.quality.distances import kolmogorov_smirnov, pair_distances, total_variation

Column = npt.NDArray[Any]
Rows = Mapping[str, Column]


@dataclass(frozen=True)
class Kinds:
    """Which columns are numbers, which are names, and which of them a model is to predict."""

    numbers: tuple[str, ...]
    names: tuple[str, ...]
    target: str


def shape_error(real: Rows, made: Rows, kinds: Kinds) -> float:
    """Mean distance of single columns, in percent."""
    found = [ks(real[c], made[c]) for c in kinds.numbers]
    found += [total_variation(*codes(names(real[c]), names(made[c]))) for c in kinds.names]
    return 100 * float(np.mean(found))


def trend_error(real: Rows, made: Rows, kinds: Kinds, *, shared: bool) -> float:
    """Mean distance of pairs of columns, in percent; ``shared``: both tables cut by the real one's edges."""
    pairs = list(combinations([*kinds.numbers, *kinds.names], 2))
    found = pair_distances(_measured(real, kinds), _measured(made, kinds), pairs)
    return 100 * float(np.mean([pair.shared if shared else pair.own for pair in found]))


def ks(real: Column, made: Column) -> float:
    """The Kolmogorov–Smirnov distance of two columns of numbers; what is missing does not count."""
    ours, theirs = (side[~np.isnan(side)] for side in (real.astype(np.float64), made.astype(np.float64)))
    return kolmogorov_smirnov(ours, theirs)


def detection_auc(real: Rows, made: Rows, kinds: Kinds, seed: int = 0) -> float:
    """AUC of a gradient-boosted classifier that tells real from made rows, three folds; 0.5 is best."""
    return learners.detection_auc(_measured(real, kinds), _measured(made, kinds), seed)


def utility(learn: Rows, check: Rows, kinds: Kinds) -> float:
    """AUC on real held-out rows ``check`` of a gradient-boosted classifier that was fitted to ``learn``."""
    return learners.score(_measured(learn, kinds), _measured(check, kinds), kinds.target)


@dataclass(frozen=True)
class Nearness:
    """Whether made rows are nearer to the rows that were learned than to others of the same number."""

    share: float
    """Percent of made rows that are nearer to a learned row, ties by half; 50 is best."""
    ties: float
    copies: float
    """Percent that equal a learned row."""
    copies_held_out: float
    """Percent that equal a row which was not learned: what chance alone makes."""


def nearness(learned: Rows, held_out: Rows, made: Rows, kinds: Kinds, most: int = 4_000, seed: int = 0) -> Nearness:
    """Distances to the closest record, over some of the made rows."""
    rng = np.random.default_rng(seed)
    sides = [_measured(side, kinds) for side in (learned, held_out)]
    size = min(map(size_of, sides))
    ours, theirs, drawn = (*(some(side, size, rng) for side in sides), some(_measured(made, kinds), most, rng))
    near, equal = measured.nearness(ours, theirs, drawn), measured.copies(ours, theirs, drawn)
    return Nearness(
        100 * near.nearer,
        100 * near.ties,
        100 * equal.learned / equal.rows,
        100 * equal.held_out / equal.rows,
    )


def _measured(rows: Rows, kinds: Kinds) -> dict[str, Measured]:
    found = {c: numbers(rows[c].astype(np.float64)) for c in kinds.numbers}
    return found | {c: names(rows[c]) for c in kinds.names}
