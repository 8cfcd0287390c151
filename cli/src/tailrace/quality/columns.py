"""A table as the measures see it: numbers as float64, names as Arrow text, NULL kept as what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["number", "moment", "name", "opaque"]
"""``moment``: seconds since 1970, or of a day. ``opaque``: text that stands for itself alone (identifiers, free text, keys), of
which only lengths and counts are compared."""
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Column:
    """One column of a sample."""

    kind: Kind
    numbers: Floats | None = None
    """Of a number or moment: NaN where it is NULL."""
    texts: pa.Array | None = None
    """Of a name or opaque column: null where it is NULL."""

    def __len__(self) -> int:
        return len(self.values) if self.texts is None else len(self.texts)

    @property
    def values(self) -> Floats:
        """The numbers. Raises TypeError for a column of text."""
        if self.numbers is None:
            raise TypeError("a column of text has no numbers")
        return self.numbers

    @property
    def missing(self) -> npt.NDArray[np.bool_]:
        """Where it is NULL; NaN counts as NULL."""
        if self.numbers is not None:
            return np.isnan(self.numbers)
        found: npt.NDArray[np.bool_] = self.texts.is_null().to_numpy(zero_copy_only=False)  # type: ignore[union-attr]
        return found

    def take(self, places: npt.NDArray[Any]) -> Column:
        """The rows at these places."""
        if self.numbers is not None:
            return Column(self.kind, numbers=self.numbers[places])
        return Column(self.kind, texts=self.texts.take(pa.array(places)))  # type: ignore[union-attr]

    def as_kind(self, kind: Kind) -> Column:
        """The same values, looked at in another way: a number as a name, a name as opaque."""
        if kind == self.kind:
            return self
        if self.numbers is not None and kind in ("name", "opaque"):
            texts = pa.array([None if np.isnan(v) else repr(float(v)) for v in self.numbers], pa.string())
            return Column(kind, texts=texts)
        return Column(kind, numbers=self.numbers, texts=self.texts)


Rows = Mapping[str, Column]


def numbers(values: npt.ArrayLike) -> Column:
    """A column of numbers."""
    return Column("number", numbers=np.asarray(values, np.float64))


def names(values: Sequence[Any] | npt.NDArray[Any]) -> Column:
    """A column of names, by their text; None is NULL."""
    return Column("name", texts=pa.array([None if v is None else str(v) for v in values], pa.string()))


def size_of(rows: Rows) -> int:
    """How many rows there are; 0 without a column."""
    return next((len(column) for column in rows.values()), 0)


def take(rows: Rows, places: npt.NDArray[Any]) -> dict[str, Column]:
    """The rows at these places."""
    return {name: column.take(places) for name, column in rows.items()}


def some(rows: Rows, size: int, rng: np.random.Generator) -> dict[str, Column]:
    """At most ``size`` rows, drawn without replacement."""
    return take(rows, rng.permutation(size_of(rows))[:size])


def select(rows: Rows, wanted: Sequence[str]) -> dict[str, Column]:
    """Some of the columns."""
    return {name: rows[name] for name in wanted}


def codes(*sides: Column) -> tuple[Codes, ...]:
    """Equal values (NULL too) have equal codes on all sides, in the order of the values."""
    sizes = np.cumsum([len(side) for side in sides])[:-1]
    if sides[0].numbers is not None:
        _, found = np.unique(np.concatenate([side.values for side in sides]), return_inverse=True)
    else:
        encoded = pa.concat_arrays([side.texts for side in sides]).dictionary_encode(null_encoding="encode")
        order = pc.rank(encoded.dictionary).to_numpy().astype(np.int64) - 1
        found = order[encoded.indices.to_numpy(zero_copy_only=False)]
    return tuple(np.split(found.astype(np.int64), sizes))


def row_codes(*sides: Rows) -> tuple[Codes, ...]:
    """Equal rows have equal codes on all sides, column by column exactly."""
    total = sum(map(size_of, sides))
    found = np.zeros(total, np.int64)
    for name in sides[0]:
        column = np.concatenate(codes(*(side[name] for side in sides)))
        _, found = np.unique(found * (int(column.max(initial=0)) + 1) + column, return_inverse=True)
    return tuple(np.split(found.astype(np.int64), np.cumsum([size_of(side) for side in sides])[:-1]))
