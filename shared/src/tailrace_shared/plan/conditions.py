"""A job's ``where``: SQL that somebody wrote, made safe to stand inside of our own.

It is taken apart into the tokens of PostgreSQL's lexer (https://www.postgresql.org/docs/current/sql-syntax-lexical.html), so
that it cannot end before its parenthesis does, and so that ``${NAME}`` becomes a literal only where a literal can stand. The
time of now is that of the plan: readers ask at different times, and must read the same rows.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<variable>\$\{(?P<name>[A-Z][A-Z0-9_]*)\})
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<parameter>\$[0-9{]?)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<string>(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')
    | (?P<quoted>(?:[uU]&)?"(?:[^"]|"")*")
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NOW: Final = {
    "current_timestamp": "timestamptz", "current_date": "date", "localtimestamp": "timestamp",
    "current_time": "timetz", "localtime": "time",
}  # fmt: skip
_NOW_CALLS: Final = frozenset({"now", "transaction_timestamp", "statement_timestamp"})
_MOMENTS: Final = frozenset({"'now'", "'today'", "'tomorrow'", "'yesterday'"})


class ConditionError(Exception):
    """What is wrong with a condition, and at which character of it, counted from 1. It repeats no value."""

    def __init__(self, message: str, at: int, remedy: str = "Write one SQL condition, as after WHERE.") -> None:
        super().__init__(message)
        self.message = message
        self.at = at + 1
        self.remedy = remedy


class MissingVariable(ConditionError):
    """A ``${NAME}`` that has no value here."""


class Token(NamedTuple):
    kind: str
    text: str
    at: int


class Resolved(NamedTuple):
    """A condition as PostgreSQL is asked it."""

    sql: str
    pieces: tuple[tuple[int, int], ...]
    """Where pieces begin in ``sql``, and where they come from."""
    calls: frozenset[str]
    """Names that are called like functions, in lower case where they are not quoted."""
    looks_up: bool
    """It has a query of its own."""

    def place(self, position: int) -> int:
        """The character of the condition, from 1, that character ``position`` of ``sql`` (from 0) comes from."""
        found = 0
        for here, there in self.pieces:
            if here > position:
                break
            found = there
        return found + 1


def tokens(text: str) -> Iterator[Token]:
    """The condition's tokens, without comments. Raises ConditionError for what does not end."""
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # "other" takes any character
        kind = str(match.lastgroup if match.lastgroup != "name" else "variable")
        if match["variable"]:
            kind = "variable"
        end = match.end()
        if kind == "block":
            end = _comment_end(text, at)
        elif kind == "dollar":
            closing = text.find(match[0], end)
            if closing < 0:
                raise ConditionError("a dollar-quoted text that does not end", at)
            kind, end = "string", closing + len(match[0])
        elif kind == "other" and match[0] in "'\"":
            raise ConditionError("a quote that does not end", at)
        if kind not in ("line", "block", "space"):
            yield Token("string" if kind == "escaped" else kind, text[at:end], at)
        at = end


def variables(text: str) -> frozenset[str]:
    """The names of the variables that the condition refers to. Raises ConditionError."""
    return frozenset(token.text[2:-1] for token in tokens(text) if token.kind == "variable")


def resolve_condition(text: str, lookup: Callable[[str], str | None], now: str) -> Resolved:
    """The condition with literals for its variables and for the time of now (``timestamptz`` as text).

    Raises MissingVariable, and ConditionError for what could end its parenthesis or the statement, for parameters, and for
    variables inside of quotes.
    """
    found = _checked(list(tokens(text)))
    out: list[str] = []
    pieces: list[tuple[int, int]] = []
    length = 0
    skip = 0
    for place, token in enumerate(found):
        if skip:
            skip -= 1
            continue
        written, skip = _written(found, place, lookup, now)
        pieces.append((length, token.at))
        # As far apart as they were: ``a<b`` and ``< =`` are read as they were written.
        gap = _gap(text, found, place + skip)
        out.append(written + gap)
        length += len(written) + len(gap)
    calls = {
        _name(token) for token, following in itertools.pairwise(found)
        if token.kind in ("word", "quoted") and following.text == "("
    }  # fmt: skip
    words = {token.text.lower() for token in found if token.kind == "word"}
    return Resolved("".join(out), tuple(pieces), frozenset(calls), bool(words & {"select", "table", "values", "with"}))


def _checked(found: list[Token]) -> list[Token]:
    depth: list[int] = []
    for place, token in enumerate(found):
        if token.kind == "parameter":
            raise ConditionError("a $ that begins no variable", token.at, "Write ${NAME}, in capitals.")
        if token.text == ";":
            raise ConditionError("a semicolon", token.at)
        if token.text == "\0":
            raise ConditionError("a character that PostgreSQL does not take", token.at)
        if token.text == "(":
            depth.append(token.at)
        elif token.text == ")":
            if not depth:
                raise ConditionError("a parenthesis that closes nothing", token.at)
            depth.pop()
        elif token.kind == "quoted" and token.text[0] in "uU":
            raise ConditionError("a name with escapes", token.at, "Write its characters as they are.")
        elif token.kind in ("string", "quoted") and "${" in token.text:
            raise ConditionError(
                "a variable inside of quotes", token.at, "Write ${NAME} without quotes: it becomes a literal."
            )
        elif token.kind == "string" and token.text.lower() in _MOMENTS and _is_time(found, place):
            raise ConditionError(
                "a time that every reader would understand differently", token.at, "Write now() or current_date."
            )
        elif token.text.lower() in _NOW_CALLS and [t.text for t in found[place - 1 : place + 2 : 2]] == [".", "("]:
            raise ConditionError(
                "a time that every reader would understand differently", token.at, "Write now() by itself."
            )
        elif token.kind == "word" and token.text.lower() == "tablesample":
            raise ConditionError(
                "TABLESAMPLE, which picks other rows every time", token.at, "Compare a hash of the key instead."
            )
    if depth:
        raise ConditionError("a parenthesis that is not closed", depth[-1])
    if not found:
        raise ConditionError("it is empty", 0, "Write a condition, or leave `where` out.")
    return found


def _written(found: list[Token], place: int, lookup: Callable[[str], str | None], now: str) -> tuple[str, int]:
    """What stands for a token, and how many tokens after it it replaces as well."""
    token = found[place]
    word = token.text.lower() if token.kind == "word" else ""
    if token.kind == "variable":
        name = token.text[2:-1]
        value = lookup(name)
        if value is None:
            raise MissingVariable(
                f"variable {name} is not set where the source is read", token.at,
                f"Set {name}, or {name}_FILE to the path of a file, for the reader.",
            )  # fmt: skip
        if "\0" in value:
            raise ConditionError(f"the value of {name} holds a character that PostgreSQL does not take", token.at)
        return quote_literal(value), 0
    before = found[place - 1].text if place else ""
    if before == ".":
        return token.text, 0
    if word in _NOW and not (place + 1 < len(found) and found[place + 1].text == "("):
        return f"({quote_literal(now)}::timestamptz::{_NOW[word]})", 0
    if word in _NOW_CALLS and [t.text for t in found[place + 1 : place + 3]] == ["(", ")"]:
        return f"({quote_literal(now)}::timestamptz)", 2
    return token.text, 0


def quote_literal(value: str) -> str:
    """An SQL text literal; sessions have ``standard_conforming_strings`` on."""
    return "'" + value.replace("'", "''") + "'"


def _gap(text: str, found: list[Token], place: int) -> str:
    """What stood between a token and the next one, without comments; tokens that touched stay together, such as ``>=``."""
    if place + 1 >= len(found):
        return ""
    token, following = found[place], found[place + 1]
    between = text[token.at + len(token.text) : following.at]
    if "\n" in between:  # texts in pieces, one per line, are one text
        return "\n"
    return " " if between or "variable" in (token.kind, following.kind) else ""


def _is_time(found: list[Token], place: int) -> bool:
    """``'now'::date``, ``date 'now'``: a text that becomes a time."""
    near = [token.text.lower() for token in found[max(0, place - 1) : place + 4]]
    return any(word.startswith(("date", "time")) for word in near)


def _name(token: Token) -> str:
    if token.kind == "word":
        return token.text.lower()
    return token.text[1:-1].replace('""', '"')


def _comment_end(text: str, at: int) -> int:
    """Comments nest."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, at):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end()
    raise ConditionError("a comment that does not end", at)
