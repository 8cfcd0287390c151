"""Orders: pieces of a generated table, by the ordinals of its rows. They are released, made, counted and proved like ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tailrace_shared.job.spec import Limits
from tailrace_shared.plan.model import ORDER, PlannedColumn, PlannedRange

FIXED_BYTES: Final = 12
"""Of a value of a fixed width, or of one whose length nobody states."""
LONG_CHARS: Final = 64
"""Counted for a text without a stated length."""
ORDER_BATCHES: Final = 16
"""Batches of an order, at most: replicas share a table in pieces of this size, and a lost one is made again."""


class Cut(NamedTuple):
    """How a generated table is cut."""

    rows_per_batch: int
    orders: tuple[PlannedRange, ...]


def cut_orders(rows: int, columns: Iterable[PlannedColumn], limits: Limits, whole: Callable[[int], int] = int) -> Cut:
    """Batches of so many rows that they stay below the job's bytes, and orders of whole batches below a range's. ``whole`` makes
    the rows of a batch fewer, to what suits their generator.

    A function of the plan alone, so that a batch has the same rows whoever makes it. A table of no rows has no order.
    """
    width = sum(map(width_of, columns)) or 1
    per_batch = whole(max(1, min(limits.rows_per_batch, limits.batch_bytes // width)))
    batches = max(1, min(ORDER_BATCHES, limits.range_bytes // (per_batch * width)))
    step = per_batch * batches
    orders = tuple(
        PlannedRange(
            number=number,
            leaf=ORDER,
            low=low,
            high=min(low + step, rows),
            estimated_bytes=width * min(step, rows - low),
        )
        for number, low in enumerate(range(0, rows, step))
    )
    return Cut(per_batch, orders)


def width_of(column: PlannedColumn) -> int:
    """Bytes of a value, at most or about."""
    if column.mask is None or column.type.wire != "text":
        return FIXED_BYTES
    most = column.rule.max_output_chars(column.mask)
    return FIXED_BYTES + (LONG_CHARS if most is None else most)
