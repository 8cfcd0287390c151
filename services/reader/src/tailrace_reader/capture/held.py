"""What a capture has sent and the destination does not hold yet: bytes, and since when. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Sent:
    last: int
    """Commit LSN of the record's last transaction."""
    bytes: int
    committed: float
    """When its first transaction was committed, seconds since the epoch by the source's clock; 0 where it has none."""


class Held:
    """Records in the order of the lane. ``began``: what was sent before, by another capture, is taken for as old as that."""

    def __init__(self, tail: int, began: float) -> None:
        self._records: deque[_Sent] = deque()
        self._before = tail
        self._began = began
        self.bytes = 0

    def add(self, last: int, size: int, committed_us: int) -> None:
        """A record that Kafka has acknowledged."""
        self._records.append(_Sent(last, size, committed_us / 1e6))
        self.bytes += size

    def applied(self, position: int) -> None:
        """The destination holds everything up to there."""
        while self._records and self._records[0].last <= position:
            self.bytes -= self._records.popleft().bytes

    def lag_s(self, position: int, now: float) -> float:
        """Since the oldest change that the destination lacks was committed."""
        if position < self._before:
            return max(0.0, now - self._began)
        oldest = next((sent.committed for sent in self._records if sent.committed), None)
        return 0.0 if oldest is None else max(0.0, now - oldest)
