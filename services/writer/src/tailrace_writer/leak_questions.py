"""Which columns go into one question of the leak scan: those of small tables together, since a question has a price of its own.

A question stays bounded in three ways. Its values fit a message; the source reads little for all of its columns, so that it
is answered within the time that a single large column may take; and there are not too many, so that all readers have some.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace_shared.messages import LeakSample
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.verify.queries import VALUE_BYTES

COLUMNS = 150
"""Of a schema with thousands of masked columns some twenty questions are enough for any number of readers."""
SCAN_BYTES = 64 << 20
"""What the source reads for one question, each column being a pass over its table: a second at most."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A column's sample, and what it weighs against chance (``leak_weight``)."""

    sample: LeakSample
    weight: float

    @property
    def bytes(self) -> int:
        return sum(len(value.encode()) + VALUE_BYTES for value in self.sample.values)


def scan_bytes(table: PlannedTable) -> int | None:
    """What a pass over the source table costs; None where its ranges do not tell: a view computes its rows, a table that travels in
    part has more of them than it sends."""
    if table.view or table.filtered:
        return None
    return sum(piece.estimated_bytes for piece in table.ranges)


@dataclass
class Bundle:
    """Columns gathered for the next question."""

    limit_bytes: int
    asked: list[Asked] = field(default_factory=list)
    bytes: int = 0
    scan: int = 0

    def add(self, asked: Asked, scan: int | None) -> tuple[Asked, ...]:
        """Add a column; returns what is to be asked before, where it does not fit any more."""
        scan = SCAN_BYTES if scan is None else scan
        size = asked.bytes
        full = (
            len(self.asked) >= COLUMNS
            or self.bytes + size > self.limit_bytes
            or self.scan + scan > SCAN_BYTES
        )  # fmt: skip
        before = self.take() if full else ()
        self.asked.append(asked)
        self.bytes, self.scan = self.bytes + size, self.scan + scan
        return before

    def take(self) -> tuple[Asked, ...]:
        """What is gathered; begins anew."""
        taken, self.asked, self.bytes, self.scan = tuple(self.asked), [], 0, 0
        return taken
