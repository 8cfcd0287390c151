"""Collecting a sample of entities and their events in bounded memory: of an entity that is in it, all events are.

Every value of the key has a random priority that follows from it and the seed; entities and events with the smallest ones are
kept. So the sample is the same in whatever order batches of both tables arrive, and no sequence is cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_trainer.collect import COMPACT_AT, joined, shortened

NOBODY = 2.0
"""Priority of NULL: above all others, so that it is never kept."""
_BITS = 53

Priorities = npt.NDArray[np.float64]


class Part(NamedTuple):
    """What is kept of a batch."""

    place: tuple[int, int]
    """Range and batch: in this order parts are put together."""
    priorities: Priorities
    rows: pa.RecordBatch


class PairSample:
    """At most so many entities, events and, about, bytes of Arrow memory."""

    def __init__(
        self, key: str, foreign_key: str, *, entities_max: int, events_max: int, bytes_max: int, seed: int
    ) -> None:
        self._columns, self._most = (key, foreign_key), (entities_max, events_max)
        self._bytes_max, self._seed = bytes_max, seed
        self._parts: tuple[list[Part], list[Part]] = ([], [])
        self._seen: set[tuple[int, int]] = set()
        self._below = 1.0

    def add(self, place: tuple[int, int], batch: pa.RecordBatch, *, events: bool) -> None:
        """Consider a batch of either table; ``place`` names it however often it is delivered."""
        if place in self._seen:
            return
        self._seen.add(place)
        priorities = priorities_of(batch.column(self._columns[events]), self._seed)
        kept = np.flatnonzero(priorities < self._below)
        self._parts[events].append(Part(place, priorities[kept], shortened(batch.take(pa.array(kept)))))
        held = self._rows(events)
        if held > COMPACT_AT * self._most[events] or self._bytes() > self._bytes_max:
            self._compact()

    def tables(self) -> tuple[pa.Table, pa.Table]:
        """Entities and events, each in the order of ranges and batches. A table without columns where nothing was offered."""
        self._compact()
        return _whole(self._parts[False]), _whole(self._parts[True])

    def _rows(self, events: bool) -> int:
        return sum(len(part.priorities) for part in self._parts[events])

    def _bytes(self) -> int:
        return sum(part.rows.nbytes for parts in self._parts for part in parts)

    def _compact(self) -> None:
        """Lower the limit of priorities to what fits, and drop what is above."""
        sorted_ = [_sorted(parts) for parts in self._parts]
        for found, most in zip(sorted_, self._most, strict=True):
            if len(found) > most:
                self._below = min(self._below, float(found[most]))
        held = self._bytes()
        if held > self._bytes_max:
            everyone = np.sort(np.concatenate(sorted_))
            fitting = int(len(everyone) * self._bytes_max / held)
            self._below = min(self._below, float(everyone[min(fitting, len(everyone) - 1)]))
        for parts in self._parts:
            parts[:] = [_below(part, self._below) for part in parts]


def priorities_of(keys: pa.Array, seed: int) -> Priorities:
    """In [0, 1) by the value's text and the seed; of NULL ``NOBODY``."""
    coded = keys.dictionary_encode()
    drawn = np.array([_drawn(value, seed) for value in coded.dictionary.to_pylist()] + [NOBODY])
    places = coded.indices.fill_null(len(drawn) - 1).to_numpy(zero_copy_only=False)
    found: Priorities = drawn[places]
    return found


def _drawn(value: object, seed: int) -> float:
    text = str(UUID(bytes=value)) if isinstance(value, bytes) else str(value)
    digest = hashlib.blake2b(f"{seed}/{text}".encode(), digest_size=8).digest()
    return float(int.from_bytes(digest, "little") >> (64 - _BITS)) / float(1 << _BITS)


def _sorted(parts: Sequence[Part]) -> Priorities:
    return np.sort(np.concatenate([part.priorities for part in parts])) if parts else np.zeros(0)


def _below(part: Part, limit: float) -> Part:
    kept = np.flatnonzero(part.priorities < limit)
    if len(kept) == len(part.priorities):
        return part
    return Part(part.place, part.priorities[kept], part.rows.take(pa.array(kept)))


def _whole(parts: Sequence[Part]) -> pa.Table:
    return joined([part.rows for part in sorted(parts, key=lambda part: part.place)]) if parts else pa.table({})
