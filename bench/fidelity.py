"""How near synthetic rows are to real ones: the measures that papers on tabular synthesis report, in numpy.

Definitions (TabSyn, arXiv 2310.09656, and SDMetrics): *Shape* is the mean over columns of the Kolmogorov–Smirnov distance (numbers)
or the total variation distance (categories); *Trend* the mean over pairs of half the difference of Pearson correlations (two
numbers) or the total variation distance of the joint table, numbers cut into ten bins of equal width. SDMetrics takes the bins'
edges from each table's own extremes, so that one clipped outlier moves them all: both that and shared edges are given. All errors
in percent; 0 is best, and a bootstrap of the real table is what a perfect sampler would reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
Rows = Mapping[str, Column]

BINS = 10


@dataclass(frozen=True)
class Kinds:
    """Which columns are numbers, which are names, and which of them a model is to predict."""

    numbers: tuple[str, ...]
    names: tuple[str, ...]
    target: str


def shape_error(real: Rows, made: Rows, kinds: Kinds) -> float:
    """Mean distance of single columns, in percent."""
    found = [ks(real[c], made[c]) for c in kinds.numbers]
    found += [_tvd(*_codes(real[c], made[c])) for c in kinds.names]
    return 100 * float(np.mean(found))


def trend_error(real: Rows, made: Rows, kinds: Kinds, *, shared: bool) -> float:
    """Mean distance of pairs of columns, in percent; ``shared``: both tables cut by the real one's edges."""
    cut = {c: _binned(real[c].astype(np.float64), made[c].astype(np.float64), shared) for c in kinds.numbers}
    cut |= {c: _codes(real[c], made[c]) for c in kinds.names}
    pairs = [*combinations(kinds.names, 2), *product(kinds.numbers, kinds.names)]
    found = [_tvd(*(_paired(cut[a][side], cut[b][side]) for side in (0, 1))) for a, b in pairs]
    found += [abs(_correlation(real, a, b) - _correlation(made, a, b)) / 2 for a, b in combinations(kinds.numbers, 2)]
    return 100 * float(np.mean(found))


def _correlation(rows: Rows, first: str, second: str) -> float:
    """Over the rows that have both."""
    ours, theirs = rows[first].astype(np.float64), rows[second].astype(np.float64)
    both = ~(np.isnan(ours) | np.isnan(theirs))
    return float(np.corrcoef(ours[both], theirs[both])[0, 1])


def ks(real: Column, made: Column) -> float:
    """The Kolmogorov–Smirnov distance of two columns of numbers; what is missing does not count."""
    real, made = (np.sort(side[~np.isnan(side)]) for side in (real.astype(np.float64), made.astype(np.float64)))
    values = np.concatenate([real, made])
    below = [np.searchsorted(side, values, side="right") / len(side) for side in (real, made)]
    return float(np.abs(below[0] - below[1]).max())


def _codes(real: Column, made: Column) -> tuple[Column, Column]:
    _, codes = np.unique(np.concatenate([real.astype(str), made.astype(str)]), return_inverse=True)
    return codes[: len(real)], codes[len(real) :]


def _binned(real: Column, made: Column, shared: bool) -> tuple[Column, Column]:
    """Bins from 0; a missing value has the one after the last."""
    edges = [np.histogram_bin_edges(side[~np.isnan(side)], BINS) for side in (real, real if shared else made)]
    return np.digitize(real, edges[0]), np.digitize(made, edges[1])


def _paired(first: Column, second: Column) -> Column:
    return first.astype(np.int64) * 1_000_003 + second


def _tvd(real: Column, made: Column) -> float:
    _, codes = np.unique(np.concatenate([real, made]), return_inverse=True)
    size = int(codes.max()) + 1
    shares = [np.bincount(side, minlength=size) / len(side) for side in (codes[: len(real)], codes[len(real) :])]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def detection_auc(real: Rows, made: Rows, kinds: Kinds, seed: int = 0) -> float:
    """AUC of a gradient-boosted classifier that tells real from made rows, three folds; 0.5 is best."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    size = min(_rows(real), _rows(made))
    both = np.concatenate([_matrix(real, made, kinds, side)[:size] for side in (0, 1)])
    truth = np.repeat([1, 0], size)
    found = []
    for learn, check in StratifiedKFold(3, shuffle=True, random_state=seed).split(both, truth):
        model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(both[learn], truth[learn])
        found.append(roc_auc_score(truth[check], model.predict_proba(both[check])[:, 1]))
    return float(np.mean(found))


def utility(learn: Rows, check: Rows, kinds: Kinds) -> float:
    """AUC on real held-out rows ``check`` of a gradient-boosted classifier that was fitted to ``learn``."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    names = [*kinds.numbers, *kinds.names]
    columns = [place for place, name in enumerate(names) if name != kinds.target]
    nominal = [place >= len(kinds.numbers) for place in columns]
    ours, theirs = (_matrix(learn, check, kinds, side)[:, columns] for side in (0, 1))
    positive = np.unique(check[kinds.target].astype(str))[-1]
    model = HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.08, early_stopping=True, random_state=0, categorical_features=nominal
    ).fit(ours, learn[kinds.target].astype(str) == positive)
    return float(roc_auc_score(check[kinds.target].astype(str) == positive, model.predict_proba(theirs)[:, 1]))


def _rows(rows: Rows) -> int:
    return len(next(iter(rows.values())))


def _matrix(first: Rows, second: Rows, kinds: Kinds, side: int) -> npt.NDArray[np.float64]:
    numbers = [(first, second)[side][c].astype(np.float64) for c in kinds.numbers]
    return np.stack([*numbers, *(_codes(first[c], second[c])[side] for c in kinds.names)], axis=1).astype(np.float64)


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
    """Distances to the closest record: L1 on numbers by their range, 2 for every category that differs."""
    rng = np.random.default_rng(seed)
    size = min(_rows(learned), _rows(held_out))
    ours = _some(learned, size, rng)
    theirs, drawn = _some(held_out, size, rng), _some(made, min(most, _rows(made)), rng)
    parts: list[list[Sequence[Column]]] = [[], [], []]
    for c in kinds.numbers:
        span = max(float(np.ptp(learned[c].astype(np.float64))), 1e-12)
        for part, rows in zip(parts, (ours, theirs, drawn), strict=True):
            part.append((rows[c].astype(np.float64) / span).astype(np.float32))
    for c in kinds.names:
        _, codes = np.unique(np.concatenate([t[c].astype(str) for t in (ours, theirs, drawn)]), return_inverse=True)
        for part, codes_of in zip(parts, np.split(codes, [size, 2 * size]), strict=True):
            part.append(codes_of.astype(np.int32))
    near = [_nearest(parts[2], part, len(kinds.numbers)) for part in parts[:2]]
    closer, ties = float((near[0] < near[1]).mean()), float((near[0] == near[1]).mean())
    return Nearness(
        100 * (closer + ties / 2),
        100 * ties,
        100 * float((near[0] < 1e-6).mean()),
        100 * float((near[1] < 1e-6).mean()),
    )


def _some(rows: Rows, size: int, rng: np.random.Generator) -> Rows:
    chosen = rng.permutation(_rows(rows))[:size]
    return {name: column[chosen] for name, column in rows.items()}


def _nearest(drawn: Sequence[Any], among: Sequence[Any], numbers: int) -> npt.NDArray[np.float32]:
    found = []
    for start in range(0, len(drawn[0]), 64):
        distance = np.zeros((min(64, len(drawn[0]) - start), len(among[0])), np.float32)
        for place, (left, right) in enumerate(zip(drawn, among, strict=True)):
            here = left[start : start + 64, None]
            distance += np.abs(here - right) if place < numbers else np.float32(2) * (here != right)
        found.append(distance.min(axis=1))
    return np.concatenate(found)
