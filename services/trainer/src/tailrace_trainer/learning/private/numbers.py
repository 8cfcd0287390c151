"""Numbers under differential privacy: frequent values that are found, and a quantile function from a histogram on a fixed grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_shared.synthesis import Number
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_trainer.learning.numbers import ATOM_SHARE, DISCRETE_MAX, DISCRETE_SHARE, Resolution, nearest
from tailrace_trainer.learning.private.release import Release

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]

UNITS = 4
"""Releases that a number takes: its frequent values, its octaves, a grid to see where in them it lies, and one there."""
OCTAVE_LOW, OCTAVE_HIGH = -20, 63
CLEAR = 4.0
"""Standard deviations above which an octave has values."""
GRID_CELLS = 128
STRAIGHT = 32.0
"""Up to so many times the middle octave, the grid has even steps; beyond, they grow."""


class PrivateNumber(NamedTuple):
    """A number, its tensors, its tokens' codes (−1 where not live), positions and shares of the codes."""

    number: Number
    tensors: dict[str, Tensor]
    codes: tuple[Codes, ...]
    ranks: tuple[Floats, ...]
    counts: Floats
    """Noisy, of the first token's codes."""


def learn_number(values: Floats, step: float, release: Release, resolution: Resolution) -> PrivateNumber | None:
    """Learn finite ``values`` that are multiples of ``step`` (0: any), in four releases; None where noise hides all."""
    found, counts, _ = release.found(pa.array(values))
    atoms, order = np.unique(found.to_numpy(zero_copy_only=False).astype(np.float64), return_index=True)
    counts = counts[order]
    discrete = len(atoms) <= DISCRETE_MAX and counts.sum() >= DISCRETE_SHARE * release.rows
    if not discrete:
        frequent = counts >= release.rows * ATOM_SHARE
        atoms, counts = atoms[frequent], counts[frequent]
    rest = ~np.isin(values, atoms)
    edges = None if discrete else _grid(values[rest], step, release)
    if edges is None:
        return _atoms(values, atoms, counts, step) if len(atoms) else None
    return _binned(values, atoms, counts, rest, edges, step, release, resolution)


def _atoms(values: Floats, atoms: Floats, counts: Floats, step: float) -> PrivateNumber:
    number = Number(atoms=len(atoms), bins=0, cells=1, step=step)
    ranks = np.linspace(0, 1, len(atoms))
    return PrivateNumber(number, {"atoms": atoms}, (nearest(values, atoms),), (ranks,), counts)


def _grid(values: Floats, step: float, release: Release) -> Floats | None:
    """Edges of cells that hold all but what the noise hides; None where it hides everything."""
    size = OCTAVE_HIGH - OCTAVE_LOW
    with np.errstate(divide="ignore"):
        octave = np.clip(np.floor(np.log2(np.abs(values))), OCTAVE_LOW, OCTAVE_HIGH - 1).astype(np.int64) - OCTAVE_LOW
    codes = np.where(values >= 0, size + octave, size - 1 - octave)  # ascending as the values are
    counts = release.counts(codes, 2 * size)
    clear = np.flatnonzero(counts >= CLEAR * release.sigma)
    if not len(clear):
        return None
    powers = 2.0 ** np.arange(OCTAVE_LOW, OCTAVE_HIGH + 1)
    bounds = np.concatenate([-powers[:0:-1], [0.0], powers[1:]])
    low, high = float(bounds[clear[0]]), float(bounds[clear[-1] + 1])
    weights = np.where(counts >= CLEAR * release.sigma, counts, 0)
    middles = np.maximum(np.abs(bounds[:-1]), np.abs(bounds[1:]))
    by_size = np.argsort(middles, kind="stable")
    half = int(np.searchsorted(np.cumsum(weights[by_size]), weights.sum() / 2))
    middle = float(middles[by_size][min(half, len(by_size) - 1)])
    edges = _spaced(low, high, middle, step)
    counts = release.counts(_cells(values, edges), len(edges) - 1)
    clear = np.flatnonzero(counts >= CLEAR * release.sigma)
    if len(clear):  # years lie in one octave, and fill little of it
        low, high = float(edges[clear[0]]), float(edges[clear[-1] + 1])
    return _spaced(low, high, middle, step)


def _spaced(low: float, high: float, middle: float, step: float) -> Floats:
    """Edges between two bounds: one cell for each multiple of ``step`` if they are few, else even, or growing from the middle."""
    if step and (high - low) / step <= GRID_CELLS:
        few: Floats = np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step - step / 2
        return few
    if max(-low, high) <= STRAIGHT * middle:
        return np.linspace(low, high, GRID_CELLS + 1)
    scale = middle / 4
    grown: Floats = scale * np.sinh(np.linspace(np.arcsinh(low / scale), np.arcsinh(high / scale), GRID_CELLS + 1))
    return grown


def _cells(values: Floats, edges: Floats) -> Codes:
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2).astype(np.int32)


def _binned(
    values: Floats,
    atoms: Floats,
    counts: Floats,
    rest: npt.NDArray[np.bool_],
    edges: Floats,
    step: float,
    release: Release,
    resolution: Resolution,
) -> PrivateNumber:
    mine = np.clip(values[rest], edges[0], edges[-1])
    mine = np.clip(mine + release.rng.uniform(-0.5, 0.5, len(mine)) * step, edges[0], edges[-1])
    noisy = release.counts(_cells(mine, edges), len(edges) - 1)
    all_rows = max(float(noisy.sum()), 1.0)  # before what is cut: noise has no side
    noisy[noisy < release.sigma] = 0
    if noisy.sum() <= 0:
        noisy[:] = 1
    noisy *= all_rows / noisy.sum()
    mass = np.concatenate([[0.0], np.cumsum(noisy)])
    bins = min(resolution.bins, max(2, round(resolution.bins * float(mass[-1]) / max(1, release.rows))))
    cells, gaps = resolution.cells, 2 * resolution.cells
    at = np.arange(bins)[:, None] / bins + np.arange(gaps + 1) / gaps / bins
    knots = _inverse(edges, noisy, mass, at)
    rank = np.minimum(np.interp(mine, edges, mass / mass[-1]), 1 - 1e-9)
    coarse, fine = np.empty(len(values), np.int32), np.full(len(values), -1, np.int32)
    coarse[rest] = len(atoms) + (rank * bins).astype(np.int32)
    fine[rest] = (rank * bins % 1 * cells).astype(np.int32)
    if len(atoms):
        coarse[~rest] = np.searchsorted(atoms, values[~rest])
    tensors: dict[str, Tensor] = {"knots": knots} | ({"atoms": atoms} if len(atoms) else {})
    middle = np.concatenate([atoms, knots[:, gaps // 2]])
    return PrivateNumber(
        Number(atoms=len(atoms), bins=bins, cells=cells, step=step),
        tensors,
        (coarse, fine),
        (np.argsort(np.argsort(middle)) / max(1, len(middle) - 1), np.linspace(0, 1, cells)),
        np.concatenate([counts, np.full(bins, mass[-1] / bins)]),
    )


def _inverse(edges: Floats, counts: Floats, mass: Floats, ranks: Floats) -> Floats:
    """The quantile function of a histogram; it jumps over cells without counts."""
    full = np.flatnonzero(counts > 0)
    wanted = np.clip(ranks, 0, 1) * mass[-1]
    cell = full[np.minimum(np.searchsorted(mass[full + 1], wanted, side="left"), len(full) - 1)]
    part = np.clip((wanted - mass[cell]) / counts[cell], 0, 1)
    found: Floats = edges[cell] + (edges[cell + 1] - edges[cell]) * part
    return found
