"""What a report shows of a column: aggregates over at least k rows, so that nobody's own value can be read from it.

A quantile is one row's value, and so are an extreme, a bin's edge and a rare name: here they are means over k neighbours rounded to
three digits, the k-th extreme, or not there. Names of masked columns are not shown at all.
"""

from __future__ import annotations

from math import floor, log10

import numpy as np
import pyarrow.compute as pc

from tailrace.quality.columns import Codes, Column, Floats, codes
from tailrace.quality.model import Bars, Summary

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 24
NAMES_SHOWN = 12
REST = "others"
LABEL_CHARS = 40
DIGITS = 3
WIDEST = 1e300
"""Beyond this no bars can be cut in float8."""


def summary(column: Column, k: int) -> Summary:
    """One side of a column, as far as at least k rows stand behind it."""
    missing = column.missing
    present = len(column) - int(missing.sum())
    nulls = float(missing.mean()) if len(column) else 0.0
    distinct = len(np.unique(codes(column)[0][~missing]))
    if column.numbers is None:
        if present < k or column.texts is None:
            return Summary(nulls=nulls, distinct=distinct)
        return Summary(
            nulls=nulls, distinct=distinct, length=rounded(float(pc.mean(pc.utf8_length(column.texts)).as_py()))
        )
    values = np.sort(column.values[np.isfinite(column.values)])
    if len(values) < k:
        return Summary(nulls=nulls, distinct=distinct)
    inner = values[k - 1 : len(values) - k + 1] if len(values) >= 2 * k else values
    with np.errstate(over="ignore", invalid="ignore"):
        centre, spread = float(inner.mean()), float(inner.std())
        quantiles = [around(values, share, k) for share in QUANTILES]
    if not np.isfinite([centre, spread, *quantiles]).all():  # near the end of float8
        return Summary(nulls=nulls, distinct=distinct)
    return Summary(
        nulls=nulls,
        distinct=distinct,
        mean=rounded(centre),
        spread=rounded(spread),
        quantiles=tuple(map(rounded, quantiles)),
    )


def around(values: Floats, share: float, k: int) -> float:
    """The mean of the k sorted values nearest to a quantile's place."""
    start = int(np.clip(round(share * (len(values) - 1)) - k // 2, 0, max(0, len(values) - k)))
    return float(values[start : start + k].mean())


def rounded(value: float) -> float:
    """To three significant digits; whole moments keep their year that way (the span does not: see ``bars``)."""
    if not np.isfinite(value) or value == 0:
        return 0.0 if value == 0 else float(value)
    if abs(value) >= 1e8:  # a moment in seconds: to the hour
        return float(round(value / 3600) * 3600)
    return round(value, DIGITS - 1 - floor(log10(abs(value))))


def bars(before: Column, after: Column, k: int, *, hidden: bool) -> Bars | None:
    """Both distributions side by side, of numbers, moments and names; None where too few rows stand behind them."""
    if before.kind == "opaque":
        return None
    return _names(before, after, k, hidden=hidden) if before.numbers is None else _histogram(before, after, k)


def _histogram(before: Column, after: Column, k: int) -> Bars | None:
    values = [np.sort(side.values[np.isfinite(side.values)]) for side in (before, after)]
    if min(map(len, values)) < 2 * k:
        return None
    low, high = (min(v[k - 1] for v in values), max(v[-k] for v in values))
    if not high > low or high - low > WIDEST:
        return None
    whole = all(np.equal(np.mod(v, 1), 0).all() for v in values)
    bins = int(min(BINS, high - low + 1)) if whole else BINS
    edges = (
        np.linspace(low - 0.5, high + 0.5, bins + 1)
        if whole and bins == high - low + 1
        else np.linspace(low, high, bins + 1)
    )
    counts = [
        np.bincount(np.clip(np.searchsorted(edges, v, side="right") - 1, 0, bins - 1), minlength=bins) for v in values
    ]
    shares = [_kept(counts[side], counts[0], len((before, after)[side]), k) for side in (0, 1)]
    return Bars(edges=tuple(_edge(edge, edges) for edge in edges), before=shares[0], after=shares[1])


def _edge(edge: float, edges: Floats) -> float:
    """Rounded to a hundredth of a bar: exact values of rows are of no use in a picture."""
    width = float(edges[1] - edges[0]) / 100
    step = 10.0 ** floor(log10(width))
    return float(np.round(edge / step) * step)


def _names(before: Column, after: Column, k: int, *, hidden: bool) -> Bars | None:
    ours, theirs = codes(before, after)
    if hidden:
        return _profile(ours[~before.missing], theirs[~after.missing], k, len(before), len(after))
    size = int(max(ours.max(initial=0), theirs.max(initial=0))) + 1
    counts = [np.bincount(side, minlength=size) for side in (ours, theirs)]
    shown = [code for code in np.argsort(-counts[0], kind="stable")[:NAMES_SHOWN] if counts[0][code] >= k]
    if not shown:
        return None
    labels = [_label(before, ours, code) for code in shown]
    picked = [[int(side[code]) for code in shown] for side in counts]
    rest = [len(side) - sum(found) for side, found in zip((ours, theirs), picked, strict=True)]
    if any(rest):
        labels.append(REST)
        picked = [[*found, left] for found, left in zip(picked, rest, strict=True)]
    shares = [
        _kept(np.array(found), np.array(picked[0]), len(side), k)
        for found, side in zip(picked, (ours, theirs), strict=True)
    ]
    return Bars(labels=tuple(labels), before=shares[0], after=shares[1])


def _profile(ours: Codes, theirs: Codes, k: int, rows: int, made: int) -> Bars | None:
    """The most frequent values by rank, without saying which they are."""
    counts = [
        np.sort(np.bincount(side))[::-1][:NAMES_SHOWN] if len(side) else np.zeros(0, np.int64)
        for side in (ours, theirs)
    ]
    size = int((counts[0] >= k).sum())
    if not size:
        return None
    padded = [np.pad(found, (0, NAMES_SHOWN))[:size] for found in counts]
    before, after = (_kept(found, padded[0], total, k) for found, total in zip(padded, (rows, made), strict=True))
    return Bars(before=before, after=after)


def _kept(counts: Codes, source: Codes, rows: int, k: int) -> tuple[float | None, ...]:
    """Shares; None where fewer than k rows of either side stand behind one and it is not empty."""
    return tuple(
        None if 0 < count < k or 0 < ours < k else float(count) / max(1, rows)
        for count, ours in zip(counts, source, strict=True)
    )  # fmt: skip


def _label(column: Column, found: Codes, code: int) -> str:
    place = int(np.flatnonzero(found == code)[0])
    value: str | None = column.texts[place].as_py() if column.texts is not None else None
    if value is None:
        return "NULL"
    return value if len(value) <= LABEL_CHARS else value[: LABEL_CHARS - 1] + "…"
