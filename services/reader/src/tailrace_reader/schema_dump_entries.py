"""pg_dump's table of contents: which statements make which object.

With ``--verbose`` a plain script says before each object its kind, name, schema, and its class and OID in the catalogues; that is
what entries are recognised by, never by their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tailrace_reader.schema_dump_split import Piece, split

_NUMBER: Final = re.compile(r"TOC entry (\d+) \(class (\d+) OID (\d+)\)")
_NEEDS: Final = re.compile(r"Dependencies:((?: \d+)+)")
_NAME: Final = re.compile(r"Name: (.*); Type: ([A-Z ]+); Schema: (.*); Owner: .*")


@dataclass
class Entry:
    """One object of the script, or something that is said of one."""

    number: int
    """Among pg_dump's own; other entries refer to it."""
    catalogue: int
    """OID of the catalogue table that the object is in; 0 where it has no place of its own (a comment, an attachment)."""
    oid: int
    needs: tuple[int, ...] = ()
    """Numbers of the entries that this one is said of."""
    kind: str = ""
    """``TABLE``, ``FK CONSTRAINT``."""
    schema: str = ""
    name: str = ""
    statements: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[int, int]:
        """Where the object is in the source's catalogues; (0, 0) without a place."""
        return self.catalogue, self.oid


def entries_of(script: str) -> list[Entry]:
    """The script's entries in order, without its own settings (``SET …``). Raises Unsplittable."""
    return [entry for entry in _read(split(script)) if entry.statements]


def _read(pieces: Iterable[Piece]) -> Iterator[Entry]:
    current: Entry | None = None
    for piece in pieces:
        if piece.comment:
            if found := _NUMBER.fullmatch(piece.text):
                if current is not None:
                    yield current
                number, catalogue, oid = map(int, found.groups())
                current = Entry(number, catalogue, oid)
            elif current is not None and not current.statements:
                _describe(current, piece.text)
        elif current is not None and current.kind and not piece.text.startswith("SET "):
            current.statements.append(piece.text)
    if current is not None:
        yield current


def _describe(entry: Entry, comment: str) -> None:
    if found := _NEEDS.fullmatch(comment):
        entry.needs = tuple(map(int, found.group(1).split()))
    elif found := _NAME.fullmatch(comment):
        entry.name, entry.kind, entry.schema = found.groups()
        entry.schema = "" if entry.schema == "-" else entry.schema
