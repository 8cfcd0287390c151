"""What a capture has sent and the destination does not hold yet: bytes, of which tables, and since when; and how far the capture
itself is behind. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tailrace_reader.capture.tail import Kept


class Waits(NamedTuple):
    """Changes of one table that the destination lacks."""

    since: float
    """When the oldest of them was committed, seconds since the epoch by the source's clock."""
    behind: int
    """Up to this commit LSN the destination lacks none of the table."""
    until: int
    """Once the destination is there, it lacks none of these."""


class Held:
    """Records in the order of the lane. ``began``: what was sent before, by another capture, is taken for as old as that."""

    def __init__(self, tail: int, began: float) -> None:
        self._records: deque[Kept] = deque()
        self._of: dict[int, deque[Kept]] = {}
        """By table: with thousands of records in hand, nobody looks through all of them."""
        self._strange: deque[Kept] = deque()
        """Of which tables nobody knows."""
        self._before = tail
        self._began = began
        self.bytes = 0

    def add(self, record: Kept) -> None:
        """A record that Kafka has acknowledged."""
        self._records.append(record)
        self.bytes += record.bytes
        if record.tables is None:
            self._strange.append(record)
        for table in record.tables or ():
            self._of.setdefault(table, deque()).append(record)

    def applied(self, position: int) -> None:
        """The destination holds everything up to there."""
        while self._records and self._records[0].last <= position:
            self.bytes -= self._records.popleft().bytes
        for waiting in (self._strange, *self._of.values()):
            while waiting and waiting[0].last <= position:
                waiting.popleft()

    def lag_s(self, position: int, now: float) -> float:
        """Since the oldest change that the destination lacks was committed."""
        if position < self._before:
            return max(0.0, now - self._began)
        oldest = next((sent.committed_us for sent in self._records if sent.committed_us), None)
        return 0.0 if oldest is None else max(0.0, now - oldest / 1e6)

    def waits(self, position: int) -> dict[int, Waits]:
        """By table (plan numbers), as far as that is known."""
        self.applied(position)
        return {
            table: Waits(records[0].committed_us / 1e6, max(records[0].previous, position), records[-1].last)
            for table, records in self._of.items()
            if records
        }

    def unknown_since(self, position: int) -> float | None:
        """Since when changes of any table may wait; None where it is known of all of them."""
        self.applied(position)
        return self._began if self._strange else None


class Backlog:
    """How far a capture is behind its source. Times by the source's clock, ``now`` by the reader's."""

    def __init__(self, began: float) -> None:
        self._newest = began
        self._idle = False

    def decoded(self, committed_us: int) -> None:
        """The newest transaction that was decoded; more may come at once."""
        self._idle = False
        self._newest = max(self._newest, committed_us / 1e6)

    def idle(self) -> None:
        """The source has nothing more at the moment."""
        self._idle = True

    def age(self, now: float) -> float:
        """Of what is known to have been captured: 0 where that is everything."""
        return 0.0 if self._idle else max(0.0, now - self._newest)
