"""Which values have a partition, where one column decides and its partitions' bounds are plain: ranges, or lists of values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

from tailrace_shared.catalogue.model import Column, Table
from tailrace_shared.generators import Ai, Constant, MakeChoice, MakeDate, MakeNumber, seconds_of
from tailrace_shared.plan.model import PlannedColumn

_RANGE: Final = re.compile(r"FOR VALUES FROM \((?P<low>[^,()]*)\) TO \((?P<high>[^,()]*)\)")
_IN: Final = re.compile(r"FOR VALUES IN \((?P<items>.*)\)")
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'|(-?[\d.]+)")
_EPOCH: Final = date(1970, 1, 1)
Point = Decimal


@dataclass(frozen=True)
class Span:
    """Consecutive partitions: from ``low`` to below ``high``, as texts of PostgreSQL; empty is unbounded."""

    low: str
    high: str


@dataclass(frozen=True)
class Covered:
    """What has a partition: spans of a range, or the values of a list."""

    spans: tuple[Span, ...] = ()
    values: tuple[str, ...] = ()


def covered(table: Table, column: Column) -> Covered | None:
    """What the partitions of a table cover of the column that decides; None where that is not plain to see."""
    if table.bounded_columns != (column.name,) or any(len(p.bounds) != 1 for p in table.partitions):
        return None
    texts = [p.bounds[0] for p in table.partitions]
    if all(found := [_IN.fullmatch(text) for text in texts]):
        return Covered(values=tuple(v for m in found if m for v in _literals(m["items"])))
    ranges = [_RANGE.fullmatch(text) for text in texts]
    spans = [Span(_end(m["low"]), _end(m["high"])) for m in ranges if m]
    if len(spans) != len(texts) or not spans:
        return None
    try:
        return Covered(spans=tuple(_joined(column, spans)))
    except (ValueError, InvalidOperation):
        return None


def stays_inside(table: Table, planned: PlannedColumn) -> bool:
    """Whether every value that the generator makes has a partition."""
    column = table.column(planned.name)
    held = covered(table, column) if column else None
    if held is None or column is None or planned.mask is None:
        return False
    rule = planned.rule
    if isinstance(rule, MakeChoice | Constant):
        texts = rule.texts(planned.mask) if isinstance(rule, MakeChoice) else (rule.text,)
        return bool(held.values) and set(texts) <= set(held.values)
    if isinstance(rule, MakeNumber):
        unit = Decimal(1).scaleb(-rule.digits(planned.mask))
        low, high = (end * unit for end in rule.units(planned.mask))
    elif isinstance(rule, MakeDate):
        low, high = map(Decimal, rule.ends(planned.mask))
    else:
        return False
    return any(_holds(column, span, low, high) for span in held.spans)


def learned_inside(source: Table, destination: Table, planned: PlannedColumn) -> PlannedColumn | None:
    """A learned column in the form whose every value has a partition; None where that is not sure.

    What a model draws lies between the source's extremes, or is one of its categories: partitions without a gap between them, or
    lists that the source has too, hold all of it. A default partition holds anything.
    """
    rule = planned.rule
    if not isinstance(rule, Ai):
        return None
    if any(partition.bounds == ("DEFAULT",) for partition in destination.partitions):
        return planned
    sides = [(table, table.column(planned.name)) for table in (source, destination)]
    ours, theirs = (covered(table, column) if column else None for table, column in sides)
    if ours is None or theirs is None:
        return None
    if ours.values:
        inside = set(ours.values) <= set(theirs.values) and rule.form in (None, "category")
        return planned.model_copy(update={"rule": rule.model_copy(update={"form": "category"})}) if inside else None
    return planned if len(ours.spans) == 1 and ours.spans == theirs.spans and rule.form in (None, "number") else None


def _holds(column: Column, span: Span, low: Point, high: Point) -> bool:
    above = not span.low or point_of(column, span.low) <= low
    return above and (not span.high or high < point_of(column, span.high))


def point_of(column: Column, text: str) -> Point:
    """A bound as a number that `make.date` or `make.number` counts in. Raises ValueError for what is none."""
    if column.type.family == "date":
        return Decimal((date.fromisoformat(text) - _EPOCH).days)
    if column.type.family in ("timestamp", "timestamptz"):
        return Decimal(seconds_of(text))
    if column.type.family in ("integer", "number"):
        return Decimal(text)
    raise ValueError("no range of numbers or dates")


def _joined(column: Column, spans: Iterable[Span]) -> list[Span]:
    """Spans that touch become one; in ascending order."""
    least = Decimal("-Infinity")
    ordered = sorted(spans, key=lambda s: point_of(column, s.low) if s.low else least)
    found: list[Span] = []
    for span in ordered:
        if found and found[-1].high and found[-1].high == span.low:
            found[-1] = Span(found[-1].low, span.high)
        else:
            found.append(span)
    return found


def _literals(text: str) -> list[str]:
    return [(m[1].replace("''", "'") if m[1] is not None else m[2]) for m in _LITERAL.finditer(text)]


def _end(text: str) -> str:
    if text in ("MINVALUE", "MAXVALUE"):
        return ""
    return next(iter(_literals(text)), text)
