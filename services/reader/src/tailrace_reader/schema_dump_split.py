"""Splits an SQL script, as pg_dump writes it, into statements and the comments between them.

A semicolon ends a statement outside of strings, quoted names, dollar quotes, comments, parentheses and ``BEGIN ATOMIC`` bodies:
the rules of psql, https://www.postgresql.org/docs/current/sql-syntax-lexical.html. Lines that begin with a backslash between
statements are psql's (``\\restrict`` since pg_dump 18) and mean nothing to a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<block>/\*)
  | (?P<string>[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'          # E'it\'s'
      | '[^']*(?:''[^']*)*'
      | "[^"]*(?:""[^"]*)*")
  | (?P<unclosed>[eE]'|['"])
  | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][\w]*)?\$)
  | (?P<word>[A-Za-z_\x80-\U0010ffff][\w$]*)
  | (?P<open>\()
  | (?P<close>\))
  | (?P<end>;)
  | (?P<meta>\\[^\n]*)
  | (?P<number>\d+)                                          # so that 1$ begins no dollar quote
  | (?P<space>\s+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK: Final = re.compile(r"/\*|\*/")
_ROUTINE: Final = re.compile(r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", re.IGNORECASE)


class Unsplittable(ValueError):
    """A string, comment or body that does not end: not a script that pg_dump has written to its end."""


class Piece(NamedTuple):
    """A statement without its semicolon, or a ``--`` comment between statements, without the dashes."""

    text: str
    comment: bool = False


def split(script: str) -> Iterator[Piece]:
    """The script's statements and the line comments between them, in order. Raises Unsplittable."""
    place = 0
    while place < len(script):
        token = _TOKEN.match(script, place)
        assert token is not None  # the last alternative takes anything
        kind = token.lastgroup
        if kind in ("space", "end", "meta"):
            place = token.end()
        elif kind == "comment":
            yield Piece(token.group()[2:].strip(), comment=True)
            place = token.end()
        elif kind == "block":
            place = _after_block(script, token.end())
        else:
            end = _end_of_statement(script, place)
            yield Piece(script[place:end].strip())
            place = end + 1


def _end_of_statement(script: str, start: int) -> int:
    """Where its semicolon is; the end of the script when the last one has none."""
    place, parentheses, bodies = start, 0, 0
    routine = _ROUTINE.match(script, start) is not None
    while place < len(script):
        token = _TOKEN.match(script, place)
        assert token is not None
        kind, place = token.lastgroup, token.end()
        if kind == "block":
            place = _after_block(script, place)
        elif kind == "dollar":
            place = _after_dollar(script, place, token.group())
        elif kind == "unclosed":
            raise Unsplittable("a string or quoted name does not end")
        elif kind == "open":
            parentheses += 1
        elif kind == "close":
            parentheses -= 1
        elif kind == "word" and routine:
            bodies += _nesting(token.group().upper(), bodies)
        elif kind == "end" and parentheses <= 0 and bodies == 0:
            return place - 1
    if parentheses > 0 or bodies:
        raise Unsplittable("a statement does not end")
    return place


def _nesting(word: str, bodies: int) -> int:
    """BEGIN opens a body and END closes one; inside of it CASE … END is a pair of its own."""
    if word == "BEGIN" or (word == "CASE" and bodies):
        return 1
    return -1 if word == "END" and bodies else 0


def _after_block(script: str, place: int) -> int:
    """Block comments nest."""
    depth = 1
    for mark in _BLOCK.finditer(script, place):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    raise Unsplittable("a comment does not end")


def _after_dollar(script: str, place: int, tag: str) -> int:
    end = script.find(tag, place)
    if end < 0:
        raise Unsplittable("a dollar-quoted string does not end")
    return end + len(tag)
