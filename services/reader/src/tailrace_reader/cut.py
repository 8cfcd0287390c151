"""Where batches and ranges end: a pure function of the row sequence, never of the pieces in which rows arrive.

A batch closes before the row with which it would hold more rows or more bytes than the plan allows; a row above the batch's
bytes is a batch of its own. A range ends before the first row with which it would hold more than its bytes; it takes at least
one row. Weights are those of ``parse.Chunk.weights``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tailrace_shared.plan.model import Plan


@dataclass(frozen=True)
class CutRule:
    """Limits that the plan fixes, in rows and bytes of weight."""

    rows: int
    batch_bytes: int
    range_bytes: int
    row_bytes: int
    """A single row above this cannot travel."""

    @staticmethod
    def of(plan: Plan, rows_per_batch: int) -> CutRule:
        """The plan's limits. Half a message leaves room for the schema and for columns that fall back to text."""
        return CutRule(
            rows_per_batch, min(plan.batch_bytes, plan.message_bytes // 2), plan.range_bytes_max, plan.message_bytes
        )


class Closed(NamedTuple):
    """A batch whose rows are known."""

    rows: int
    bytes: int


class RowTooLarge(Exception):
    """A row above the limit, by its number in the range, counted from 1."""

    def __init__(self, row: int, bytes_: int) -> None:
        super().__init__(f"row {row}: {bytes_} bytes")
        self.row = row
        self.bytes = bytes_


class Cutter:
    """Cuts one range.

    - After any sequence of ``feed`` and one ``finish``, the closed batches are the same for every way of splitting the rows.
    - Every batch but the last is followed by a row, so the last one is known when it closes.
    - ``taken`` rows belong to the range; once ``ended``, no further row does.
    """

    def __init__(self, rule: CutRule) -> None:
        self._rule = rule
        self._open = Closed(0, 0)
        self.taken = 0
        self.bytes = 0
        self.ended = False

    def feed(self, weights: NDArray[np.int64]) -> list[Closed]:
        """The next rows; the batches that they close. Raises RowTooLarge."""
        if self.ended or not len(weights):
            return []
        sums = np.cumsum(weights, dtype=np.int64)
        end = int(np.searchsorted(sums, self._rule.range_bytes - self.bytes, side="right"))
        if end == 0 and self.taken == 0:
            end = 1
            self._refuse_large(weights[:1])
            self.ended = len(weights) > 1
        elif end < len(weights):
            self.ended = True
        self._refuse_large(weights[:end])
        closed = self._close(sums[:end])
        if end:
            self.bytes += int(sums[end - 1])
            self.taken += end
        return closed

    def finish(self) -> Closed | None:
        """The last batch; None when the range holds no row."""
        last, self._open = self._open, Closed(0, 0)
        return last if last.rows else None

    def _refuse_large(self, weights: NDArray[np.int64]) -> None:
        if len(weights) and weights.max() > self._rule.row_bytes:
            at = int(np.argmax(weights > self._rule.row_bytes))
            raise RowTooLarge(self.taken + at + 1, int(weights[at]))

    def _close(self, sums: NDArray[np.int64]) -> list[Closed]:
        closed, at, before = [], 0, 0
        while at < len(sums):
            room = before + self._rule.batch_bytes - self._open.bytes
            end = min(int(np.searchsorted(sums, room, side="right")), at + self._rule.rows - self._open.rows, len(sums))
            if end <= at and not self._open.rows:
                end = at + 1
            if end > at:
                self._open = Closed(self._open.rows + end - at, self._open.bytes + int(sums[end - 1]) - before)
                at, before = end, int(sums[end - 1])
            if at < len(sums):
                closed.append(self._open)
                self._open = Closed(0, 0)
        return closed
