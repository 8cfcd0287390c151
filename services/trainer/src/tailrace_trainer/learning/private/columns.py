"""Columns under differential privacy: the same encodings, from noisy histograms. What is not released is not used either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import (
    CategoryColumn,
    ColumnEncoding,
    FreshColumn,
    MomentColumn,
    NumberColumn,
    PatternColumn,
    Privacy,
    WordsColumn,
)
from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.columns import PLAIN_TEXT, LearnedColumn, Subject
from tailrace_trainer.learning.numbers import Resolution
from tailrace_trainer.learning.private import numbers
from tailrace_trainer.learning.private.numbers import PrivateNumber, learn_number
from tailrace_trainer.learning.private.release import Codes, Floats, Release
from tailrace_trainer.learning.texts import CATEGORIES_MAX, CATEGORY_SHARE, PATTERN_SHARE, PATTERNS_MAX, patterns, words
from tailrace_trainer.learning.values import DAY_US, MOMENTS, NUMBERS, finite_numbers_of

SECOND_US = 1_000_000.0
PARTS = 1 + numbers.UNITS
"""Into which the second unit of a text is cut: its shapes, or its number of words."""


class PrivateColumn(NamedTuple):
    """A column, and of every token the noisy share of its codes."""

    learned: LearnedColumn
    shares: tuple[Floats, ...]


class _Known(NamedTuple):
    """Rows with a value, and the noisy number of NULLs (0 where there is no code for it)."""

    rows: npt.NDArray[np.bool_]
    nulls: bool
    missing: float

    @property
    def first(self) -> list[float]:
        return [self.missing] if self.nulls else []

    def spread(self, codes: tuple[Codes, ...]) -> tuple[Codes, ...]:
        """Codes of the rows with a value as codes of all. Where NULL has no code, the first one stands in: that of another row
        would tell of it twice.
        """
        found = []
        for place, drawn in enumerate(codes):
            every = np.full(len(self.rows), -1 if place else 0, np.int32)
            every[self.rows] = drawn + int(self.nulls and place == 0)
            found.append(every)
        return tuple(found)

    def rank(self, positions: Floats) -> Floats:
        return np.concatenate([[np.nan], positions]) if self.nulls else positions


def units(subject: Subject) -> int:
    """What a column may take of the budget, decided before its rows are looked at: its type alone says."""
    family = subject.type.family
    if family in MOMENTS and subject.form in (None, "number"):
        return 1 + numbers.UNITS * (1 if family == "date" else 2)
    if family in NUMBERS and subject.form in (None, "number"):
        return 1 + numbers.UNITS
    return 3 if family == "text" else 2


def learn_private(
    subject: Subject, values: pa.Array, privacy: Privacy, resolution: Resolution, release: Release
) -> PrivateColumn:
    """Learn a column by releases of ``units`` in all. Raises TerminalError: ``trainer.column-rare``."""
    family = subject.type.family
    if family in NUMBERS and subject.form in (None, "number"):
        found, present = finite_numbers_of(values, subject.type)
        known = _known(present, subject, release)
        if family in MOMENTS:
            return _moment(subject, found[known.rows], known, resolution, release)
        number = learn_number(found[known.rows], step_of(subject.type), release, resolution)
        return _of_number(subject, number, known, lambda n: NumberColumn(**_named(subject, known), number=n))
    known = _known(np.asarray(pc.is_valid(values).to_numpy(zero_copy_only=False)), subject, release)
    if family == "uuid":
        counts = np.array([*known.first, max(1.0, release.rows - known.missing)])
        codes = known.spread((np.zeros(int(known.rows.sum()), np.int32),))
        return PrivateColumn(
            LearnedColumn(FreshColumn(**_named(subject, known)), {}, codes, (None,)), (counts / counts.sum(),)
        )
    return _text(subject, values.cast(pa.string()).drop_null(), known, privacy, resolution, release)


def step_of(column: ColumnType) -> float:
    """What values are multiples of, as the type alone says; 0 for any."""
    if column.family in ("time", "interval"):
        return SECOND_US
    if column.family == "integer":
        return 1.0
    return 10.0**-column.scale if column.family == "number" and column.scale is not None else 0.0


def _known(present: npt.NDArray[np.bool_], subject: Subject, release: Release) -> _Known:
    missing = float(release.counts((~present).astype(np.int32) - 1, 1)[0]) if subject.nullable else 0.0
    return _Known(present, subject.nullable, float(np.clip(missing, 0.5, release.rows)))


def _named(subject: Subject, known: _Known) -> dict[str, Any]:
    return {"columns": (subject.name,), "types": (subject.type,), "nulls": known.nulls}


def _nothing(subject: Subject, known: _Known) -> PrivateColumn:
    if not subject.nullable:
        raise TerminalError(
            "trainer.column-rare",
            f"nothing of column {subject.name} rises above the noise that epsilon asks for, and it may not be NULL",
            "Sample more rows, raise epsilon, or give the column another generator.",
        )
    encoding = CategoryColumn(columns=(subject.name,), types=(subject.type,), nulls=True, labels=(), rare=False)
    return PrivateColumn(
        LearnedColumn(encoding, {}, (np.zeros(len(known.rows), np.int32),), (None,)), (np.array([1.0]),)
    )


def _of_number(
    subject: Subject,
    number: PrivateNumber | None,
    known: _Known,
    encoding: Callable[..., ColumnEncoding],
    part: str = "number",
) -> PrivateColumn:
    if number is None:
        return _nothing(subject, known)
    tensors = {f"{part}.{name}": tensor for name, tensor in number.tensors.items()}
    codes = known.spread(number.codes)
    first, *others = number.ranks[: len(number.codes)]
    learned = LearnedColumn(encoding(number.number), tensors, codes, (known.rank(first), *others))
    return PrivateColumn(learned, _shares(known.first, number))


def _shares(before: list[float], number: PrivateNumber) -> tuple[Floats, ...]:
    first = np.concatenate([before, np.maximum(number.counts, 0.5)])
    cells = number.number.cells
    even = (np.full(cells, 1 / cells),) if number.number.bins else ()
    return (first / first.sum(), *even)


def _moment(
    subject: Subject, moments: Floats, known: _Known, resolution: Resolution, release: Release
) -> PrivateColumn:
    days = np.floor(moments / DAY_US)
    day = learn_number(days, 1.0, release, resolution)
    if day is None:
        return _nothing(subject, known)
    codes, ranks, shares = (
        [*day.codes],
        [known.rank(day.ranks[0]), *day.ranks[1 : len(day.codes)]],
        [*_shares(known.first, day)],
    )
    tensors = {f"day.{name}": tensor for name, tensor in day.tensors.items()}
    clock = None
    if subject.type.family != "date":
        clock = learn_number(moments - days * DAY_US, SECOND_US, release, resolution)
        if clock is None:
            return _nothing(subject, known)
        codes += clock.codes
        ranks += clock.ranks[: len(clock.codes)]
        shares += _shares([], clock)
        tensors |= {f"clock.{name}": tensor for name, tensor in clock.tensors.items()}
    encoding = MomentColumn(
        **_named(subject, known), day=day.number, weekday=False, clock=clock.number if clock else None
    )  # fmt: skip
    spread = known.spread(tuple(codes))
    return PrivateColumn(LearnedColumn(encoding, tensors, spread, tuple(ranks)), tuple(shares))


def _text(
    subject: Subject, texts: pa.Array, known: _Known, privacy: Privacy, resolution: Resolution, release: Release
) -> PrivateColumn:
    closed = subject.type.family != "text"
    labels, counts, codes = release.found(texts)
    labels, counts = labels.slice(0, CATEGORIES_MAX), counts[:CATEGORIES_MAX]
    codes = np.where(codes < CATEGORIES_MAX, codes, -1)
    share = float(counts.sum() + known.missing) / max(1, release.rows)
    if len(labels) and (subject.form == "category" or closed or (subject.form is None and share >= CATEGORY_SHARE)):
        constant = privacy.rare == "constant" and subject.type.base in PLAIN_TEXT
        category = CategoryColumn(
            **_named(subject, known), labels=tuple(labels.to_pylist()), rare=True,
            replacement=privacy.replacement if constant else None,
        )  # fmt: skip
        return _names(category, counts, codes, known, release)
    if closed or subject.form == "category":
        return _nothing(subject, known)
    other = release.part(1 / PARTS)
    shapes, counts, codes = other.found(patterns(texts))
    shapes, counts = shapes.slice(0, PATTERNS_MAX), counts[:PATTERNS_MAX]
    codes = np.where(codes < PATTERNS_MAX, codes, -1)
    share = float(counts.sum() + known.missing) / max(1, release.rows)
    if len(shapes) and (subject.form == "pattern" or (subject.form is None and share >= PATTERN_SHARE)):
        pattern = PatternColumn(**_named(subject, known), patterns=tuple(shapes.to_pylist()), rare=True)
        return _names(pattern, counts, codes, known, release)
    number = learn_number(words(texts), 1.0, other, resolution)
    return _of_number(subject, number, known, lambda n: WordsColumn(**_named(subject, known), words=n), "words")


def _names(encoding: ColumnEncoding, counts: Floats, codes: Codes, known: _Known, release: Release) -> PrivateColumn:
    """Of labels or shapes: NULL, RARE, then they."""
    rare = max(0.5, release.rows - known.missing - float(counts.sum()))
    shares = np.array([*known.first, rare, *np.maximum(counts, 0.5)])
    spread = known.spread(((codes + 1).astype(np.int32),))
    return PrivateColumn(LearnedColumn(encoding, {}, spread, (None,)), (shares / shares.sum(),))
