"""Numbers, dates and times from a range."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tailrace_shared.generators.column import MaskColumn, Refusal
from tailrace_shared.generators.made import SPACE_MAX, Made
from tailrace_shared.generators.plain import misfit
from tailrace_shared.types import Family

Distribution = Literal["uniform", "normal"]
_DISTRIBUTION = (
    "uniform, or normal: most values near the middle, a standard deviation of a seventh of the range, none outside."
)
_EPOCH = date(1970, 1, 1)


class MakeNumber(Made):
    """A number from a range, both ends included."""

    generator: Literal["make.number"] = "make.number"
    low: Decimal = Field(default=Decimal(1), allow_inf_nan=False, description="Smallest value.")
    high: Decimal = Field(default=Decimal(1000), allow_inf_nan=False, description="Largest value.")
    scale: int | None = Field(
        default=None,
        ge=0,
        le=15,
        description="Fractional digits; default: the column's, none for integers, two where the type does not say.",
    )
    distribution: Distribution = Field(default="uniform", description=_DISTRIBUTION)
    families: ClassVar[frozenset[Family]] = frozenset({"integer", "number", "float"})

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

    def digits(self, column: MaskColumn) -> int:
        """Fractional digits in this column."""
        if column.type.family == "integer":
            return 0
        own = 2 if column.type.scale is None or column.type.family == "float" else max(0, column.type.scale)
        return own if self.scale is None else self.scale

    def units(self, column: MaskColumn) -> tuple[int, int]:
        """Smallest and largest value in units of the last digit."""
        unit = Decimal(10) ** self.digits(column)
        low, high = self.low * unit, self.high * unit
        return int(low.to_integral_value("ROUND_CEILING")), int(high.to_integral_value("ROUND_FLOOR"))

    def space(self, column: MaskColumn) -> int | None:
        low, high = self.units(column)
        return max(0, high - low + 1) or None

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        (low, high), digits = self.units(column), self.digits(column)
        if high < low:
            return [
                Refusal("generator.range", "there is no value between low and high", "widen the range, or raise scale")
            ]
        if high - low >= SPACE_MAX or max(abs(low), abs(high)) >= SPACE_MAX:
            return [Refusal("generator.range", "the range has too many values", "narrow the range, or lower scale")]
        kind = column.type
        if kind.family == "number" and kind.precision is not None and digits > max(0, kind.scale or 0):
            return [Refusal("generator.range", f"{kind.name} keeps fewer fractional digits", "lower scale")]
        unit = Decimal(1).scaleb(-digits)
        for end in (low * unit, high * unit):
            if reason := misfit(f"{end:f}", column):
                return [Refusal("generator.range", f"an end of the range {reason}", "narrow the range")]
        return []


class MakeDate(Made):
    """A date, a timestamp (whole seconds) or a time of day (whole seconds) from a range, both ends included."""

    generator: Literal["make.date"] = "make.date"
    low: str | None = Field(
        default=None, max_length=40, description="First one in ISO form; default: 2020-01-01, or 00:00:00 for a time."
    )
    high: str | None = Field(
        default=None, max_length=40, description="Last one in ISO form; default: 2024-12-31, or 23:59:59 for a time."
    )
    distribution: Distribution = Field(default="uniform", description=_DISTRIBUTION)
    families: ClassVar[frozenset[Family]] = frozenset({"date", "timestamp", "timestamptz", "time"})

    def ends(self, column: MaskColumn) -> tuple[int, int]:
        """First and last as days since 1970, or seconds since then or midnight. Raises ValueError."""
        if column.type.family == "time":
            return _of_day(self.low or "00:00:00"), _of_day(self.high or "23:59:59")
        low, high = self.low or "2020-01-01", self.high or "2024-12-31"
        if column.type.family == "date":
            return (date.fromisoformat(low) - _EPOCH).days, (date.fromisoformat(high) - _EPOCH).days
        return seconds_of(low), seconds_of(high if self.high else f"{high}T23:59:59")

    def space(self, column: MaskColumn) -> int | None:
        low, high = self.ends(column)
        return max(0, high - low + 1) or None

    def check(self, column: MaskColumn) -> list[Refusal]:
        if column.type.family in self.families:
            try:
                low, high = self.ends(column)
            except ValueError:
                return [
                    Refusal(
                        "generator.range", f"an end of the range is not a {column.type.name}", "write it in ISO form"
                    )
                ]
            if low > high:
                return [Refusal("generator.range", "low is above high", "exchange them")]
        return super().check(column)

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        if column.type.base != "timetz":
            return []
        return [Refusal("generator.family", "make.date does not make timetz", "use constant or null")]


def seconds_of(text: str) -> int:
    """Whole seconds since 1970; a moment without a zone is taken as UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _of_day(text: str) -> int:
    at = time.fromisoformat(text)
    if at.tzinfo is not None:
        raise ValueError("a time without zone is wanted")
    return at.hour * 3600 + at.minute * 60 + at.second
