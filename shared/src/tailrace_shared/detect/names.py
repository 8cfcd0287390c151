"""Names taken apart: into words, and words into concepts that are the same in every language."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal

Concepts = tuple[frozenset[str], ...]
"""Per word of a name, what it may stand for; a word that is not known stands for nothing."""
Role = Literal["person", "company", "thing", "unknown"]
"""What the rows of a table are."""

_PIECES: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PREFIXES: Final = frozenset(
    {"tbl", "tb", "tab", "dim", "fact", "stg", "vw", "app", "auth", "fld", "str", "txt", "x", "z"}
)
"""Of tables and columns in many houses; ``str`` alone is a street."""
_SENDINGS: Final = frozenset(
    {"invoice", "invoiced", "bill", "billed", "ship", "shipped", "sell", "sold", "deliver", "delivered", "send", "sent",
     "mail", "mailed", "pay", "paid", "remit", "consign"}
)  # fmt: skip
"""What is done to somebody, before ``to`` or ``from``."""
_LINKS: Final = ("", "s", "n", "en", "es")
"""What German and Dutch put between the parts of a compound."""
_SHORTEST_PART: Final = 3
_SHORTEST_ENDING: Final = 5
"""Of a known word at the end of a compound whose beginning is not known: ``dienstemail``."""


def words_of(name: str) -> list[str]:
    """Words of a name in lower case without accents: ``Kunden-EMail_Adresse2`` is kunden, e, mail, adresse."""
    plain = "".join(
        c
        for c in unicodedata.normalize("NFKD", name.replace("ß", "ss").replace("ẞ", "SS"))
        if not unicodedata.combining(c)
    )
    found = [piece.lower() for piece in _PIECES.findall(plain)]
    joined: list[str] = []
    for word in found:
        if joined and joined[-1] == "e" and word in ("mail", "mails", "post"):
            joined[-1] = f"e{word}"
        elif joined and joined[-1] == "ip" and word in ("4", "6"):
            continue
        else:
            joined.append(word)
    words = [w for w in joined if not w.isdigit()]
    while len(words) > 1 and words[0] in _PREFIXES:
        words = words[1:]
    return words


@lru_cache(maxsize=65_536)
def concepts_of(name: str) -> Concepts:
    """What the words of a name stand for, in their order; compounds are taken apart."""
    words = words_of(name)
    whole = "".join(words)
    if len(words) > 1 and whole in _vocabulary() and len(whole) > _SHORTEST_ENDING:
        words = [whole]  # zip_code, user_name, last_name: together they are a word of their own
    words, addressed = _addressed(words)
    return (*addressed, *(concepts for word in words for concepts in _word(word)))


def _addressed(words: list[str]) -> tuple[list[str], Concepts]:
    """``ship_to_city`` is the city to which something is shipped, ``invoice_from_name`` no invoice's name."""
    if len(words) > 1 and words[0] in _SENDINGS and words[1] in ("to", "from"):
        return words[2:], (frozenset({"addressing", "addressee"}),)
    return words, ()


@lru_cache(maxsize=8192)
def role_of(table: str) -> Role:
    """What a table's rows are, by its name: the last word decides, then any word."""
    concepts = concepts_of(table)
    for part in reversed(concepts):
        if (found := _role(part)) != "unknown":
            return found
    return "unknown"


def _role(part: frozenset[str]) -> Role:
    if part & {"person", "user", "username"}:
        return "person"
    if "company" in part:
        return "company"
    return "thing" if part & {"thing", "meta", "city", "devices", "url", "photo"} else "unknown"


def _word(word: str) -> Concepts:
    known = _vocabulary().get(word)
    if known is not None:
        return known
    parts = _split(word)
    if parts:
        return tuple(c for part in parts for c in _vocabulary()[part])
    for start in range(1, len(word) - _SHORTEST_ENDING + 1):
        ending = _vocabulary().get(word[start:])
        if ending is not None:
            return (frozenset(), *ending)
    return (frozenset(),)


def _split(word: str) -> list[str]:
    """A compound as known words, as few as can be; empty where it is none."""
    best: dict[int, list[str]] = {0: []}
    vocabulary = _vocabulary()
    for end in range(_SHORTEST_PART, len(word) + 1):
        for start in [s for s in best if s <= end - _SHORTEST_PART]:
            for link in _LINKS if end < len(word) else ("",):
                part = word[start:end].removesuffix(link) if link else word[start:end]
                if link and part == word[start:end]:
                    continue
                if len(part) >= _SHORTEST_PART and part in vocabulary:
                    candidate = [*best[start], part]
                    if end not in best or len(candidate) < len(best[end]):
                        best[end] = candidate
    return best.get(len(word), [])


@cache
def _vocabulary() -> dict[str, Concepts]:
    """Words and what they stand for, read once from ``words.txt``."""
    found: dict[str, Concepts] = {}
    for line in (files(__package__) / "words.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            _add(found, line)
    return found


def _add(found: dict[str, Concepts], line: str) -> None:
    concepts, _, words = line.partition(":")
    parts: Iterable[str] = concepts.split()
    meaning: Concepts = tuple(frozenset({part}) for part in parts)
    for word in words.split():
        before = found.get(word, meaning)
        if len(before) == len(meaning) == 1:
            found[word] = (before[0] | meaning[0],)
        else:
            found.setdefault(word, meaning)
