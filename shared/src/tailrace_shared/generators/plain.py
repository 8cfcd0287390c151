"""Generators that need no key: duplicate, null, constant."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field

from tailrace_shared.generators.base import ALL_FAMILIES, GeneratorSpec, Injectivity, Making, Nulls
from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.types import Family

INTEGER_BITS = {"int2": 16, "int4": 32, "int8": 64}


class Duplicate(GeneratorSpec):
    """The value as it is: for columns that hold nothing personal."""

    generator: Literal["duplicate"] = "duplicate"
    families: ClassVar[frozenset[Family]] = ALL_FAMILIES
    domain_family: ClassVar[str] = "duplicate"
    masks: ClassVar[bool] = False

    def injectivity(self, column: MaskColumn) -> Injectivity:
        return "exact"


class Null(GeneratorSpec):
    """NULL in every row."""

    generator: Literal["null"] = "null"
    families: ClassVar[frozenset[Family]] = ALL_FAMILIES
    domain_family: ClassVar[str] = "null"
    nulls: ClassVar[Nulls] = "made"
    from_ordinal: ClassVar[bool] = True

    def making(self, column: MaskColumn) -> Making:
        return "exact"  # NULLs differ

    def injectivity(self, column: MaskColumn) -> Injectivity:
        return "exact"  # a unique index takes any number of NULLs; NULLS NOT DISTINCT and NOT NULL are the planner's

    def output_space(self, column: MaskColumn) -> int | None:
        return 0


class Constant(GeneratorSpec):
    """One value in every row that is not NULL, written as PostgreSQL reads the type."""

    generator: Literal["constant"] = "constant"
    value: bool | int | float | str = Field(description="The value, as PostgreSQL would read it for this type.")
    families: ClassVar[frozenset[Family]] = ALL_FAMILIES
    domain_family: ClassVar[str] = "constant"
    from_ordinal: ClassVar[bool] = True

    def making(self, column: MaskColumn) -> Making:
        return "free"

    @property
    def text(self) -> str:
        """The value as PostgreSQL's input text."""
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        return str(self.value)

    def output_space(self, column: MaskColumn) -> int | None:
        return 1

    def max_output_chars(self, column: MaskColumn) -> int | None:
        return len(self.text) if column.type.family == "text" else None

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        reason = misfit(self.text, column)
        if reason is None:
            return []
        return [Refusal("generator.constant", f"the constant {reason}", f"give a value that {column.type.name} takes")]


def misfit(text: str, column: MaskColumn) -> str | None:
    """Why PostgreSQL would not take the text for this column; None when it fits or only PostgreSQL can tell."""
    kind, family = column.type, column.type.family
    try:
        if family == "integer":
            bits = INTEGER_BITS.get(kind.base, 64)
            if not -(1 << (bits - 1)) <= int(text) < 1 << (bits - 1):
                return f"is out of the range of {kind.name}"
        elif family == "number":
            return _number_misfit(Decimal(text), column)
        elif family == "float":
            float(text)
        elif family == "uuid":
            UUID(text)
        elif family == "boolean":
            if text not in ("true", "false"):
                return "is not true or false"
        elif family == "date":
            date.fromisoformat(text)
        elif family in ("timestamp", "timestamptz"):
            datetime.fromisoformat(text)
        elif family == "time":
            time.fromisoformat(text)
        elif family == "enum":
            if kind.enum and text not in kind.enum:
                return f"is not a label of {kind.name}"
        elif family == "text":
            limit = char_limit(column)
            if limit is not None and len(text) > limit:
                return f"is longer than the {limit} characters of {kind.name}"
    except (ValueError, InvalidOperation):
        return f"is not a {kind.name}"
    return None


def _number_misfit(value: Decimal, column: MaskColumn) -> str | None:
    precision, scale = column.type.precision, column.type.scale or 0
    if not value.is_finite():
        return "is not a finite number"
    if precision is None:
        return None
    if abs(round(value, scale)) >= Decimal(10) ** (precision - scale):
        return f"is out of the range of {column.type.name}"
    return None
