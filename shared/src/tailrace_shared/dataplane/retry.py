"""When to try again, and when to give up."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Exponential delays, bounded, with a jitter that depends only on a seed.

    The jitter keeps replicas from knocking on a recovering server in step; as a function of (seed, attempt) it makes a
    test, and a simulation, repeat exactly.
    """

    first_s: float = 0.2
    factor: float = 2.0
    limit_s: float = 30.0
    """No delay is longer."""
    attempts: int | None = 10
    """Failed attempts after which it is over; None never gives up."""
    jitter: float = 0.25
    """Share of a delay that may be cut off at random, 0 to 1."""

    def __post_init__(self) -> None:
        if not (self.first_s > 0 and self.factor >= 1 and self.limit_s > 0 and 0 <= self.jitter <= 1):
            raise ValueError("a retry schedule needs positive delays, a factor of at least 1 and a jitter of 0 to 1")

    def delay(self, failures: int, seed: str | int = 0) -> float | None:
        """Seconds to wait after the ``failures``-th failure in a row (1 is the first), or None when attempts are spent."""
        if failures < 1:
            raise ValueError("failures are counted from 1")
        if self.attempts is not None and failures >= self.attempts:
            return None
        doublings = min(failures - 1, 64)  # beyond that every schedule is at its limit, and a float would overflow
        delay = min(self.limit_s, self.first_s * self.factor**doublings)
        share = random.Random(f"{seed}/{failures}").random()  # noqa: S311 - spread, not secrecy
        return delay * (1 - self.jitter * share)


FOREVER = RetrySchedule(attempts=None)
"""For what has no end of its own: a connection that must come back."""
