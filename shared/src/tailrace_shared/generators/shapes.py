"""A text's shape: which characters stay, and the alphabet of every other one; `mask.text` and `key` keep it."""

from __future__ import annotations

from tailrace_shared.generators.alphabets import alphabets

SMALL_SHAPE = 1_000_000
"""Below, a keyed permutation of the whole shape; from here on FF1, whose domain must have a million members
(NIST SP 800-38G rev. 1)."""
LARGE_SHAPE = 1 << 128
"""Nobody counts further: a page of text has more members than a float can tell."""


def shape_of(text: str) -> tuple[int | str, ...]:
    """One item per character: the number of its alphabet, or the character itself where it stays."""
    table = alphabets()
    found = ((table.find(ord(char)), char) for char in text)
    return tuple(char if place is None else place[0] for place, char in found)


def shape_size(text: str, *, folded: bool = False) -> int:
    """How many texts share this one's shape, itself included: N of the leak scan; 1 means it can only be itself.

    Counted up to `LARGE_SHAPE`, which stands for any larger number.
    """
    table = alphabets()
    size = 1
    for char in text.lower() if folded else text:
        if (place := table.find(ord(char))) is not None:
            size *= table.sizes[place[0]]
            if size >= LARGE_SHAPE:
                return LARGE_SHAPE
    return size


def is_immutable(text: str) -> bool:
    """The mask can only give the text back: empty, or nothing but punctuation, spaces and symbols."""
    return shape_size(text) == 1
