"""Rows that belong to one row of another table: how many there are, how far apart, and what follows what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.quality.columns import Codes, Column, Floats, Rows, codes, numbers, select, size_of, take
from tailrace.quality.distances import column_distance, correlation, total_variation
from tailrace.quality.model import Distance

FOLLOWED_MAX = 4
"""Columns of each kind of which the statistics tell what follows what."""
EVENTS_MIN = 50
"""Pairs of neighbours; with fewer nothing is said of what follows what."""


@dataclass(frozen=True)
class Events:
    """Sampled parents' rows."""

    parents: int
    """Sampled, those without a row too."""
    owner: Codes
    """Of every row: 0 to parents - 1."""
    order: Floats | None
    """What the rows of a parent are ordered by; None: nothing is known of their order."""
    rows: Rows

    @property
    def lengths(self) -> Floats:
        """Rows of each parent."""
        return np.bincount(self.owner, minlength=self.parents).astype(np.float64)


def sequence_distances(real: Events, made: Events) -> tuple[Distance, ...]:
    """All statistics of two sides; empty where one has no parent."""
    if not real.parents or not made.parents:
        return ()
    found = [_lengths(real, made), _childless(real, made)]
    if real.order is None or made.order is None:
        return tuple(found)
    ours, theirs = _Ordered.of(real, real.order), _Ordered.of(made, made.order)
    if min(len(ours.before), len(theirs.before)) < EVENTS_MIN:
        return tuple(found)
    found.append(_distance("gap", ours.gaps, theirs.gaps))
    found.append(_shares("rows at the same moment", ours.gaps == 0, theirs.gaps == 0))
    found.append(_distance("time from first to last", ours.spans, theirs.spans))
    for name in [name for name, column in ours.rows.items() if column.numbers is None][:FOLLOWED_MAX]:
        found += _names(name, ours, theirs)
    for name in [name for name, column in ours.rows.items() if column.numbers is not None][:FOLLOWED_MAX]:
        first, second = (_lag(side, name) for side in (ours, theirs))
        found.append(
            Distance(
                name=f"{name}: correlation with the row before",
                before=first,
                after=second,
                error=abs(first - second) / 2,
            )
        )
    return tuple(found)


def _lengths(real: Events, made: Events) -> Distance:
    return _distance("rows per parent", real.lengths, made.lengths)


def _childless(real: Events, made: Events) -> Distance:
    return _shares("parents without a row", real.lengths == 0, made.lengths == 0)


@dataclass(frozen=True)
class _Ordered:
    """Rows in the order of their parents and moments; ``before`` and ``after`` are the places of neighbours."""

    rows: Rows
    before: Codes
    after: Codes
    gaps: Floats
    spans: Floats

    @staticmethod
    def of(events: Events, order: Floats) -> _Ordered:
        known = np.flatnonzero(np.isfinite(order))
        known = known[np.lexsort((order[known], events.owner[known]))]
        owner, moments = events.owner[known], order[known]
        same = np.flatnonzero(owner[1:] == owner[:-1])
        starts = (
            np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]])) if len(owner) else np.zeros(0, np.int64)
        )
        ends = np.concatenate([starts[1:], [len(owner)]]) - 1 if len(owner) else starts
        return _Ordered(
            take(events.rows, known), same, same + 1, moments[same + 1] - moments[same], moments[ends] - moments[starts]
        )


def _names(name: str, ours: _Ordered, theirs: _Ordered) -> list[Distance]:
    """Whether a value repeats, and the joint table of neighbours."""
    same, joint = [], []
    found = codes(ours.rows[name], theirs.rows[name])
    wide = int(max(side.max(initial=0) for side in found)) + 1
    for side, values in zip((ours, theirs), found, strict=True):
        same.append(values[side.before] == values[side.after])
        joint.append(values[side.before] * wide + values[side.after])
    return [
        _shares(f"{name}: the same as in the row before", *same),
        Distance(name=f"{name}: what follows what", before=None, after=None, error=total_variation(joint[0], joint[1])),
    ]


def _lag(side: _Ordered, name: str) -> float:
    values = side.rows[name].values
    return correlation(values[side.before], values[side.after])


def _distance(name: str, real: Floats, made: Floats) -> Distance:
    return Distance(
        name=name,
        before=float(real.mean()),
        after=float(made.mean()),
        error=column_distance(numbers(real), numbers(made)),
    )


def _shares(name: str, real: npt.NDArray[Any], made: npt.NDArray[Any]) -> Distance:
    ours, theirs = float(np.mean(real)), float(np.mean(made))
    return Distance(name=name, before=ours, after=theirs, error=abs(ours - theirs))


def events_of(parents: Column, owner: Column, order: Column | None, rows: Rows) -> Events:
    """Events from a table file: rows whose parent is not among ``parents`` are left out."""
    ours, theirs = codes(parents, owner)
    _, first = np.unique(ours, return_index=True)
    place = np.full(int(max(ours.max(initial=-1), theirs.max(initial=-1))) + 1, -1, np.int64)
    place[ours[first]] = np.arange(len(first))
    kept = np.flatnonzero((place[theirs] >= 0) & ~owner.missing)
    moments = None if order is None else order.values[kept]
    return Events(
        len(first), place[theirs[kept]], moments, take(select(rows, list(rows)), kept) if size_of(rows) else rows
    )
