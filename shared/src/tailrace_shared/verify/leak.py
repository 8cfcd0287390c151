"""The leak scan's rule: how many original values may be among the masked ones by chance alone, and when there are too many.

Of m distinct masked values and n distinct original ones, drawn independently from N possible values, n·m/N agree on average.
The scan fails above n·m/N + 5σ; where that is all of the sample, the check says that it measures nothing. A generator that keeps
a value's form (integers stay in their region, text in its shape) draws from as many spaces as there are forms; each is counted on
its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from math import exp, expm1, sqrt

from tailrace_shared.generators import MaskColumn, shape_of, shape_size
from tailrace_shared.generators.regions import region_of
from tailrace_shared.generators.shapes import LARGE_SHAPE
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import PlannedColumn, PlannedTable

SIGMAS = 5
FALSE_ALARMS = 3e-7
"""What five standard deviations are for a normal count. Small counts are skewed: of an expected 0.03, one hit is already above
5σ and happens in every thirtieth column, so they are judged by the Poisson distribution itself."""
SKEWED_BELOW = 100.0
_SHAPED = frozenset({"key", "mask.text"})
"""Generators that permute within a form, so that the data decide about N."""


def leak_weight(column: PlannedColumn, values: Iterable[str]) -> float | None:
    """Expected overlap per distinct original value, for these distinct masked values (as text).

    None where chance is no measure: noise moves a value by a little and lands on other originals by design.
    """
    if column.mask is None:
        space = column.rule.output_space(MaskColumn(type=column.type, domain="", family=column.type.family))
        return None if space is None else _weight([(space, sum(1 for _ in values))])
    if column.rule.generator in _SHAPED and column.mask.family in ("integer", "number", "text"):
        return _weight(_by_form(column.mask, values))
    space = column.rule.output_space(column.mask)
    return None if space is None else _weight([(space, sum(1 for _ in values))])


def leak_limit(weight: float, source_distinct: int) -> float:
    """The largest overlap that chance explains: five standard deviations above the expected (Poisson) count, or as unlikely."""
    expected = weight * source_distinct
    if expected >= SKEWED_BELOW:
        return expected + SIGMAS * sqrt(expected)
    count, probability = 0, exp(-expected)
    above = -expm1(-expected)
    while above > FALSE_ALARMS:
        count += 1
        probability *= expected / count
        above -= probability
    return float(count)


def leak_check(
    table: PlannedTable, column: PlannedColumn, sampled: int, found: int, source_distinct: int, weight: float | None
) -> Check:
    """The verdict on one column, in counts."""
    name = f"leak {table.name}.{column.name}"
    if weight is None:
        return Check(name=name, passed=True, detail="not measured: noise lands on other values by design")
    if not sampled or not source_distinct:
        return Check(name=name, passed=True, detail="no values to compare")
    limit = leak_limit(weight, source_distinct)
    if limit >= sampled and limit > 0:
        why = f"{sampled:,} values out of few may be among {source_distinct:,} originals by chance"
        return Check(name=name, passed=True, detail=f"not measured: {why}")
    detail = f"{found:,} of {sampled:,} values are among {source_distinct:,} originals, chance allows {limit:,.0f}"
    return Check(name=name, passed=found <= limit, detail=detail)


def judge_leak(
    table: PlannedTable, column: PlannedColumn, values: list[str], found: int, source_distinct: int
) -> Check:
    """The verdict where sample and counts are at hand at once."""
    return leak_check(table, column, len(values), found, source_distinct, leak_weight(column, values))


def _weight(groups: Iterable[tuple[int, int]]) -> float:
    """Σ over spaces of (share of the sample in the space) · (sampled values in it) / N."""
    sizes = [(space, count) for space, count in groups if count]
    sampled = sum(count for _, count in sizes)
    return sum(count / sampled * count / max(1, space) for space, count in sizes)


def _by_form(column: MaskColumn, values: Iterable[str]) -> list[tuple[int, int]]:
    """(N, sampled values) per form."""
    counts = Counter(_form(column, value) for value in values)
    return [(space, count) for (_, space), count in counts.items()]


def _form(column: MaskColumn, value: str) -> tuple[Hashable, int]:
    """What the mask keeps of a value, and how many values share it."""
    if column.family == "text":
        text = value.lower() if column.folded else value
        return shape_of(text), shape_size(text, folded=column.folded)
    try:
        region = region_of(int(value))
    except ValueError:  # a fraction, or beyond int8: within its count of digits
        digits = sum(map(str.isdigit, value))
        return digits, min(LARGE_SHAPE, 9 * 10 ** max(0, digits - 1))
    return region, region[1] - region[0]
