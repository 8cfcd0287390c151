"""What needs a gradient-boosted model: telling source from destination, and learning from one to predict the other.

scikit-learn comes with the extra ``report`` alone; the rest of a report is made without it.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from tailrace.quality.columns import Column, Floats, Rows, codes, size_of, take
from tailrace.quality.model import Usefulness

FOLDS = 3
TREES_DETECTION = 100
TREES_UTILITY = 200
LEARNING_RATE = 0.08
CATEGORIES_MAX = 255
"""Of a nominal column in scikit-learn's gradient boosting."""
CLASSES_MAX = 20
MINORITY_MIN = 0.02
TARGETS_TRIED = 3
MISSING_REMEDY = "pip install 'tailrace[report]' measures it"


def available() -> bool:
    """Whether scikit-learn is installed."""
    return find_spec("sklearn") is not None


def detection_auc(real: Rows, made: Rows, seed: int = 0) -> float:
    """AUC of a classifier that tells real from made rows, over three folds; 0.5 is best, 1 is worst."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    size = min(size_of(real), size_of(made))
    both = np.concatenate([side[:size] for side in _matrices(real, made)])
    truth = np.repeat([1, 0], size)
    found = []
    for learn, check in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(both, truth):
        model = HistGradientBoostingClassifier(max_iter=TREES_DETECTION, random_state=0).fit(both[learn], truth[learn])
        found.append(roc_auc_score(truth[check], model.predict_proba(both[check])[:, 1]))
    return float(np.mean(found))


def usefulness(real: Rows, made: Rows, check: Rows, target: str) -> Usefulness:
    """How well ``target`` is predicted on real rows ``check`` by a model learned from ``made``, and by one from ``real``."""
    numeric = real[target].numbers is not None
    scores = [score(side, check, target) for side in (real, made)]
    ratio = scores[1] / scores[0] if scores[0] > 0 else 0.0
    return Usefulness(target=target, measure="R2" if numeric else "AUC", real=scores[0], made=scores[1], ratio=ratio)


def score(learn: Rows, check: Rows, target: str) -> float:
    """Of a model learned from ``learn`` on the rows ``check``: R² of a number, AUC of a name, the mean over all values but one."""
    return (_classified if learn[target].numbers is None else _regressed)(learn, check, target)


def best_target(real: Rows, check: Rows) -> str | None:
    """The column with few values, all of them frequent, that is predicted best, of the last ones; None where there is none."""
    fitting = [name for name, column in real.items() if column.kind == "name" and _balanced(column)]
    return max(fitting[-TARGETS_TRIED:], key=lambda name: score(real, check, name), default=None)


def _balanced(column: Column) -> bool:
    counts = np.bincount(codes(column)[0])
    return 2 <= len(counts) <= CLASSES_MAX and counts.min() >= MINORITY_MIN * len(column)


def _classified(learn: Rows, check: Rows, target: str) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    given, asked, nominal = _features(learn, check, target)
    truth, wanted = codes(learn[target], check[target])
    if len(np.unique(truth)) < 2:
        return 0.5
    model = HistGradientBoostingClassifier(
        max_iter=TREES_UTILITY,
        learning_rate=LEARNING_RATE,
        early_stopping=True,
        random_state=0,
        categorical_features=nominal,
    ).fit(given, truth)
    said = model.predict_proba(asked)
    found = []
    for place, label in enumerate(model.classes_):
        here = wanted == label
        if here.any() and not here.all():
            found.append(roc_auc_score(here, said[:, place]))
            if len(model.classes_) == 2:
                break
    return float(np.mean(found)) if found else 0.5


def _regressed(learn: Rows, check: Rows, target: str) -> float:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.metrics import r2_score

    learn, check = (take(side, np.flatnonzero(np.isfinite(side[target].values))) for side in (learn, check))
    given, asked, nominal = _features(learn, check, target)
    model = HistGradientBoostingRegressor(
        max_iter=TREES_UTILITY,
        learning_rate=LEARNING_RATE,
        early_stopping=True,
        random_state=0,
        categorical_features=nominal,
    ).fit(given, learn[target].values)
    return float(r2_score(check[target].values, model.predict(asked)))


def _features(learn: Rows, check: Rows, target: str) -> tuple[Floats, Floats, list[bool]]:
    kept = [name for name in learn if name != target]
    given, asked = _matrices({n: learn[n] for n in kept}, {n: check[n] for n in kept})
    most = np.fmax.reduce([*given, *asked], initial=0)
    nominal = [learn[name].numbers is None and high < CATEGORIES_MAX for name, high in zip(kept, most, strict=True)]
    return given, asked, nominal


def _matrices(first: Rows, second: Rows) -> tuple[Floats, Floats]:
    sides: tuple[list[Any], list[Any]] = ([], [])
    for name, column in first.items():
        for side, found in zip(sides, _values(column, second[name]), strict=True):
            side.append(found)
    return np.stack(sides[0], axis=1), np.stack(sides[1], axis=1)


def _values(first: Column, second: Column) -> tuple[Floats, Floats]:
    """Numbers as they are, infinities as missing; names by their codes."""
    if first.numbers is None:
        ours, theirs = codes(first, second)
        return ours.astype(np.float64), theirs.astype(np.float64)
    finite = [np.where(np.isfinite(side.values), side.values, np.nan) for side in (first, second)]
    return finite[0], finite[1]
