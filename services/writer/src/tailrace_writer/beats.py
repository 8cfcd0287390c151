"""When silence means something: heartbeats come through Kafka and a database, and either may be away for a while."""

from __future__ import annotations

from collections.abc import Hashable


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


class Arrivals:
    """When something last arrived, and when a reader was last found gone, as far as this leader has seen."""

    def __init__(self) -> None:
        self._seen: Hashable = None
        self._readers: frozenset[str] | None = None
        self.moved_at = 0.0
        self.deserted_at = 0.0

    def look(self, now: float, seen: Hashable, readers: frozenset[str], *, settled: bool) -> None:
        """Note what is there now. Readers count only while their silence means something."""
        if self._readers is None:
            self._readers, self._seen = readers, seen
            self.moved_at = self.deserted_at = now  # what came and went before this leader is not known
            return
        if seen != self._seen:
            self._seen, self.moved_at = seen, now
        if not settled:
            self._readers |= readers
        else:
            if self._readers - readers:
                self.deserted_at = now
            self._readers = readers
