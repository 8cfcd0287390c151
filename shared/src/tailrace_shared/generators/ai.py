"""Values sampled from a model that was learned from the source's table."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tailrace_shared.generators.base import ALL_FAMILIES, GeneratorSpec, Making
from tailrace_shared.generators.column import MaskColumn, Refusal
from tailrace_shared.types import Family

FRESH_UUIDS = 1 << 122
"""A uuid is never learned but made: version 4 has so many."""
NUMERIC: frozenset[Family] = frozenset({"integer", "number", "float"})


class Ai(GeneratorSpec):
    """A value from a model of the table: like the real ones, together with the row's other columns, and nobody's."""

    generator: Literal["ai"] = "ai"
    form: Literal["category", "number", "pattern", "words", "list"] | None = Field(
        default=None, description="How the column is learned, instead of how its values suggest."
    )
    weights: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(
        default_factory=dict,
        max_length=1000,
        description="Only these values, each so many times as often as the model would draw it; a single one is in every row.",
    )
    low: float | None = Field(default=None, description="Only numbers from here on; no NULL.")
    high: float | None = Field(default=None, description="Only numbers up to here; no NULL.")

    families: ClassVar[frozenset[Family]] = ALL_FAMILIES
    domain_family: ClassVar[str] = "ai"
    from_value: ClassVar[bool] = False
    from_ordinal: ClassVar[bool] = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.weights and (self.low is not None or self.high is not None):
            raise ValueError("give weights or limits, not both")
        if self.weights and not any(weight > 0 for weight in self.weights.values()):
            raise ValueError("one of the weights is above 0")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is above high")
        return self

    @property
    def conditioned(self) -> bool:
        """Whether not all of the model's values are wanted."""
        return bool(self.weights) or self.low is not None or self.high is not None

    def making(self, column: MaskColumn) -> Making:
        return "probable" if column.type.family == "uuid" else "free"

    def output_space(self, column: MaskColumn) -> int | None:
        return FRESH_UUIDS if column.type.family == "uuid" else None

    def refusals(self, column: MaskColumn) -> list[Refusal]:
        family, found = column.type.family, []
        if (self.low is not None or self.high is not None or self.form == "number") and family not in NUMERIC:
            what = "ai takes limits and the form number for numbers only"
            found.append(Refusal("generator.ai", what, "remove them, or give weights"))
        if self.form in ("pattern", "words") and family != "text":
            found.append(
                Refusal("generator.ai", f"ai learns the form {self.form} for texts only", "remove it, or use category")
            )
        return found
