"""How much may be on its way through the whole pipeline: released and not yet in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Key = TypeVar("Key")


class Credit:
    """End-to-end backpressure: the leader releases ranges only while they fit the limit.

    Invariants: candidates are released in their order and none is passed over, so a large one is never starved by small
    ones; what is released exceeds the limit by at most one range, and only when nothing else is under way, so that a range
    larger than the whole credit passes too.
    """

    def __init__(self, limit_bytes: int) -> None:
        if limit_bytes <= 0:
            raise ValueError("a credit needs a positive number of bytes")
        self._limit = limit_bytes

    @property
    def limit(self) -> int:
        return self._limit

    def choose(self, released_bytes: int, candidates: Sequence[tuple[Key, int]]) -> list[Key]:
        """The candidates to release now.

        ``released_bytes`` counts everything released that the ledger does not hold yet: actual bytes of a range that was
        read, its estimate before. A candidate is a key and its estimated bytes, in the order of release; an estimate of 0
        counts as 1, so that nothing is free.
        """
        chosen: list[Key] = []
        used = max(0, released_bytes)
        for key, estimate in candidates:
            size = max(1, estimate)
            if used and used + size > self._limit:
                break
            chosen.append(key)
            used += size
        return chosen
