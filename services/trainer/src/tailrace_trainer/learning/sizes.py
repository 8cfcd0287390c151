"""How large the network is: as the evidence says for narrow tables, and within one message for wide ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace_shared.synthesis import Shape

WEIGHT_BYTES = 2
"""Weights travel in half precision."""
WIDTH_MAX = 24
WIDTH_GIVEN_MAX = 12
"""Of what is only looked at: there is much of it, and each tells little."""
WIDTH_POWER = 0.6
ROWS_LOOKED_AT = 4_000
"""For the dependence between tokens of a wide table."""
CODES_LOOKED_AT = 8
"""Codes are folded to so many groups for that; dependence that this hides is weak."""


class Size(NamedTuple):
    """A step of the ladder from what is best to what fits."""

    hidden: int
    width: int
    seen: int | None
    """Earlier tokens that a token sees; None: all."""


LADDER = (
    Size(64, WIDTH_MAX, None), Size(48, 12, None), Size(64, 16, 32), Size(48, 12, 24), Size(32, 10, 20), Size(32, 8, 14),
    Size(24, 6, 10), Size(16, 6, 8), Size(16, 4, 4), Size(8, 3, 2),
)  # fmt: skip


def shape_of(
    codes: npt.NDArray[np.int16],
    sizes: Sequence[int],
    parents: Sequence[int | None],
    bytes_max: int,
    given: Sequence[int] = (),
) -> Shape:
    """The first step of the ladder whose weights take at most ``bytes_max``; its last one if none does.

    ``codes`` are those of what is given and of the tokens; ``sizes`` and ``parents`` of the tokens alone.
    """
    for size in LADDER:
        widths = widths_of(given, min(size.width, WIDTH_GIVEN_MAX)) + widths_of(sizes, size.width)
        if _bytes(given, sizes, widths, size) <= bytes_max:
            break
    seen = size.seen
    if seen is None or seen >= len(given) + len(sizes):
        return Shape(hidden=size.hidden, widths=widths)
    return Shape(hidden=size.hidden, widths=widths, contexts=contexts(codes, sizes, parents, seen, given))


def widths_of(sizes: Sequence[int], most: int) -> tuple[int, ...]:
    """Embedding widths by number of codes."""
    return tuple(min(most, max(2, math.ceil(size**WIDTH_POWER))) for size in sizes)


def _bytes(given: Sequence[int], sizes: Sequence[int], widths: Sequence[int], size: Size) -> int:
    before = sum(widths[: len(given)])
    total = sum(codes * width for codes, width in zip(given, widths, strict=False))
    for codes, width in zip(sizes, widths[len(given) :], strict=True):
        context = before if size.seen is None else min(before, size.seen * size.width)
        total += size.hidden * (context + size.hidden + codes + 2) + codes * (width + 2)
        before += width
    return total * WEIGHT_BYTES


def contexts(
    codes: npt.NDArray[np.int16],
    sizes: Sequence[int],
    parents: Sequence[int | None],
    seen: int,
    given: Sequence[int] = (),
) -> tuple[tuple[int, ...], ...]:
    """For every token its parent and the earlier places that tell most about it (mutual information, groups of codes)."""
    rows, before = codes[:ROWS_LOOKED_AT], len(given)
    groups = [_one_hot(rows[:, place], size) for place, size in enumerate((*given, *sizes))]
    starts = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
    stacked = np.concatenate(groups).astype(np.float32) if groups else np.zeros((0, 0), np.float32)
    share = stacked.mean(axis=1) if stacked.size else np.zeros(0)
    found = []
    for place in range(before, before + len(sizes)):
        mine = slice(starts[place], starts[place + 1])
        joint = stacked[: starts[place]] @ stacked[mine].T / max(1, len(rows))
        alone = np.outer(share[: starts[place]], share[mine])
        with np.errstate(divide="ignore", invalid="ignore"):
            cells = np.where(joint > 0, joint * np.log(joint / alone), 0.0).sum(axis=1)
        told = np.add.reduceat(cells, starts[:place]) if place else np.zeros(0)
        parent = parents[place - before]
        if parent is not None:
            told[before + parent] = np.inf
        found.append(tuple(sorted(np.argsort(-told, kind="stable")[:seen].tolist())))
    return tuple(found)


def _one_hot(codes: npt.NDArray[np.int16], size: int) -> npt.NDArray[np.bool_]:
    """Rows by group of codes: the most frequent ones alone, or neighbours together, whichever is finer."""
    known = np.maximum(codes, 0).astype(np.int64)
    if size > CODES_LOOKED_AT:
        ranks = np.cumsum(np.bincount(known, minlength=size)) / max(1, len(known))
        known = np.minimum((ranks * CODES_LOOKED_AT).astype(np.int64), CODES_LOOKED_AT - 1)[known]
        size = CODES_LOOKED_AT
    hot: npt.NDArray[np.bool_] = known == np.arange(size)[:, None]
    return hot
