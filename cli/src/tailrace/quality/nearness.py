"""Whether made rows are nearer to the rows that were learned than to others: copies, distances to closest records, their ratios.

The distance is L1: numbers by the range of the learned ones, 2 for a name that differs (as one-hot encoded columns give). A
share of made rows that are nearer to a learned row counts ties by half, so that it is 50 % where nothing was memorised also in
tables with many equal rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from tailrace.quality.columns import Rows, codes, row_codes, size_of

Floats32 = npt.NDArray[np.float32]
BLOCK_ROWS = 64
"""Made rows compared at a time: their distances to all others stay in the cache."""
NAME_DIFFERS = np.float32(2)


@dataclass(frozen=True)
class Space:
    """Rows as coordinates."""

    numbers: tuple[npt.NDArray[Any], ...]
    """Per side: columns × rows, float32."""
    names: tuple[npt.NDArray[Any], ...]
    """The same, int32."""

    @staticmethod
    def of(*sides: Rows) -> Space:
        """The sides in one space; the first one's range is the scale."""
        scaled: list[list[Floats32]] = [[] for _ in sides]
        coded: list[list[npt.NDArray[np.int32]]] = [[] for _ in sides]
        for name, first in sides[0].items():
            columns = [side[name] for side in sides]
            if first.numbers is None:
                for place, found in enumerate(codes(*columns)):
                    coded[place].append(found.astype(np.int32))
                continue
            finite = first.values[np.isfinite(first.values)]
            low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
            middle = float(np.median(finite)) if len(finite) else 0.0
            some_missing = any(bool(column.missing.any()) for column in columns)
            for place, column in enumerate(columns):
                # A value far beyond the range stays two ranges away: infinities must not swallow the other columns.
                span = max(high - low, 1e-12)
                inside = np.clip(np.where(column.missing, middle, column.values), low - 2 * span, high + 2 * span)
                scaled[place].append(((inside - low) / span).astype(np.float32))
                if some_missing:
                    scaled[place].append(column.missing.astype(np.float32))
        shapes = [size_of(side) for side in sides]
        return Space(
            tuple(_stacked(found, rows, np.float32) for found, rows in zip(scaled, shapes, strict=True)),
            tuple(_stacked(found, rows, np.int32) for found, rows in zip(coded, shapes, strict=True)),
        )

    def two_nearest(self, of: int, among: int) -> tuple[Floats32, Floats32]:
        """Per row of side ``of`` the distances to its nearest and second nearest row of side ``among`` (two rows at least)."""
        first, second = [], []
        for start in range(0, self.numbers[of].shape[1], BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            found = np.partition(self._distances(of, block, among), 1, axis=1)
            first.append(found[:, 0])
            second.append(found[:, 1])
        return np.concatenate(first), np.concatenate(second)

    def _distances(self, of: int, block: slice, among: int) -> Floats32:
        rows = len(range(*block.indices(self.numbers[of].shape[1])))
        found = np.zeros((rows, self.numbers[among].shape[1]), np.float32)
        for mine, theirs in zip(self.numbers[of], self.numbers[among], strict=True):
            found += np.abs(mine[block, None] - theirs)
        for mine_codes, their_codes in zip(self.names[of], self.names[among], strict=True):
            found += NAME_DIFFERS * (mine_codes[block, None] != their_codes)
        return found


def _stacked(found: Sequence[npt.NDArray[Any]], rows: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    return np.stack(found) if found else np.zeros((0, rows), kind)


@dataclass(frozen=True)
class Nearness:
    """Shares between 0 and 1 over the made rows."""

    rows: int
    compared: int
    """Learned rows, and as many held-out ones."""
    nearer: float
    """Share that is nearer to a learned row than to a held-out one, ties by half."""
    ties: float
    ratio_nearer: float
    """The same of the ratio of the nearest to the second nearest: how much a single row stands out as the origin."""

    @property
    def sigma(self) -> float:
        """Standard deviation of the share by chance: ties do not vary."""
        return max(0.5 * sqrt((1 - self.ties) / self.rows), 1e-9)


def nearness(learned: Rows, held_out: Rows, made: Rows) -> Nearness:
    """Compare made rows with as many learned as held-out ones. Raises ValueError where the two differ in number, or are too few."""
    if size_of(learned) != size_of(held_out) or size_of(learned) < 2 or not size_of(made):
        raise ValueError("two samples of the same size are needed, of two rows at least")
    space = Space.of(learned, held_out, made)
    ours, theirs = space.two_nearest(2, 0), space.two_nearest(2, 1)
    ratios = [_ratio(*found) for found in (ours, theirs)]
    return Nearness(
        size_of(made),
        size_of(learned),
        _share(ours[0], theirs[0]),
        float((ours[0] == theirs[0]).mean()),
        _share(ratios[0], ratios[1]),
    )


def _ratio(first: Floats32, second: Floats32) -> Floats32:
    """1 where both are 0: a row that occurs twice is nobody's."""
    return np.divide(first, second, out=np.ones_like(first), where=second > 0)


def _share(ours: Floats32, theirs: Floats32) -> float:
    return float((ours < theirs).mean() + (ours == theirs).mean() / 2)


@dataclass(frozen=True)
class Copies:
    """How many made rows equal a learned one, and how many a held-out one: what chance and legitimate duplicates make."""

    rows: int
    learned: int
    held_out: int


def copies(learned: Rows, held_out: Rows, made: Rows) -> Copies:
    """Rows that are equal in all columns, values as they are."""
    ours, theirs, drawn = row_codes(learned, held_out, made)
    return Copies(len(drawn), int(np.isin(drawn, ours).sum()), int(np.isin(drawn, theirs).sum()))
