"""What more cores would give, computed from what a stage costs with one, two and four replicas.

The model: every process works at most ``BUSY`` of the time on one core; a stage has as many of them as pay; the cores together are
busy for ``BUSY`` of the time, as they were measured to be when a copy has them for itself. A million rows cost a stage what they
cost with one replica, and a share more for each further one (its growth, as measured). Broker and databases use as many cores as
they need, since each connection and partition has a thread or process of its own. What is not in it: disks, the network between
machines, and the locks inside a database; a database that reaches its disk's limit ends the growth before the cores do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

BUSY = 0.85
"""Share of the time for which a core does work: a copy alone on two cores, see docs/performance.md."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A service that may have replicas."""

    seconds: float
    """CPU-seconds per million rows with one replica."""
    growth: float = 0.0
    """Share of that which every further replica adds: what coordination costs."""
    most: int = 1 << 10
    """Replicas that can have work: the partitions of a run's topics, where the stage reads one."""

    def cost(self, replicas: int) -> float:
        """CPU-seconds per million rows of so many replicas together."""
        return self.seconds * (1 + self.growth * (replicas - 1))

    def rate(self, replicas: int) -> float:
        """Millions of rows per second that so many replicas can pass on."""
        return replicas * BUSY / self.cost(replicas)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a machine would give."""

    rate: float
    """Millions of rows per second."""
    replicas: Mapping[str, int]
    bound: str
    """What decides: ``cores``, where a further replica costs what it gives, or a stage whose further ones had nothing to do."""


def growth(costs: Mapping[int, float]) -> float:
    """The share of a stage's cost with one replica that each further one adds, by least squares through that one; never below 0."""
    first = costs[1]
    further = [(count - 1, cost / first - 1) for count, cost in costs.items() if count > 1]
    squares = sum(n * n for n, _ in further)
    return max(0.0, sum(n * more for n, more in further) / squares) if squares else 0.0


def predict(stages: Mapping[str, Stage], rest: float, cores: int) -> Prediction:
    """The highest rate on so many cores, with the fewest replicas that reach it.

    ``rest``: CPU-seconds per million rows of all that is not a stage.
    """
    replicas = dict.fromkeys(stages, 1)
    best = Prediction(0.0, replicas, "cores")
    while True:
        rate, bound = _rate(stages, rest, cores, replicas)
        if rate > best.rate:
            best = Prediction(rate, replicas, "cores")
        if bound == "cores" or rate < best.rate:
            return best
        if replicas[bound] >= stages[bound].most:
            return replace(best, bound=bound)
        replicas = {**replicas, bound: replicas[bound] + 1}


def _rate(stages: Mapping[str, Stage], rest: float, cores: int, replicas: Mapping[str, int]) -> tuple[float, str]:
    together = rest + sum(stage.cost(replicas[name]) for name, stage in stages.items())
    bounds = {name: stage.rate(replicas[name]) for name, stage in stages.items()}
    bounds["cores"] = BUSY * cores / together
    bound = min(bounds, key=lambda name: bounds[name])
    return bounds[bound], bound
