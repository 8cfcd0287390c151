"""How a table's columns become tokens: small integers that a network predicts one after the other.

A column has one token or several; a token is *live* where an earlier one of its column gives it a meaning (the cell of a bin
means nothing where the value is NULL). Labels are in these models; edges, knots and atoms are tensors beside them, named
``c<column>.<part>.<what>``.

Everything here has been through protection: each label, atom and knot stands for at least ``Privacy.k`` distinct entities.
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from tailrace_shared.types import ColumnType, Frozen

WEEKDAYS = 7


class Token(NamedTuple):
    """One code to predict, as its column describes it."""

    codes: int
    live_from: int = 0
    parent: int = 0
    """Live where its column's token ``parent`` is live and its code at least ``live_from``; a column's first token always is."""
    barred: int | None = None
    """A code that is learned, and never drawn: what was too rare to be kept is drawn again among the rest."""
    cell: bool = False
    """Only where within a bin a value is: next to nothing depends on it."""


class Number(Frozen):
    """An ordered quantity in two tokens: first an atom (a value of its own) or a bin, then the cell within the bin.

    Tensors: ``atoms`` float64 [atoms], ascending; ``knots`` float64 [bins, gaps + 1], the quantile function of every bin at
    equal steps of rank. A draw interpolates between knots and rounds to ``step``.
    """

    atoms: int
    bins: int
    cells: int
    """Of equal mass in every bin; a divisor of its gaps."""
    step: float
    """What values are multiples of, in the unit of the column; 0 for any."""

    def tokens(self, nulls: bool, at: int = 0, live_from: int = 0) -> tuple[Token, ...]:
        """Its tokens as those from place ``at`` of a column; the first is live as ``live_from`` says."""
        first = int(nulls) + self.atoms
        coarse = Token(first + self.bins, live_from)
        return (coarse, Token(self.cells, first, at, cell=True)) if self.bins else (coarse,)


class Encoded(Frozen):
    """A column, or columns that only make sense together."""

    columns: tuple[str, ...]
    types: tuple[ColumnType, ...]
    nulls: bool
    """Whether code 0 of the first token is NULL."""


class CategoryColumn(Encoded):
    """Values that are names. Codes: NULL, RARE, then the labels, which are the values' canonical texts."""

    form: Literal["category"] = "category"
    labels: tuple[str, ...]
    rare: bool
    """Whether there is a code for what was too rare to be kept."""
    replacement: str | None = None
    """What RARE becomes; None draws again among the labels."""

    def tokens(self) -> tuple[Token, ...]:
        rare = int(self.nulls) if self.rare and self.replacement is None else None
        return (Token(int(self.nulls) + int(self.rare) + len(self.labels), barred=rare),)


class NumberColumn(Encoded):
    """Integers, decimals, floats; times and intervals in microseconds."""

    form: Literal["number"] = "number"
    number: Number

    def tokens(self) -> tuple[Token, ...]:
        return self.number.tokens(self.nulls)


class MomentColumn(Encoded):
    """Dates and timestamps: the day since 1970, perhaps its weekday, and the time of day in microseconds."""

    form: Literal["moment"] = "moment"
    day: Number
    weekday: bool
    """Whether the weekday is a token of its own, to which a drawn day moves (by three days at most)."""
    clock: Number | None

    def tokens(self) -> tuple[Token, ...]:
        day = self.day.tokens(self.nulls)
        week = (Token(WEEKDAYS, int(self.nulls)),) if self.weekday else ()
        clock = self.clock.tokens(False, len(day + week), int(self.nulls)) if self.clock else ()
        return day + week + clock


class PatternColumn(Encoded):
    """Texts that are mostly unique: which shape is drawn, and its letters and digits are fresh ones.

    In a pattern ``A`` is an upper-case letter, ``a`` another letter, ``0`` a digit, all else itself.
    """

    form: Literal["pattern"] = "pattern"
    patterns: tuple[str, ...]
    rare: bool

    def tokens(self) -> tuple[Token, ...]:
        rare = int(self.nulls) if self.rare else None
        return (Token(int(self.nulls) + int(self.rare) + len(self.patterns), barred=rare),)


class WordsColumn(Encoded):
    """Running text: as many words as are drawn, from a list of Tailrace's own."""

    form: Literal["words"] = "words"
    words: Number

    def tokens(self) -> tuple[Token, ...]:
        return self.words.tokens(self.nulls)


class FreshColumn(Encoded):
    """Random UUIDs; only whether there is one is learned."""

    form: Literal["fresh"] = "fresh"

    def tokens(self) -> tuple[Token, ...]:
        return (Token(1 + int(self.nulls)),)


class PlaceColumn(Encoded):
    """A latitude and a longitude: a leaf of a k-d tree, then a cell in it.

    Tensor ``boxes`` float64 [leaves, cells, 4]: lowest and highest latitude, lowest and highest longitude.
    """

    form: Literal["place"] = "place"
    leaves: int
    cells: int
    steps: tuple[float, float]

    def tokens(self) -> tuple[Token, ...]:
        return (Token(int(self.nulls) + self.leaves), Token(self.cells, int(self.nulls), cell=True))


class ListColumn(Encoded):
    """Arrays of names, in PostgreSQL's text form: how many elements there are, then each, seeing those before.

    Codes of the first token: NULL, then the lengths from 0; of the others: RARE, then the labels, which are elements as an array
    literal writes them.
    """

    form: Literal["list"] = "list"
    length_max: int
    labels: tuple[str, ...]
    rare: bool

    def tokens(self) -> tuple[Token, ...]:
        codes, barred = int(self.rare) + len(self.labels), 0 if self.rare else None
        elements = (Token(codes, int(self.nulls) + place + 1, 0, barred) for place in range(self.length_max))
        return (Token(int(self.nulls) + self.length_max + 1), *elements)


class TogetherColumn(Encoded):
    """Names in several columns that only occur in fixed combinations. Codes: RARE, then the combinations (NULL is a value)."""

    form: Literal["together"] = "together"
    labels: tuple[tuple[str | None, ...], ...]
    """Canonical texts, one per column."""
    rare: bool

    def tokens(self) -> tuple[Token, ...]:
        return (Token(int(self.rare) + len(self.labels), barred=0 if self.rare else None),)


class AboveColumn(Encoded):
    """A number or moment that is never below another column's: by how much it is above.

    Where the other column is NULL, it is above ``base``, in the unit of the column.
    """

    form: Literal["above"] = "above"
    over: str
    base: float
    number: Number

    def tokens(self) -> tuple[Token, ...]:
        return self.number.tokens(self.nulls)


ColumnEncoding = Annotated[
    CategoryColumn
    | ListColumn
    | TogetherColumn
    | AboveColumn
    | NumberColumn
    | MomentColumn
    | PatternColumn
    | WordsColumn
    | FreshColumn
    | PlaceColumn,
    Field(discriminator="form"),
]
