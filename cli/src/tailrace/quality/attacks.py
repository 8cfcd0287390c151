"""Attacks that an outsider with the made rows could run, counted against rows that were never learned.

Distances alone prove little: tables pass them and still give members away ("The DCR Delusion", arXiv 2505.01524). So a
membership attack after DOMIAS (arXiv 2302.12580) and singling out after Anonymeter (arXiv 2211.10459), both written anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

from tailrace.quality.columns import Floats, Rows, codes, size_of
from tailrace.quality.nearness import Space

FALSE_POSITIVES = 0.01
"""Rate at which the membership attack is told: an attacker who accuses one outsider in a hundred."""
OUTLIER_SHARE = 0.02
OUTLIERS_MIN = 20
SMALLEST = 1e-3
"""Added to distances: a share of one column's range, below which two rows are the same to the attacker."""
CONFIDENCE_Z = 1.96
COLUMNS_PER_GUESS = 8
GUESSES_TRIED = 20
"""Per guess that is wanted: how many are looked at to find one that singles out a made row."""


@dataclass(frozen=True)
class Membership:
    """How well a guess "this row was learned from" does; 0.5 and 0.01 are what blind guessing reaches."""

    members: int
    outsiders: int
    auc: float
    caught: float
    """Share of members that are recognised at a false positive rate of 1 %."""
    outliers_auc: float
    """The same AUC over the members that lie farthest from everybody else."""


def membership(members: Rows, outsiders: Rows, reference: Rows, made: Rows) -> Membership:
    """Density ratio: a row is taken for a member when made rows are nearer to it than rows of the same population are.

    ``reference`` are held-out rows that are neither members nor outsiders; ``made`` is cut to as many.
    """
    space = Space.of(members, outsiders, reference, made)
    scores, far = [], []
    for side in (0, 1):
        normal, drawn = space.two_nearest(side, 2)[0], space.two_nearest(side, 3)[0]
        scores.append((np.log(normal + SMALLEST) - np.log(drawn + SMALLEST)).astype(np.float64))
        far.append(normal)
    outliers = np.argsort(far[0])[::-1][: max(OUTLIERS_MIN, int(len(far[0]) * OUTLIER_SHARE))]
    beyond = far[1] >= far[0][outliers].min() if len(outliers) else np.zeros(0, bool)
    others = scores[1][beyond] if beyond.any() else scores[1]
    return Membership(
        len(scores[0]),
        len(scores[1]),
        rank_auc(scores[0], scores[1]),
        caught_at(scores[0], scores[1], FALSE_POSITIVES),
        rank_auc(scores[0][outliers], others),
    )


def rank_auc(positive: Floats, negative: Floats) -> float:
    """Probability that a positive scores above a negative, ties by half (Mann–Whitney)."""
    if not len(positive) or not len(negative):
        return 0.5
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left") + np.searchsorted(ordered, positive, side="right")
    return float(below.mean() / 2 / len(negative))


def caught_at(positive: Floats, negative: Floats, rate: float) -> float:
    """True positive rate at a false positive rate; between two thresholds along the line, as the ROC curve has it."""
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    ups, downs = np.sort(positive), np.sort(negative)
    caught = 1 - np.searchsorted(ups, thresholds, side="left") / len(ups)
    false = 1 - np.searchsorted(downs, thresholds, side="left") / len(downs)
    return float(np.interp(rate, np.concatenate([[0.0], false]), np.concatenate([[0.0], caught])))


@dataclass(frozen=True)
class SinglingOut:
    """Guesses that fit exactly one row, made from the made rows alone."""

    guesses: int
    hits: int
    """That single out a learned row."""
    hits_held_out: int
    """That single out a row which was not learned: what guessing from the population reaches."""

    @property
    def risk(self) -> float:
        """What the made rows add to guessing, as a share of what was left to gain (Anonymeter)."""
        ours, theirs = self.hits / max(1, self.guesses), self.hits_held_out / max(1, self.guesses)
        return max(0.0, (ours - theirs) / (1 - theirs)) if theirs < 1 else 0.0

    @property
    def lowest(self) -> float:
        """Lower end of the risk's 95 % interval (two Wilson intervals' distance)."""
        ours, theirs = wilson(self.hits, self.guesses), wilson(self.hits_held_out, self.guesses)
        return max(0.0, (ours[0] - theirs[1]) / (1 - theirs[1])) if theirs[1] < 1 else 0.0


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion; (0, 1) without a trial."""
    if not trials:
        return 0.0, 1.0
    share, z2 = hits / trials, CONFIDENCE_Z**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = CONFIDENCE_Z * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)) / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def singling_out(learned: Rows, held_out: Rows, made: Rows, guesses: int, rng: np.random.Generator) -> SinglingOut:
    """Conditions that fit exactly one made row, asked of as many learned and held-out rows.

    A condition takes a made row's own values in some columns drawn at random: equal for a name, at least or
    at most for a number, whichever side is thinner. Each is used once.
    """
    sides = [_Coordinates.of(learned, held_out, made, place) for place in range(3)]
    width, rows = len(sides[0].columns), size_of(made)
    if not width or not rows:
        return SinglingOut(0, 0, 0)
    middles = [float(np.median(column)) for column in sides[2].columns]
    found = [0, 0, 0]
    seen: set[tuple[tuple[int, float], ...]] = set()
    for _ in range(guesses * GUESSES_TRIED):
        if found[2] >= guesses:
            break
        row = int(rng.integers(rows))
        size = int(rng.integers(1, COLUMNS_PER_GUESS + 1))
        chosen = sorted(rng.permutation(width)[:size].tolist())
        condition = tuple((place, float(sides[2].columns[place][row])) for place in chosen)
        if condition in seen or sides[2].fits(condition, middles) != 1:
            continue
        seen.add(condition)
        found[2] += 1
        found[0] += sides[0].fits(condition, middles) == 1
        found[1] += sides[1].fits(condition, middles) == 1
    return SinglingOut(found[2], found[0], found[1])


@dataclass(frozen=True)
class _Coordinates:
    """A side's columns as numbers, and which of them are names."""

    columns: list[npt.NDArray[np.float64]]
    nominal: list[bool]

    @staticmethod
    def of(learned: Rows, held_out: Rows, made: Rows, place: int) -> _Coordinates:
        columns, nominal = [], []
        for name, column in learned.items():
            side = (learned, held_out, made)[place]
            if column.numbers is None:
                columns.append(codes(column, held_out[name], made[name])[place].astype(np.float64))
            else:
                columns.append(np.where(side[name].missing, -np.inf, side[name].values))
            nominal.append(column.numbers is None)
        return _Coordinates(columns, nominal)

    def fits(self, condition: tuple[tuple[int, float], ...], middles: list[float]) -> int:
        """How many rows fulfil it."""
        fitting: npt.NDArray[np.bool_] | None = None
        for place, value in condition:
            column = self.columns[place]
            above = not self.nominal[place] and value > middles[place]
            here = column == value if self.nominal[place] else column >= value if above else column <= value
            fitting = here if fitting is None else fitting & here
        return 0 if fitting is None else int(fitting.sum())
