"""From columns to codes: how each is encoded, decided by its type and by what enough entities share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import (
    CategoryColumn,
    ColumnEncoding,
    FreshColumn,
    ListColumn,
    MomentColumn,
    NumberColumn,
    PatternColumn,
    PlaceColumn,
    Privacy,
    WordsColumn,
)
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.lists import ELEMENT_SHARE, Lists, learn_lists
from tailrace_trainer.learning.moments import learn_moments
from tailrace_trainer.learning.numbers import LearnedNumber, Resolution, learn_number, step_of
from tailrace_trainer.learning.places import learn_places
from tailrace_trainer.learning.protection import Codes, Entities, Floats
from tailrace_trainer.learning.texts import (
    CATEGORIES_MAX,
    CATEGORY_SHARE,
    PATTERN_SHARE,
    PATTERNS_MAX,
    keep,
    patterns,
    words,
)
from tailrace_trainer.learning.values import MOMENTS, NUMBERS, numbers_of

Form = Literal["category", "number", "pattern", "words", "list"]
FLOAT4_TOLERANCE = 1e-6
FLOAT8_TOLERANCE = 1e-12
"""Relative error that a float's own type brings; decimals that are nearer count as exact."""
LIST_SHARE = 0.95
"""Rows that whole arrays must cover for them to be categories; otherwise their elements are learned."""
PLAIN_TEXT = ("text", "varchar")
"""Types whose rare values a constant may replace: others would refuse it."""


class Subject(NamedTuple):
    """A column to learn."""

    name: str
    type: ColumnType
    nullable: bool = True
    form: Form | None = None
    """Instead of the one that the data suggest."""


class LearnedColumn(NamedTuple):
    """An encoding, its tensors by name within the column, its tokens' codes per row (−1: not live), and where codes lie."""

    encoding: ColumnEncoding
    tensors: dict[str, Tensor]
    codes: tuple[Codes, ...]
    ranks: tuple[Floats | None, ...]
    """Per token the position of each code between lowest (0) and highest (1), NaN for a code outside of the order."""


class Lesson(NamedTuple):
    """What is common to a table's columns."""

    entities: Entities
    privacy: Privacy
    resolution: Resolution
    rng: np.random.Generator


def learn_column(subject: Subject, values: pa.Array, lesson: Lesson) -> LearnedColumn:
    """Learn a column alone. Raises TerminalError (``trainer.column-rare``) where nothing of it may be kept."""
    family = subject.type.family
    if family == "uuid":
        return _fresh(subject, values, lesson)
    if family in NUMBERS and subject.form in (None, "number"):
        return _numeric(subject, values, lesson)
    return _textual(subject, values, lesson)


def learn_place(latitude: Subject, longitude: Subject, values: Mapping[str, pa.Array], lesson: Lesson) -> LearnedColumn:
    """Learn two columns as one place; rows that have only one of both count as NULL."""
    north, has_north = numbers_of(values[latitude.name], latitude.type)
    east, has_east = numbers_of(values[longitude.name], longitude.type)
    gaps = Gaps.of(has_north & has_east, latitude.nullable and longitude.nullable, lesson)
    if gaps.empty(latitude):
        return nothing((latitude, longitude), len(north))
    found = learn_places(north[gaps.known], east[gaps.known], lesson.entities.take(gaps.known))
    leaves, cells, _ = found.boxes.shape
    steps = (
        step_of(north[gaps.known], tolerance_of(latitude.type)),
        step_of(east[gaps.known], tolerance_of(longitude.type)),
    )
    encoding = PlaceColumn(
        columns=(latitude.name, longitude.name), types=(latitude.type, longitude.type), nulls=gaps.nulls,
        leaves=leaves, cells=cells, steps=steps,
    )  # fmt: skip
    ranks = (gaps.rank(np.linspace(0, 1, leaves)), np.linspace(0, 1, cells))
    return LearnedColumn(encoding, {"boxes": found.boxes}, gaps.spread((found.leaf, found.cell)), ranks)


class Gaps(NamedTuple):
    """Rows without a value: NULL where enough of them are, else filled from other rows."""

    known: npt.NDArray[np.bool_]
    nulls: bool
    filled: npt.NDArray[np.intp]
    """For rows without value that are no NULL, which of the known rows stands in."""
    enough: bool

    @classmethod
    def of(cls, known: npt.NDArray[np.bool_], nullable: bool, lesson: Lesson) -> Gaps:
        """Of the rows that have a value."""
        counts = lesson.entities.counts(known.astype(np.int32), 2)
        nulls = nullable and int(counts[0]) >= lesson.entities.k
        missing = 0 if nulls else int((~known).sum())
        stand_ins = lesson.rng.integers(0, max(1, int(known.sum())), missing)
        return cls(known, nulls, stand_ins, int(counts[1]) >= lesson.entities.k)

    def empty(self, subject: Subject) -> bool:
        """Whether too few have a value for anything to be learned; the column is then NULL."""
        if not self.enough and not subject.nullable:
            raise TerminalError(
                "trainer.column-rare",
                f"fewer rows than the privacy settings' k have a value in column {subject.name}, and it may not be NULL",
                "Sample more rows, lower k, or give the column another generator.",
            )
        return not self.enough

    def spread(self, codes: tuple[Codes, ...]) -> tuple[Codes, ...]:
        """Codes of the known rows as codes of all rows."""
        found = []
        for place, drawn in enumerate(codes):
            every = np.full(len(self.known), -1 if place else 0, np.int32)
            every[self.known] = drawn + int(self.nulls and place == 0)
            if not self.nulls and len(self.filled):
                every[~self.known] = drawn[self.filled]
            found.append(every)
        return tuple(found)

    def rank(self, positions: Floats) -> Floats:
        """Positions of the codes, with one for NULL where there is one."""
        return np.concatenate([[np.nan], positions]) if self.nulls else positions


def nothing(subjects: tuple[Subject, ...], rows: int) -> LearnedColumn:
    """Columns that are always NULL."""
    encoding = CategoryColumn(
        columns=tuple(s.name for s in subjects),
        types=tuple(s.type for s in subjects),
        nulls=True,
        labels=(),
        rare=False,
    )
    return LearnedColumn(encoding, {}, (np.zeros(rows, np.int32),), (None,))


def _fresh(subject: Subject, values: pa.Array, lesson: Lesson) -> LearnedColumn:
    known = np.asarray(pc.is_valid(values).to_numpy(zero_copy_only=False))
    gaps = Gaps.of(known, subject.nullable, lesson)
    if gaps.empty(subject):
        return nothing((subject,), len(values))
    encoding = FreshColumn(columns=(subject.name,), types=(subject.type,), nulls=gaps.nulls)
    return LearnedColumn(encoding, {}, gaps.spread((np.zeros(int(known.sum()), np.int32),)), (None,))


def tolerance_of(column: ColumnType) -> float:
    """The relative error that a column's type brings."""
    return FLOAT4_TOLERANCE if column.base == "float4" else FLOAT8_TOLERANCE


def _numeric(subject: Subject, values: pa.Array, lesson: Lesson) -> LearnedColumn:
    numbers, known = numbers_of(values, subject.type)
    if not known.any() and values.null_count < len(values):
        raise TerminalError(
            "trainer.column-unread",
            f"no value of column {subject.name} is a finite number, or a moment between the years 1 and 9999",
            "Give the column another generator: make.number, make.date, constant or null.",
        )
    gaps = Gaps.of(known, subject.nullable, lesson)
    if gaps.empty(subject):
        return nothing((subject,), len(values))
    mine = lesson.entities.take(known)
    if subject.type.family in MOMENTS:
        moments = learn_moments(numbers[known], subject.type.family == "date", mine, lesson.resolution, lesson.rng)
        encoding: ColumnEncoding = MomentColumn(
            columns=(subject.name,), types=(subject.type,), nulls=gaps.nulls,
            day=moments.day, weekday=moments.weekday, clock=moments.clock,
        )  # fmt: skip
        first, *others = moments.ranks
        return LearnedColumn(encoding, moments.tensors, gaps.spread(moments.codes), (gaps.rank(first), *others))
    found = learn_number(numbers[known], mine, lesson.resolution, lesson.rng, tolerance_of(subject.type))
    encoding = NumberColumn(columns=(subject.name,), types=(subject.type,), nulls=gaps.nulls, number=found.number)
    return of_number(encoding, found, gaps, "number")


def of_number(encoding: ColumnEncoding, found: LearnedNumber, gaps: Gaps, part: str) -> LearnedColumn:
    """A column that is one number, its tensors named ``part``."""
    tensors = {f"{part}.{name}": tensor for name, tensor in found.tensors.items()}
    first, *others = found.ranks[: len(found.codes)]
    return LearnedColumn(encoding, tensors, gaps.spread(found.codes), (gaps.rank(first), *others))


def _list(subject: Subject, found: Lists, gaps: Gaps) -> LearnedColumn:
    rare = bool((found.elements == -1).any())
    encoding = ListColumn(
        columns=(subject.name,), types=(subject.type,), nulls=gaps.nulls,
        length_max=len(found.elements), labels=found.labels, rare=rare,
    )  # fmt: skip
    elements = tuple(np.where(codes == -2, -1, codes + int(rare)).astype(np.int32) for codes in found.elements)
    ranks = (gaps.rank(np.linspace(0, 1, len(found.elements) + 1)), *(None for _ in elements))
    return LearnedColumn(encoding, {}, gaps.spread((found.lengths, *elements)), ranks)


def _textual(subject: Subject, values: pa.Array, lesson: Lesson) -> LearnedColumn:
    texts = values.cast(pa.string())
    known = np.asarray(pc.is_valid(texts).to_numpy(zero_copy_only=False))
    gaps = Gaps.of(known, subject.nullable, lesson)
    if gaps.empty(subject):
        return nothing((subject,), len(values))
    texts, mine = texts.drop_null(), lesson.entities.take(known)
    kept = keep(texts, mine, CATEGORIES_MAX)
    names, types, nulls = (subject.name,), (subject.type,), gaps.nulls
    money = subject.type.base == "money"  # like a text of digits; its signs depend on the server's locale
    closed = subject.type.family != "text" and not money  # nobody can say what else would be a value of the type
    if subject.form == "list" or (
        subject.form is None and subject.type.base.startswith("_") and kept.share < LIST_SHARE
    ):
        listed = learn_lists(texts, mine)
        if listed is not None and listed.labels and listed.share >= ELEMENT_SHARE:
            return _list(subject, listed, gaps)
    if kept.labels and (
        subject.form == "category" or closed or (subject.form is None and kept.share >= CATEGORY_SHARE)
    ):
        rare, replacement = bool((kept.codes < 0).any()), None
        if lesson.privacy.rare == "constant" and subject.type.base in PLAIN_TEXT:
            replacement = lesson.privacy.replacement
        category = CategoryColumn(
            columns=names,
            types=types,
            nulls=nulls,
            labels=kept.labels,
            rare=rare,
            replacement=replacement if rare else None,
        )
        return LearnedColumn(category, {}, gaps.spread((kept.codes + int(rare),)), (None,))
    if closed or subject.form == "category":
        raise TerminalError(
            "trainer.column-rare",
            f"no value of column {subject.name} is shared by as many entities as the privacy settings' k asks for",
            "Sample more rows, lower k, or give the column another generator.",
        )
    shapes = keep(patterns(texts), mine, PATTERNS_MAX)
    if shapes.labels and (subject.form == "pattern" or (subject.form is None and shapes.share >= PATTERN_SHARE)):
        rare = bool((shapes.codes < 0).any())
        pattern = PatternColumn(columns=names, types=types, nulls=nulls, patterns=shapes.labels, rare=rare)
        return LearnedColumn(pattern, {}, gaps.spread((shapes.codes + int(rare),)), (None,))
    if money:
        raise TerminalError(
            "trainer.column-rare",
            f"amounts of column {subject.name} are of too many lengths for any to be shared by k entities",
            "Sample more rows, lower k, or give the column another generator.",
        )
    counted = learn_number(words(texts), mine, lesson.resolution, lesson.rng)
    return of_number(WordsColumn(columns=names, types=types, nulls=nulls, words=counted.number), counted, gaps, "words")
