"""How much noise a stated (epsilon, delta) asks for: Rényi accounting by Opacus, of the histograms and the training together.

Every release from the rows is a Gaussian mechanism of sensitivity one (adding or removing a row): histograms, and the sums of
clipped gradients over Poisson batches. Their Rényi divergences add up (Mironov, *Rényi Differential Privacy*, 2017); the number of
rows is taken as known. Columns that spend less than their share make the guarantee no worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tailrace_shared.errors import TerminalError

ORDERS = [1.1, 1.25, 1.5, 1.75, *range(2, 5), 2.5, 3.5, 4.5, *range(5, 33), 40, 48, 64, 96, 128, 256, 512]
"""Of the divergence. Fractions take long, and matter for a large epsilon alone."""
HISTOGRAM_SHARE = 0.5
"""Epsilon of the histograms alone; since squares add up, they cost about a quarter of what training has."""
THRESHOLD_SHARE = 0.1
"""Of delta, for values that are found in the rows: one that a single row has passes the threshold that rarely."""
SIGMA_MAX = 1e4
ROUNDS = 24


class Budget(NamedTuple):
    """Noise of each kind of release, as standard deviations in units of what one row can change."""

    histogram: float
    """Of a release that takes one unit."""
    gradient: float
    delta_found: float
    """For each column, the chance that a value of a single row is found."""


def budget(epsilon: float, delta: float, *, units: float, columns: int, rate: float, steps: int) -> Budget:
    """The noise for histograms of ``units`` in all, and for ``steps`` batches that each row is in with probability ``rate``.

    Raises TerminalError: ``trainer.no-opacus``.
    """
    compute, spent = _accountant()
    orders = np.array(ORDERS)
    left = delta * (1 - THRESHOLD_SHARE)

    def told(divergence: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        return spent(divergence, left)

    histogram = _least(lambda sigma: told(units * orders / (2 * sigma**2)), epsilon * HISTOGRAM_SHARE)
    base = units * orders / (2 * histogram**2)
    gradient = _least(lambda sigma: told(base + compute(rate, sigma, steps)), epsilon) if steps else 0.0
    return Budget(histogram, gradient, delta * THRESHOLD_SHARE / max(1, columns))


def _least(epsilon_of: Callable[[float], float], wanted: float) -> float:
    """The smallest noise for which ``epsilon_of`` it is at most ``wanted``, from above."""
    low, high = 1e-1, SIGMA_MAX
    for _ in range(ROUNDS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if epsilon_of(middle) <= wanted else (middle, high)
    return high


Divergence = np.ndarray[tuple[int], np.dtype[np.float64]]


def _accountant() -> tuple[Callable[[float, float, int], Divergence], Callable[[Divergence, float], float]]:
    try:
        from opacus.accountants.analysis import rdp
    except ImportError as error:
        if not (error.name or "").startswith("opacus"):
            raise
        raise TerminalError(
            "trainer.no-opacus", "this trainer has no opacus, which accounts for differential privacy",
            "Install it beside the trainer: pip install 'tailrace-trainer[privacy]', or make torch; or leave out epsilon.",
        ) from None  # fmt: skip

    def compute(rate: float, sigma: float, steps: int) -> Divergence:
        return np.asarray(rdp.compute_rdp(q=rate, noise_multiplier=sigma, steps=steps, orders=ORDERS), np.float64)

    def spent(divergence: Divergence, delta: float) -> float:
        return float(rdp.get_privacy_spent(orders=ORDERS, rdp=divergence, delta=delta)[0])

    return compute, spent
