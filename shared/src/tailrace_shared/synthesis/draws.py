"""Drawing a code per row from logits: feature-major, in place, without an index per row."""

from __future__ import annotations

import numpy as np

from tailrace_shared.synthesis.network import Codes, Floats


def chances(logits: Floats, barred: int | None = None) -> Floats:
    """Unnormalised probabilities [codes, rows] of ``logits``, which are overwritten; a barred code has none."""
    if barred is not None:
        logits[barred] = -np.inf  # before the maximum is taken: the others must not vanish beside it
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    return logits


def pick(weights: Floats, uniforms: Floats) -> Codes:
    """The code of every row by its uniform in (0, 1]; ``weights`` are overwritten. A code without weight is never picked."""
    for code in range(
        1, len(weights)
    ):  # along the rows: ``accumulate`` goes down the columns, and takes six times as long
        np.add(weights[code], weights[code - 1], out=weights[code])
    below = weights < uniforms * weights[-1]
    codes: Codes = np.minimum(below.sum(axis=0, dtype=np.int32), len(weights) - 1)
    return codes


def even(generator: np.random.Generator, rows: int) -> Floats:
    """Uniforms in (0, 1], one in every n-th of it, in random order: a batch's marginals are then nearly exact."""
    return ((generator.permutation(rows) + 1.0 - generator.random(rows)) / rows).astype(np.float32)


def independent(generator: np.random.Generator, rows: int) -> Floats:
    """Uniforms in (0, 1] that know nothing of each other."""
    return (1.0 - generator.random(rows)).astype(np.float32)
