"""The alphabets that text masks permute within: one per script, case and UTF-8 width.

``alphabets.txt`` is derived from Unicode 14 and pinned, so that replicas with different Python versions mask alike; a
test derives it again. What is in no alphabet (punctuation, spaces, symbols, controls, marks of no script) stays in
place; every letter and digit is in exactly one, and each has at least ten members.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from typing import NamedTuple

MIN_MEMBERS = 10
"""Smaller scripts are merged with others of their kind and width: a letter can always become another one."""


class Run(NamedTuple):
    """Consecutive code points of one alphabet."""

    first: int
    last: int
    alphabet: int
    """Number of the alphabet, from 0."""
    place: int
    """Index of ``first`` in its alphabet."""


class Alphabets:
    """The pinned table. ``names[i]`` and ``sizes[i]`` describe alphabet i; ``runs`` are in ascending order."""

    def __init__(self, text: str) -> None:
        self.names: list[str] = []
        self.sizes: list[int] = []
        runs: list[Run] = []
        for number, line in enumerate(text.splitlines()):
            name, *spans = line.split()
            size = 0
            for span in spans:
                first, _, last = span.partition("-")
                run = Run(int(first, 16), int(last or first, 16), number, size)
                runs.append(run)
                size += run.last - run.first + 1
            self.names.append(name)
            self.sizes.append(size)
        self.runs = sorted(runs)
        self._starts = [run.first for run in self.runs]

    def find(self, code: int) -> tuple[int, int] | None:
        """Alphabet and index in it of a code point; None where it stays in place."""
        at = bisect_right(self._starts, code) - 1
        if at < 0 or code > self.runs[at].last:
            return None
        run = self.runs[at]
        return run.alphabet, run.place + code - run.first


def _text() -> str:
    return (files(__package__) / "alphabets.txt").read_text("ascii")


@cache
def alphabets() -> Alphabets:
    """The table, read once."""
    return Alphabets(_text())


@cache
def alphabets_digest() -> str:
    """SHA-256 (hex) of the table: part of the catalogue's digest."""
    return hashlib.sha256(_text().encode()).hexdigest()
