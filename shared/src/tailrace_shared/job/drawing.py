"""The part of a job that says how rows are drawn from what was learned: rules that they keep, and rows that are given in part."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tailrace_shared.types import Frozen

Scalar = str | int | float | bool | None
"""A value as YAML has it; None, which a job writes as ``~``, is NULL: ``null`` is a text."""


class Combinations(Frozen):
    """Columns whose values come only in these combinations."""

    columns: tuple[str, ...] = Field(min_length=1, description="Which columns.")
    values: tuple[tuple[Scalar, ...], ...] = Field(
        min_length=1,
        max_length=10_000,
        description="The combinations: a list per combination, a value per column; `~` is NULL.",
    )

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if any(len(row) != len(self.columns) for row in self.values):
            raise ValueError("a combination has a value for each column")
        return self


class Seeds(Frozen):
    """Rows whose values are given, and completed by the model: those that are written here, or those of a table of the source."""

    columns: tuple[str, ...] = Field(min_length=1, description="Learned columns whose values are given.")
    rows: tuple[tuple[Scalar, ...], ...] = Field(
        default=(),
        max_length=1_000,
        description="The rows, a list of values each; `~` is NULL. Like all of a job they travel in clear: write no value that has "
        "to stay hidden.",
    )
    table: str = Field(
        default="",
        description="Instead of `rows`: `schema.table` of the source, a table or view that has these columns, of at most 10,000 "
        "rows. They are read while the run is planned, under its snapshot, and travel encrypted.",
    )

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if bool(self.rows) == bool(self.table):
            raise ValueError("give rows or a table")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError("a seed has a value for each of its columns")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("a column is named twice")
        return self


class Draw(Frozen):
    """How rows are drawn from a table's model. Rows that break a rule are drawn again, at most 50 times; then the run fails and
    says how many did."""

    ordered: tuple[tuple[str, str], ...] = Field(
        default=(), description="Pairs of columns of which the second is never below the first."
    )
    below: tuple[tuple[str, str], ...] = Field(
        default=(), description="Pairs of columns of which the first is always below the second."
    )
    among: tuple[Combinations, ...] = Field(
        default=(), description="Columns whose values come only in given combinations."
    )
    seeds: Seeds | None = Field(
        default=None, description="Rows that are given in some columns, used in turn; the model completes them."
    )

    @property
    def checks(self) -> tuple[tuple[str, ...], ...]:
        """The columns of each rule that rows are held against."""
        return (*self.ordered, *self.below, *(group.columns for group in self.among))
