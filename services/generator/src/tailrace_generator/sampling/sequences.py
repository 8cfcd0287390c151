"""Entities and their events from a model of two tables, by the entities' ordinals.

An entity with ordinal i, and its events, are a function of (model, seed, i) alone: entities are drawn in blocks, and the events of
a block, or of equal parts of it where they may be many, from a stream of their own. So replicas may share the entities, and the
two tables, in any way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.sampling.decode import Decoder, decoder_of
from tailrace_generator.sampling.noise import Noise
from tailrace_generator.sampling.sampler import BLOCK_ROWS, Sampler
from tailrace_generator.sampling.wire import DAY_US, wire_array
from tailrace_shared.synthesis import TokenRef
from tailrace_shared.synthesis.conditions import Condition
from tailrace_shared.synthesis.quantity import stepped
from tailrace_shared.synthesis.sequence import CLOCK, EVENTS, HIDDEN, START, SequenceArtefact, part_of
from tailrace_shared.synthesis.sequences import Drawn, Sequences
from tailrace_shared.types import arrow_type

STREAM = "/events"
"""What tells the events' random numbers from those of their entities."""

EVENTS_AT_ONCE = 1 << 17
"""Events that are drawn together, at most: what they take while they are drawn is bounded, and so is how long that lasts. Part of
what a seed means, like the rows of a block."""
PART_ROWS_MIN = 128
"""Entities of a part of a block: with fewer, matrices are too small to be fast."""

Ordinals = npt.NDArray[np.int64]


class Events(NamedTuple):
    """Events of a range of entities, by entity and in order."""

    batch: pa.RecordBatch
    owners: Ordinals
    """Of the entities that they belong to."""
    places: Ordinals
    """In their sequences, from 0."""


class SequenceSampler:
    """Draws both tables of one model with one seed. Not safe for threads. Arguments as ``Sampler``; conditions are on entities."""

    def __init__(
        self, artefact: SequenceArtefact, seed: int, *, conditions: Sequence[Condition] = (), stratified: bool = True
    ) -> None:
        self._header, self._digest, self._seed, self._stratified = artefact.header, artefact.digest, seed, stratified
        self._entities = Sampler(
            artefact.entity, seed, conditions=conditions, stratified=stratified, digest=artefact.digest
        )
        self.part_rows = part_rows(artefact.header.length_max)
        """Entities whose events are drawn together; ordinals that start and end at such parts waste nothing."""
        self._sequences = Sequences(artefact, self.part_rows)
        self._block: tuple[int, npt.NDArray[np.int32], pa.RecordBatch] | None = None
        self._part: tuple[int, Events] | None = None
        events = artefact.header.events
        places = {ref: place for place, ref in enumerate(events.order)}
        self._decoders: list[tuple[Decoder, list[int | None]]] = []
        fields = []
        for number, column in enumerate(events.columns):
            mine = [places.get(TokenRef(number, token)) for token in range(len(column.tokens()))]
            fields += [(name, kind) for name, kind in zip(column.columns, column.types, strict=True)]
            self._decoders.append((decoder_of(column, part_of(artefact.events.tensors, number)), mine))
        self._drawn_names = [name for name, _ in fields]
        shown = [pa.field(name, arrow_type(kind)) for name, kind in fields if name not in HIDDEN]
        if self._header.timeline is not None:
            shown.append(pa.field(self._header.timeline.column, arrow_type(self._header.timeline.type)))
        self.event_schema = pa.schema(shown)
        self.entity_schema = pa.schema([field for field in self._entities.schema if field.name not in HIDDEN])

    def entities(self, first: int, count: int) -> pa.RecordBatch:
        """Entities with ordinals from ``first``, in wire types."""
        batches = [
            self._visible(self._drawn(block)[1].slice(start, rows))
            for block, start, rows in cut(first, count, BLOCK_ROWS)
        ]
        return pa.concat_batches(batches) if batches else pa.RecordBatch.from_pylist([], self.entity_schema)

    def counts(self, first: int, count: int) -> Ordinals:
        """How many events each of these entities has; cheap, as no event is drawn."""
        found = [
            self._lengths(self._drawn(block)[1].slice(start, rows))
            for block, start, rows in cut(first, count, BLOCK_ROWS)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def events(self, first: int, count: int) -> Events:
        """The events of entities with ordinals from ``first``."""
        parts = []
        for number, start, rows in cut(first, count, self.part_rows):
            if self._part is None or self._part[0] != number:
                self._part = (number, self._events_of(number))
            drawn = self._part[1]
            begin, end = np.searchsorted(drawn.owners % self.part_rows, [start, start + rows])
            parts.append(
                Events(drawn.batch.slice(begin, end - begin), drawn.owners[begin:end], drawn.places[begin:end])
            )
        if not parts:
            nothing = np.zeros(0, np.int64)
            return Events(pa.RecordBatch.from_pylist([], self.event_schema), nothing, nothing)
        return Events(
            pa.concat_batches([part.batch for part in parts]),
            np.concatenate([part.owners for part in parts]),
            np.concatenate([part.places for part in parts]),
        )

    def _drawn(self, block: int) -> tuple[npt.NDArray[np.int32], pa.RecordBatch]:
        """A block of entities: codes and values."""
        if self._block is None or self._block[0] != block:
            self._block = (block, *self._entities.block(block))
        return self._block[1], self._block[2]

    def _lengths(self, batch: pa.RecordBatch) -> Ordinals:
        lengths: Ordinals = np.clip(batch[EVENTS].to_numpy(zero_copy_only=False), 0, self._header.length_max)
        return lengths.astype(np.int64)

    def _visible(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.select(self.entity_schema.names)

    def _events_of(self, part: int) -> Events:
        """All events of so many entities as are drawn for together."""
        rows, timeline = self.part_rows, self._header.timeline
        block, first = divmod(part * rows, BLOCK_ROWS)
        codes, batch = self._drawn(block)
        codes, batch = codes[:, first : first + rows], batch.slice(first, rows)
        noise = Noise(self._digest + STREAM, self._seed, part, rows, stratified=self._stratified)
        starts = None
        if timeline is not None:
            starts = np.nan_to_num(batch[START].to_numpy(zero_copy_only=False), nan=timeline.low)
        drawn = self._sequences.draw(
            [codes[place] for place in self._header.seen], self._lengths(batch), starts, noise.draw
        )
        noise.rows = len(drawn.owners)
        nothing = np.zeros(noise.rows, np.int32)
        arrays: list[pa.Array] = []
        for decoder, places in self._decoders:
            arrays.extend(decoder([nothing if place is None else drawn.codes[place] for place in places], noise))
        by_name = dict(zip(self._drawn_names, arrays, strict=True))
        if timeline is not None:
            by_name[timeline.column] = self._moments(drawn, by_name.get(CLOCK))
        made = pa.RecordBatch.from_arrays([by_name[name] for name in self.event_schema.names], schema=self.event_schema)
        return Events(made, drawn.owners + part * rows, drawn.places)

    def _moments(self, drawn: Drawn, clock: pa.Array | None) -> pa.Array:
        """Where events are, in the wire type; times of day within one day are put in order."""
        timeline = self._header.timeline
        assert timeline is not None
        values = stepped(drawn.moments, timeline.step) if timeline.step else drawn.moments
        if timeline.unit == "day":
            values = values * DAY_US
            if clock is not None:
                at = clock.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64)
                by_time = np.lexsort((at, values, drawn.owners))
                values = values + at[by_time]
        return wire_array(values, None, timeline.type, timeline.step if timeline.unit == "value" else 1.0)


def part_rows(length_max: int) -> int:
    """Entities whose events are drawn together: a block of them, or a part of it that is a power of two."""
    rows = BLOCK_ROWS
    while rows > PART_ROWS_MIN and rows * length_max > EVENTS_AT_ONCE:
        rows //= 2
    return rows


def cut(first: int, count: int, size: int) -> Iterator[tuple[int, int, int]]:
    """The blocks of ``size`` that ordinals fall into: number, first of them in it, how many."""
    for block in range(first // size, -(-(first + count) // size)):
        start = max(0, first - block * size)
        yield block, start, min(size, first + count - block * size) - start
