"""Masks: the value, changed. Text within its shape, hashes, noise on numbers and dates."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tailrace_shared.generators.base import TEXT, GeneratorSpec, Injectivity, Making
from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.types import Family

HASH_SAFE_CHARS = 20
"""80 bits: a million distinct values collide with probability 4·10⁻¹³."""


class MaskText(GeneratorSpec):
    """Text within its shape: length, case, digits, punctuation and script stay; see `shapes`."""

    generator: Literal["mask.text"] = "mask.text"
    families: ClassVar[frozenset[Family]] = TEXT
    domain_family: ClassVar[str] = "text"

    def injectivity(self, column: MaskColumn) -> Injectivity:
        return "exact"

    def max_output_chars(self, column: MaskColumn) -> int | None:
        return char_limit(column)


class MaskHash(GeneratorSpec):
    """Hexadecimal digits of a keyed hash (AES-CMAC)."""

    generator: Literal["mask.hash"] = "mask.hash"
    length: int = Field(default=32, ge=4, le=32, description="Hexadecimal digits; fewer where the column is shorter.")
    families: ClassVar[frozenset[Family]] = TEXT
    domain_family: ClassVar[str] = "hash"
    from_ordinal: ClassVar[bool] = True

    def making(self, column: MaskColumn) -> Making:
        return "probable"

    def chars(self, column: MaskColumn) -> int:
        """Digits in this column: the option, or what fits."""
        limit = char_limit(column)
        return self.length if limit is None else min(self.length, limit)

    def injectivity(self, column: MaskColumn) -> Injectivity:
        return "probable" if self.chars(column) >= HASH_SAFE_CHARS else "none"

    def output_space(self, column: MaskColumn) -> int | None:
        return int(16 ** self.chars(column))

    def max_output_chars(self, column: MaskColumn) -> int | None:
        return self.chars(column)

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        if self.chars(column) >= 4:
            return []
        return [
            Refusal(
                "generator.too-long",
                f"mask.hash needs 4 characters, and the column takes {self.chars(column)}",
                "use mask.text, constant or null",
            )
        ]


class MaskNumber(GeneratorSpec):
    """Noise on a number, decided by the value and the domain: sign, scale and the type's range stay."""

    generator: Literal["mask.number"] = "mask.number"
    relative: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Largest change as a share of the value; 0.1 when `absolute` is not given, either.",
    )
    absolute: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Largest change in the column's unit."
    )
    families: ClassVar[frozenset[Family]] = frozenset({"integer", "number", "float"})
    domain_family: ClassVar[str] = "number"

    @model_validator(mode="after")
    def _one_kind_of_noise(self) -> Self:
        if self.relative is not None and self.absolute is not None:
            raise ValueError("give relative or absolute, not both")
        return self

    @property
    def share(self) -> float | None:
        """The relative noise in force; None when it is absolute."""
        return None if self.absolute is not None else (self.relative or 0.1)


class MaskDate(GeneratorSpec):
    """Noise on a date or time, decided by the value and the domain; infinity stays."""

    generator: Literal["mask.date"] = "mask.date"
    days: int = Field(
        default=30, ge=1, le=36_500, description="Largest shift of a date or timestamp, in days; never 0 days."
    )
    keep_time: bool = Field(default=True, description="Timestamps keep their time of day.")
    minutes: int = Field(
        default=60,
        ge=1,
        le=719,
        description="Largest shift of a `time` column, in minutes, wrapping at midnight; never 0.",
    )
    families: ClassVar[frozenset[Family]] = frozenset({"date", "timestamp", "timestamptz", "time"})
    domain_family: ClassVar[str] = "date"

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        if column.type.base != "timetz":
            return []
        return [Refusal("generator.family", "mask.date does not accept timetz", "use constant, null or duplicate")]
