"""When silence means something: heartbeats come through Kafka and a database, and either may be away for a while."""

from __future__ import annotations


class Beats:
    """Judges whether a replica that is not heard of may be taken for gone.

    Only while *some* heartbeat has been coming through without a long gap, for as long as a replica takes to be stale:
    after an outage of broker or database all replicas look alike, and none of them is to blame.
    """

    def __init__(self, stale_s: float) -> None:
        self._stale_s = stale_s
        self._gap_s = stale_s / 2
        self._looked: float | None = None
        self._flowing_since: float | None = None

    def settled(self, now: float, newest_age: float | None) -> bool:
        """Note the age of the youngest heartbeat, seconds; True when absence counts."""
        away = self._looked is not None and now - self._looked > self._gap_s
        self._looked = now
        if away or newest_age is None or newest_age > self._gap_s:
            self._flowing_since = None
            return False
        if self._flowing_since is None:
            self._flowing_since = now
        return now - self._flowing_since >= self._stale_s
