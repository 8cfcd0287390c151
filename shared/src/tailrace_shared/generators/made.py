"""Values made from nothing but a row's ordinal: the columns of a generated table.

Most of these generators are *indexed*: they have a number of possible values, and a draw from 0 to that number less one picks
one. A unique index turns the draws of its columns into digits of one permuted number, so that no two rows agree in all of them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from tailrace_shared.generators.base import ALL_FAMILIES, TEXT, GeneratorSpec, Making
from tailrace_shared.generators.column import MaskColumn, Refusal, char_limit
from tailrace_shared.generators.plain import Constant, misfit
from tailrace_shared.types import Family

SPACE_MAX = 1 << 62
"""Draws are below: they are computed in 64 bits, signed."""
WORD_CHARS = 9
"""Characters of the longest word of `make.words`."""


class Made(GeneratorSpec):
    """Base: makes a value from (secret, table, column, ordinal); never reads one."""

    null_share: float = Field(default=0.0, ge=0, le=1, description="Share of rows that are NULL.")
    families: ClassVar[frozenset[Family]] = ALL_FAMILIES
    domain_family: ClassVar[str] = "made"
    from_value: ClassVar[bool] = False
    from_ordinal: ClassVar[bool] = True

    def making(self, column: MaskColumn) -> Making:
        return "indexed" if self.space(column) else "free"

    def space(self, column: MaskColumn) -> int | None:
        """How many values a draw chooses from; None where it is not indexed."""
        return None

    def output_space(self, column: MaskColumn) -> int | None:
        return self.space(column)


class MakeBoolean(Made):
    """true or false."""

    generator: Literal["make.boolean"] = "make.boolean"
    share: float = Field(default=0.5, ge=0, le=1, description="Share of rows that are true.")
    families: ClassVar[frozenset[Family]] = frozenset({"boolean"})

    def space(self, column: MaskColumn) -> int | None:
        return 2


class MakeChoice(Made):
    """One of some values; of an enum's labels where none are given."""

    generator: Literal["make.choice"] = "make.choice"
    values: tuple[bool | int | float | str, ...] = Field(
        default=(),
        max_length=10_000,
        description="The values, as PostgreSQL reads the type; default: the enum's labels.",
    )
    weights: tuple[Annotated[float, Field(gt=0, le=1e9)], ...] = Field(
        default=(), description="How often each value comes, in the order of `values`; default: equally often."
    )

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if self.weights and len(self.weights) != len(self.values):
            raise ValueError("give as many weights as values")
        return self

    def texts(self, column: MaskColumn) -> tuple[str, ...]:
        """The values as PostgreSQL's texts."""
        return tuple(Constant(value=value).text for value in self.values) or column.type.enum

    def space(self, column: MaskColumn) -> int | None:
        return len(self.texts(column)) or None

    def max_output_chars(self, column: MaskColumn) -> int | None:
        return max(map(len, self.texts(column)), default=0)

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        texts = self.texts(column)
        if not texts:
            return [Refusal("generator.choice", "make.choice has no values to choose from", "give values: […]")]
        reason = next((found for text in texts if (found := misfit(text, column))), None)
        if reason is None:
            return []
        return [
            Refusal("generator.choice", f"one of the values {reason}", f"give values that {column.type.name} takes")
        ]


class MakeWords(Made):
    """Words without meaning, never longer than the column."""

    generator: Literal["make.words"] = "make.words"
    least: int = Field(default=2, ge=1, le=200, description="Words, at least.")
    most: int = Field(default=8, ge=1, le=200, description="Words, at most.")
    families: ClassVar[frozenset[Family]] = TEXT

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError("least is above most")
        return self

    def max_output_chars(self, column: MaskColumn) -> int | None:
        longest, limit = self.most * (WORD_CHARS + 1), char_limit(column)
        return longest if limit is None else min(longest, limit)


class MakeSequence(Made):
    """start, start + step, …: the value of row n is start + n · step."""

    generator: Literal["make.sequence"] = "make.sequence"
    start: int = Field(default=1, gt=-(1 << 62), lt=1 << 62, description="Value of the first row.")
    step: int = Field(default=1, ge=-(10**9), le=10**9, description="From one row to the next.")
    families: ClassVar[frozenset[Family]] = frozenset({"integer", "number"})

    def making(self, column: MaskColumn) -> Making:
        return "exact" if self.step else "free"

    def refuse_rows(self, column: MaskColumn, rows: int) -> str | None:
        for text in {str(self.start), str(self.start + self.step * max(0, rows - 1))}:
            if reason := misfit(text, column):
                return f"the value of the first or last of {rows:,} rows {reason}"
        return None


Part = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class MakePattern(Made):
    """Text by a pattern: `9` a digit, `A` an upper-case and `a` a lower-case letter, `X` either a digit or an upper-case letter;
    a backslash keeps the next character; everything else stays."""

    generator: Literal["make.pattern"] = "make.pattern"
    pattern: Part = Field(description="The pattern, such as AA-9999.")
    families: ClassVar[frozenset[Family]] = TEXT

    def alphabets(self) -> list[str]:
        """Per character of the output those that it may be."""
        found, escaped = [], False
        for char in self.pattern:
            if char == "\\" and not escaped:
                escaped = True
                continue
            found.append(char if escaped else PATTERN_ALPHABETS.get(char, char))
            escaped = False
        return found

    def space(self, column: MaskColumn) -> int | None:
        size = 1
        for alphabet in self.alphabets():
            size *= len(alphabet)
        return min(size, SPACE_MAX)

    def max_output_chars(self, column: MaskColumn) -> int | None:
        return len(self.alphabets())

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        limit, length = char_limit(column), len(self.alphabets())
        if limit is None or length <= limit:
            return []
        return [
            Refusal(
                "generator.too-long", f"make.pattern makes {length} characters, and the column takes {limit}",
                "shorten the pattern",
            )
        ]  # fmt: skip


_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PATTERN_ALPHABETS = {"9": "0123456789", "A": _UPPER, "a": _UPPER.lower(), "X": "0123456789" + _UPPER}


class MakeReference(Made):
    """A key of a generated or carried table: of a row that is drawn. All columns of one foreign key refer to the same row."""

    generator: Literal["make.reference"] = "make.reference"
    skew: int = Field(
        default=0,
        ge=0,
        le=20,
        description="0: all rows are referred to about equally often. From 1 on a few are referred to more and more often: the "
        "busiest fifth gets 45 % at 1, 58 % at 2, 72 % at 4, 82 % at 7.",
    )
    from_value: ClassVar[bool] = True
