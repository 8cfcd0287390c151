"""The privacy gates of a table of made rows: which samples each attack gets, and what is said where one cannot be run."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from tailrace.quality import gates
from tailrace.quality.attacks import membership, singling_out
from tailrace.quality.columns import Rows, select, size_of, some
from tailrace.quality.model import Gate
from tailrace.quality.nearness import copies, nearness

MADE_MAX: Final = 4_000
"""Made rows whose neighbours are looked for: a share of one half is known to within 0.8 %."""
REAL_MAX: Final = 10_000
ATTACKED_MAX: Final = 2_000
COMPARISONS_MAX: Final = 1_500_000_000
"""Made rows · real rows · columns of one search: some ten seconds on one core."""
GUESSES: Final = 500
NO_MODEL: Final = (
    "needs the model, and the destination keeps none of this run that tells (a differentially private one may not)"
)
ROWS_MIN: Final = 200
"""Held-out rows; with fewer no attack is told from chance."""
GROUPS: Final = 3
"""Groups of columns in which distances are measured beside all of them: what is copied in a part hides in the whole."""
GROUP_COLUMNS: Final = 5


class Losses(NamedTuple):
    """What a model says of itself: nats per learned and per held-out row."""

    learned: float
    held_out: float


def privacy_gates(
    learned: Rows, held_out: Rows | None, made: Rows, rng: np.random.Generator, losses: Losses | None = None
) -> tuple[Gate, ...]:
    """All gates, in the order in which they are read."""
    gap = gates.gap_gate(*losses) if losses else gates.unmeasured("gap", NO_MODEL)
    names = ("copies", "nearest", "ratio", "membership", "singling-out")
    if not learned:
        return (*(gates.unmeasured(name, "no column is compared by its values") for name in names), gap)
    if held_out is None:
        return (*(gates.unmeasured(name, gates.NO_HELD_OUT) for name in names), gap)
    size = min(size_of(learned), size_of(held_out))
    if size < ROWS_MIN or size_of(made) < ROWS_MIN:
        return (*(gates.unmeasured(name, f"needs {ROWS_MIN} rows of each kind") for name in names), gap)
    ours, theirs = some(learned, size, rng), some(held_out, size, rng)
    near, ratio = _nearest(ours, theirs, made, rng)
    half = min(size // 2, ATTACKED_MAX)
    mixed = some(theirs, size, rng)
    outsiders, reference = (_slice(mixed, start, half) for start in (0, half))
    attack = membership(some(ours, half, rng), outsiders, reference, some(made, half, rng))
    guesses = singling_out(
        some(ours, REAL_MAX, rng), some(theirs, REAL_MAX, rng), some(made, REAL_MAX, rng), GUESSES, rng
    )
    return (
        gates.copies_gate(copies(ours, theirs, made)),
        near,
        ratio,
        gates.membership_gate(attack),
        gates.singling_out_gate(guesses),
        gap,
    )


def _nearest(learned: Rows, held_out: Rows, made: Rows, rng: np.random.Generator) -> tuple[Gate, Gate]:
    """Distances over all columns, and over groups of them: the worst counts."""
    every = list(learned)
    groups = [every]
    if len(every) > GROUP_COLUMNS:
        groups += [sorted(rng.permutation(every)[:GROUP_COLUMNS].tolist()) for _ in range(GROUPS)]
    found = []
    for wanted in groups:
        size = min(size_of(learned), REAL_MAX)
        drawn = max(ROWS_MIN, min(MADE_MAX, COMPARISONS_MAX // (2 * size * len(wanted))))
        sides = (some(learned, size, rng), some(held_out, size, rng), some(made, drawn, rng))
        found.append(nearness(*(select(side, wanted) for side in sides)))
    return (
        gates.nearest_gate(max(found, key=lambda one: (one.nearer - 0.5) / one.sigma)),
        gates.ratio_gate(max(found, key=lambda one: (one.ratio_nearer - 0.5) / one.sigma)),
    )


def _slice(rows: Rows, start: int, size: int) -> Rows:
    return {name: column.take(np.arange(start, start + size)) for name, column in rows.items()}
