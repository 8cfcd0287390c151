"""What stands around a column and says what its own name does not: its table's name, and the columns beside it.

``number`` is nothing, but in ``bank_card`` it is of a card; ``name`` of an entry may be anything, but beside ``email``
it is of somebody.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from tailrace_shared.detect.names import Concepts, concepts_of, words_of

Mark = Literal["person", "address"]
"""What the columns of a table make of its rows: people, or places where somebody lives."""

GENERAL: Final = frozenset(
    {"number", "nummer", "numero", "num", "nr", "no", "value", "values", "wert", "valeur", "valor", "waarde", "val",
     "content", "text", "body", "data", "raw", "html", "plain", "identifier", "e164", "formatted", "normalized"}
)  # fmt: skip
"""Words that say nothing without their table's name."""
_PEOPLE: Final = frozenset({"first", "last", "email", "birth"})
_PLACES: Final = frozenset({"street", "postcode"})
_ASIDE: Final = frozenset({"name", "addressing", "address", "number", "line", "house"})
"""Words that may stand beside those of a person or a place without making them another thing's."""
_OF_THINGS: Final = frozenset({"thing", "meta", "not", "url"})


class Surroundings(NamedTuple):
    """Of all columns of a table."""

    marks: frozenset[Mark]
    by: str
    """The column that says so, the most telling."""


NOTHING: Final = Surroundings(frozenset(), "")


def surroundings(columns: Iterable[str]) -> Surroundings:
    """What the names of a table's columns say of its rows."""
    return _surroundings(tuple(columns))


@lru_cache(maxsize=8192)
def _surroundings(columns: tuple[str, ...]) -> Surroundings:
    people = [name for name in columns if _says(name, _PEOPLE)]
    places = [name for name in columns if _says(name, _PLACES)]
    told: tuple[tuple[Mark, list[str]], ...] = (("person", people), ("address", places))
    marks = frozenset(mark for mark, names in told if names)
    return Surroundings(marks, (people or places or [""])[0])


def _says(name: str, asked: frozenset[str]) -> bool:
    """A name that speaks of it and of nothing else: ``email``, ``billing_street``, but not ``email_template``."""
    words = concepts_of(name)
    return any(word & asked for word in words) and all(word & (asked | _ASIDE) for word in words)


def qualified_words(column: str, table: str) -> Concepts:
    """The column's words after its table's last two, where they say nothing alone; none where they say something."""
    words = words_of(column)
    if not words or not all(word in GENERAL for word in words):
        return ()
    ends = words_of(table)[-2:]
    told = tuple(c for word in ends for c in concepts_of(word))
    if not told or told[-1] & _OF_THINGS:
        return ()
    return (*told, *concepts_of(column))
