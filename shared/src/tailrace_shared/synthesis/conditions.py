"""Conditions on sampled rows: a column fixed, kept between limits, or re-weighted.

A condition multiplies the chances of its column's codes. It is *exact* (the rows are those that the model would have drawn and that
satisfy it) for columns that the model draws first; behind other columns it holds, but what was drawn before does not know of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis.encodings import CategoryColumn, ColumnEncoding, NumberColumn
from tailrace_shared.synthesis.header import Header
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_shared.types import Frozen

Factors = npt.NDArray[np.float32]


class Weighted(Frozen):
    """Values by weight: ``{"F": 2, "M": 1}`` draws F twice as often against M as the model would; others not at all."""

    condition: Literal["weighted"] = "weighted"
    column: str
    weights: dict[str | None, float]
    """By canonical text; None is NULL. A single value fixes the column."""

    @model_validator(mode="after")
    def _some(self) -> Weighted:
        if not any(weight > 0 for weight in self.weights.values()) or min(self.weights.values()) < 0:
            raise ValueError("weights are not negative, and one of them is positive")
        return self


class Between(Frozen):
    """Numbers from ``low`` to ``high``, both included; no NULL."""

    condition: Literal["between"] = "between"
    column: str
    low: float = -np.inf
    high: float = np.inf

    @model_validator(mode="after")
    def _ordered(self) -> Between:
        if not self.low <= self.high:
            raise ValueError("low is not above high")
        return self


Condition = Annotated[Weighted | Between, Field(discriminator="condition")]


class Ordered(Frozen):
    """A rule on rows: ``low`` is not above ``high``; with NULL on a side it holds."""

    rule: Literal["ordered"] = "ordered"
    low: str
    high: str
    strict: bool = False
    """Nor equal to it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it is about."""
        return self.low, self.high


class Among(Frozen):
    """A rule on rows: the columns' values together are one of some combinations of canonical texts (None is NULL)."""

    rule: Literal["among"] = "among"
    columns: tuple[str, ...] = Field(min_length=1)
    combinations: tuple[tuple[str | None, ...], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _as_many(self) -> Among:
        if any(len(values) != len(self.columns) for values in self.combinations):
            raise ValueError("a combination has a value for each column")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it is about."""
        return self.columns


Rule = Annotated[Ordered | Among, Field(discriminator="rule")]
"""Rows that break one are drawn again, in a bounded number of tries."""


class Bound(NamedTuple):
    """A condition on the tokens of its column."""

    first: Factors
    """[codes of the first token]"""
    second: Factors | None
    """[codes of the first token, cells]; None: the cell is free."""
    low: float
    high: float


def bound(condition: Condition, column: ColumnEncoding, tensors: Mapping[str, Tensor]) -> Bound:
    """The condition in codes; ``tensors`` by their names within the column.

    Raises TerminalError (``sample.condition``) for a column whose form takes no such condition, and where nothing satisfies it.
    """
    if isinstance(condition, Between):
        if not isinstance(column, NumberColumn):
            raise _refused(condition, "it is no number")
        found = _between(condition, column, tensors)
    elif isinstance(column, CategoryColumn):
        values: list[str | None] = [None] * column.nulls + [column.replacement or ""] * column.rare + [*column.labels]
        factors = [condition.weights.get(value, 0.0) for value in values]
        if column.rare:
            factors[int(column.nulls)] = 0.0
        found = Bound(np.array(factors, np.float32), None, -np.inf, np.inf)
    elif isinstance(column, NumberColumn):
        found = _atoms(condition, column, tensors)
    else:
        raise _refused(condition, f"columns of the form {column.form} take no conditions")
    if not found.first.any():
        raise _refused(condition, "the model has no value that satisfies it")
    return found


def exact(header: Header, columns: Collection[str]) -> bool:
    """Whether conditions on these columns are exact: the model draws them before all others."""
    conditioned = {place for place, column in enumerate(header.columns) if set(column.columns) & set(columns)}
    mine = [ref.column in conditioned for ref in header.order]
    return mine == sorted(mine, reverse=True)


def _atoms(condition: Weighted, column: NumberColumn, tensors: Mapping[str, Tensor]) -> Bound:
    nulls, number = int(column.nulls), column.number
    factors = np.zeros(nulls + number.atoms + number.bins, np.float32)
    atoms = tensors.get("number.atoms", np.zeros(0))
    for value, weight in condition.weights.items():
        if value is None:
            if not nulls:
                continue
            factors[0] = weight
            continue
        try:
            factors[nulls:][np.flatnonzero(atoms == float(value))] = weight
        except ValueError:
            raise _refused(condition, "one of its weights is for something that is no number") from None
    return Bound(factors, None, -np.inf, np.inf)


def _between(condition: Between, column: NumberColumn, tensors: Mapping[str, Tensor]) -> Bound:
    """Codes by the share of them that lies inside; within an edge cell, values move to the limit."""
    nulls, number = int(column.nulls), column.number
    atoms = tensors.get("number.atoms", np.zeros(0))
    inside = (atoms >= condition.low) & (atoms <= condition.high)
    first = np.concatenate([np.zeros(nulls), inside.astype(np.float64)])
    if not number.bins:
        return Bound(first.astype(np.float32), None, condition.low, condition.high)
    knots = tensors["number.knots"]
    low, high = knots[:, :-1], knots[:, 1:]
    wide = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (np.minimum(high, condition.high) - np.maximum(low, condition.low)) / wide
    part = np.where(wide > 0, np.clip(part, 0, 1), (low >= condition.low) & (low <= condition.high))
    cells = part.reshape(number.bins, number.cells, -1).mean(axis=2)
    first = np.concatenate([first, cells.mean(axis=1)]).astype(np.float32)
    second = np.concatenate([np.ones((nulls + number.atoms, number.cells)), cells]).astype(np.float32)
    return Bound(first, second if number.cells > 1 else None, condition.low, condition.high)


def _refused(condition: Condition, reason: str) -> TerminalError:
    return TerminalError(
        "sample.condition", f"the condition on column {condition.column} cannot be met: {reason}",
        "Condition on categories and numbers that the model knows; inspect the model for them.",
    )  # fmt: skip
