"""Integer keys are permuted by region, so that sides of different width agree and values stay in range.

A positive x stays in its region; a negative one permutes ``~x``, whose regions start at 0, and complements back; 0
stays 0. The regions leave room above for the environment's own inserts.
"""

from __future__ import annotations

POSITIVE_STARTS = (1, 1 << 15, 1 << 30, 1 << 31, 1 << 52, 1 << 53, 1 << 63)
"""Region i is [starts[i], starts[i + 1]). 2¹⁵ and 2³¹ are the ends of int2 and int4, 2⁵³ that of exact doubles;
2³⁰ and 2⁵² leave the upper half of int4 and of exact doubles to the environment."""

COMPLEMENT_STARTS = (0, *POSITIVE_STARTS[1:])
"""Regions of ``~x`` for negative x: they start at 0, because ``~(-1)`` is 0."""


def region_of(value: int) -> tuple[int, int]:
    """First and last+1 member of the region that holds a value (itself for 0), in the value's own sign.

    Raises ValueError outside of int8.
    """
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError("not an int8")
    if value == 0:
        return 0, 1
    starts = POSITIVE_STARTS if value > 0 else COMPLEMENT_STARTS
    magnitude = value if value > 0 else ~value
    index = max(i for i, start in enumerate(starts) if start <= magnitude)
    low, high = starts[index], starts[index + 1]
    return (low, high) if value > 0 else (~high + 1, ~low + 1)


def region_size(value: int) -> int:
    """How many outputs a key of this size can have: N of the leak scan for that region."""
    low, high = region_of(value)
    return high - low


def first_free_above(value: int) -> int:
    """Start of the first region above the largest source key: where the destination's sequences begin."""
    return region_of(max(value, 1))[1]


def largest_key(digits: int) -> int:
    """Largest integer whose whole region fits ``digits`` decimal digits: the limit of a numeric(p, s) joined with
    integers, digits = p - s. 0 when no region fits."""
    ends = [end for end in POSITIVE_STARTS[1:] if end <= 10**digits]
    return max(ends) - 1 if ends else 0
