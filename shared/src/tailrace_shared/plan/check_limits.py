"""What a CHECK says of one column, where it says it in a form that is plain to see: bounds, or a list of values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tailrace_shared.catalogue.model import CheckConstraint, Table

_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
_SUBJECT: Final = r'\(*(?:VALUE|"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\)*(?:::[a-z ]+(?:\([\d,]+\))?)?\)*'
_BOUND: Final = re.compile(rf"{_SUBJECT}\s*(?P<how>>=|<=|>|<)\s*\(*'?(?P<value>-?\d+(?:\.\d+)?)'?\)*(?:::[a-z ]+)?\)*")
_TEXT: Final = r"'(?:[^']|'')*'(?:::[a-z ]+)?"
_LIST: Final = re.compile(rf"{_SUBJECT}\s*= ANY \(+ARRAY\[(?P<items>{_TEXT}(?:, {_TEXT})*)\]\)?(?:::[a-z ]+\[\])?\)*")
_ONE: Final = re.compile(rf"{_SUBJECT}\s*= (?P<item>'(?:[^']|'')*')(?:::[a-z ]+)?\)*")


@dataclass(frozen=True)
class CheckLimits:
    """What a column's values must meet; ``whole`` says that nothing else is demanded of it."""

    low: Decimal | None = None
    above: bool = False
    """``low`` itself is not allowed."""
    high: Decimal | None = None
    below: bool = False
    values: tuple[str, ...] = ()

    def lowest(self, step: Decimal = Decimal(1)) -> Decimal | None:
        """The smallest value in steps."""
        return None if self.low is None else self.low + (step if self.above else 0)

    def highest(self, step: Decimal = Decimal(1)) -> Decimal | None:
        """The largest value in steps."""
        return None if self.high is None else self.high - (step if self.below else 0)


def limits_of(check: CheckConstraint) -> CheckLimits | None:
    """The limits that a check of one column is; None where it is another kind of check."""
    if len(check.columns) != 1:
        return None
    text = check.definition.removeprefix("CHECK ").removesuffix(" NOT VALID").strip()
    text = re.sub(r"^\((.*)\)$", r"\1", text, flags=re.DOTALL)
    found = CheckLimits()
    for part in text.split(" AND "):
        merged = _merged(found, part.strip())
        if merged is None:
            return None
        found = merged
    return found


def column_limits(table: Table, column: str) -> list[CheckLimits]:
    """Of all checks of a column that have a plain form."""
    mine = (limits_of(check) for check in table.checks if check.columns == (column,))
    return [limits for limits in mine if limits is not None]


def _merged(known: CheckLimits, part: str) -> CheckLimits | None:
    if bound := _BOUND.fullmatch(part):
        value = Decimal(bound["value"])
        if bound["how"].startswith(">"):
            return CheckLimits(value, bound["how"] == ">", known.high, known.below, known.values)
        return CheckLimits(known.low, known.above, value, bound["how"] == "<", known.values)
    if listed := _LIST.fullmatch(part):
        values = tuple(v.replace("''", "'") for v in _LITERAL.findall(listed["items"]))
        return CheckLimits(known.low, known.above, known.high, known.below, values)
    if one := _ONE.fullmatch(part):
        return CheckLimits(known.low, known.above, known.high, known.below, (one["item"][1:-1].replace("''", "'"),))
    return None
