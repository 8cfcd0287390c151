"""Numbers as atoms and bins: few values as themselves, many as a quantile function of protected knots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tailrace_shared.synthesis import Number
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_trainer.learning.protection import Codes, Entities, Floats, bounds, smoothed

DISCRETE_MAX = 128
"""Values of a column up to which each is a code."""
DISCRETE_SHARE = 0.98
"""Rows that such values must cover; the rest moves to the nearest one."""
ATOM_SHARE = 1 / 200
ATOM_ROWS = 20
DIGITS_MAX = 9
"""Decimal places that a float is checked for; beyond, any value goes."""
EXACT_INTEGERS = 2.0**53


class Resolution(NamedTuple):
    """How finely numbers are cut."""

    bins: int
    cells: int


NARROW = Resolution(48, 16)
WIDE = Resolution(32, 8)
"""For tables of more than 40 columns."""


class LearnedNumber(NamedTuple):
    """A number, its tensors by part, and the codes of its tokens (−1 where not live)."""

    number: Number
    tensors: dict[str, Tensor]
    codes: tuple[Codes, ...]
    ranks: tuple[Floats, ...]
    """Per token, where each of its codes lies between lowest (0) and highest (1): the network starts from it."""


def learn_number(
    values: Floats, entities: Entities, resolution: Resolution, rng: np.random.Generator, tolerance: float = 1e-9
) -> LearnedNumber:
    """Learn finite ``values`` of at least k distinct entities. ``tolerance`` is the relative error that a float's type brings."""
    step = step_of(values, tolerance)
    distinct, codes = np.unique(values, return_inverse=True)
    counts = entities.counts(codes, len(distinct))
    kept = distinct[counts >= entities.k]
    rows = np.bincount(codes, minlength=len(distinct))
    if 0 < len(kept) <= DISCRETE_MAX and rows[counts >= entities.k].sum() >= DISCRETE_SHARE * len(values):
        return _discrete(values, kept, step)
    frequent = rows >= max(len(values) * ATOM_SHARE, ATOM_ROWS)
    atoms = distinct[frequent & (counts >= entities.k)]
    rest = ~np.isin(values, atoms)
    if len(np.unique(rest.nonzero()[0] if entities.ids is None else entities.ids[rest])) < 2 * entities.k:
        # too few are between the atoms for a bin: they move to the nearest one, or all become their mean
        return _discrete(values, atoms if len(atoms) else np.array([values.mean()]), step)
    return _binned(values, atoms, rest, entities, resolution, step, rng)


def step_of(values: Floats, tolerance: float = 1e-9) -> float:
    """What all values are multiples of: the last decimal place, or more (whole minutes, hundreds); 0 for no such thing."""
    slack = tolerance * np.maximum(1.0, np.abs(values))
    for digits in range(DIGITS_MAX + 1):
        scaled = values * 10.0**digits
        if np.abs(scaled).max(initial=0.0) >= EXACT_INTEGERS:
            return 1.0 if digits == 0 and (np.rint(values) == values).all() else 0.0
        whole = np.rint(scaled)
        if (np.abs(whole - scaled) <= slack * 10.0**digits).all():
            shared = int(np.gcd.reduce(np.unique(np.abs(whole)).astype(np.int64), initial=0))
            return max(shared, 1) / 10.0**digits
    return 0.0


def nearest(values: Floats, kept: Floats) -> Codes:
    """The place of the nearest of ascending ``kept``."""
    right = np.clip(np.searchsorted(kept, values), 1, max(1, len(kept) - 1))
    left = right - 1
    if len(kept) == 1:
        return np.zeros(len(values), np.int32)
    return np.where(values - kept[left] <= kept[right] - values, left, right).astype(np.int32)


def _discrete(values: Floats, kept: Floats, step: float) -> LearnedNumber:
    number = Number(atoms=len(kept), bins=0, cells=1, step=step)
    return LearnedNumber(number, {"atoms": kept}, (nearest(values, kept),), (_spread(len(kept)),))


def _binned(
    values: Floats,
    atoms: Floats,
    rest: np.ndarray[tuple[int], np.dtype[np.bool_]],
    entities: Entities,
    resolution: Resolution,
    step: float,
    rng: np.random.Generator,
) -> LearnedNumber:
    at, mine = np.flatnonzero(rest), entities.take(rest)
    order = np.lexsort((rng.random(len(at)), values[at]))  # ties in random order: their cells are then even
    ordered, mine = values[at][order], mine.take(order)
    low, high = bounds(ordered, mine)
    ordered = np.clip(ordered, low, high)
    starts = _starts(ordered, mine, min(resolution.bins, max(2, round(resolution.bins * len(at) / len(values)))))
    bins, ends = len(starts), np.append(starts[1:], len(ordered))
    gaps = int(np.clip((ends - starts).min() // entities.k, 1, 2 * resolution.cells))
    cells = _cells(gaps)
    gaps = gaps // cells * cells
    ranks = np.rint(starts[:, None] + (ends - starts)[:, None] * np.arange(gaps + 1) / gaps).astype(np.int64)
    knots = smoothed(ordered, mine, ranks.ravel()).reshape(bins, gaps + 1)
    place = np.arange(len(ordered))
    of_bin = (np.searchsorted(starts, place, side="right") - 1).astype(np.int32)
    cell = ((place - starts[of_bin]) * cells // (ends - starts)[of_bin]).astype(np.int32)
    coarse, fine = np.empty(len(values), np.int32), np.full(len(values), -1, np.int32)
    coarse[at[order]], fine[at[order]] = len(atoms) + of_bin, cell
    if len(atoms):
        coarse[~rest] = np.searchsorted(atoms, values[~rest])
    middle = np.concatenate([atoms, knots[:, gaps // 2]])
    tensors: dict[str, Tensor] = {"knots": knots} | ({"atoms": atoms} if len(atoms) else {})
    return LearnedNumber(
        Number(atoms=len(atoms), bins=bins, cells=cells, step=step),
        tensors,
        (coarse, fine),
        (np.argsort(np.argsort(middle)) / max(1, len(middle) - 1), _spread(cells)),
    )


def _cells(gaps: int) -> int:
    """As many cells as halve the gaps, or one."""
    return max(1, gaps // 2)


def _starts(ordered: Floats, entities: Entities, bins: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """First ranks of bins of about equal mass that never split equal values, each with at least 2 k distinct entities."""
    targets = ordered[len(ordered) * np.arange(bins) // bins]
    starts = np.unique(np.searchsorted(ordered, targets, side="left")).astype(np.int64)
    kept = [0]
    for start, end in zip(starts[1:].tolist(), [*starts[2:].tolist(), len(ordered)], strict=True):
        if _distinct(entities, kept[-1], start) >= 2 * entities.k and _distinct(entities, start, end) >= 2 * entities.k:
            kept.append(start)
    return np.array(kept, np.int64)


def _distinct(entities: Entities, begin: int, end: int) -> int:
    return end - begin if entities.ids is None else len(np.unique(entities.ids[begin:end]))


def _spread(size: int) -> Floats:
    return np.linspace(0.0, 1.0, size)
