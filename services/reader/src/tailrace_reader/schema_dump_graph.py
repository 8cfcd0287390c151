"""What depends on what in the source (pg_depend): what goes with a table that is left out, and what a carried one needs.

Pure. Objects are known by the OIDs of their catalogue and their own: https://www.postgresql.org/docs/current/catalog-pg-depend.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

Key = tuple[int, int]
"""(OID of a system catalogue, OID of an object in it)."""

PG_TYPE: Final = 1247
PG_CLASS: Final = 1259
PG_ATTRDEF: Final = 2604
PG_CONSTRAINT: Final = 2606
PG_REWRITE: Final = 2618
"""OIDs of catalogues, fixed for good."""
_PARTS: Final = frozenset({PG_ATTRDEF, PG_CONSTRAINT, PG_REWRITE})
"""What may be written inside of its owner's statement: defaults, checks, a view's query."""


class Edge(NamedTuple):
    """``of`` depends on ``on``."""

    of: Key
    on: Key
    kind: str
    """pg_depend.deptype: ``i`` and ``a`` where the one is a part of the other."""


class Dependencies:
    """The graph. ``apart`` are objects with statements of their own, which need not be inside of their owner's."""

    def __init__(self, edges: Iterable[Edge], apart: Collection[Key], opaque: Collection[Key] = ()) -> None:
        """``opaque``: views that are made as tables, so that what their queries need is not needed."""
        self._needs: dict[Key, list[Key]] = defaultdict(list)
        self._needed_by: dict[Key, list[Key]] = defaultdict(list)
        for edge in edges:
            part = edge.of[0] in _PARTS and edge.kind in "ia" and edge.of not in apart
            if part and edge.on in opaque:
                continue
            self._add(edge.of, edge.on)
            if part:
                self._add(edge.on, edge.of)

    def _add(self, of: Key, on: Key) -> None:
        self._needs[of].append(on)
        self._needed_by[on].append(of)

    def lost_with(self, left_out: Mapping[Key, str]) -> dict[Key, str]:
        """Everything that cannot be without these, they included; each with the name of the one that it is lost with."""
        return _reach(left_out, self._needed_by)

    def needs_of(self, of: Key) -> set[Key]:
        """What it needs by itself."""
        return set(self._needs.get(of, ()))

    def needed_by(self, kept: Iterable[Key]) -> set[Key]:
        """Everything that these need, they included."""
        return set(_reach(dict.fromkeys(kept, ""), self._needs))


def _reach(start: Mapping[Key, str], ways: Mapping[Key, list[Key]]) -> dict[Key, str]:
    found = dict(start)
    waiting = list(start)
    while waiting:
        place = waiting.pop()
        for following in ways.get(place, ()):
            if following not in found:
                found[following] = found[place]
                waiting.append(following)
    return found
