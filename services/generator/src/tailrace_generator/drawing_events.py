"""Events of a synthetic table: drawn for blocks of their entities, or parts of blocks, and numbered through all of them.

How many events the entities before a part have is counted by drawing those entities, without their events. So the ordinal of an
event, and with it its dense key, is a function of (model, seed) alone, whoever draws which entities.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_generator.asked import conditions_of
from tailrace_generator.drawing import unknown_column
from tailrace_generator.kernels.draws import Ordinals
from tailrace_generator.kernels.maker import Maker
from tailrace_generator.sampling.sequences import Events, SequenceSampler
from tailrace_shared.generators import MaskColumn
from tailrace_shared.plan.model import PlannedTable
from tailrace_shared.synthesis import SequenceArtefact


class EventDrawing:
    """One model, one seed: the events of one part of the entities, for as long as columns ask for it. Not safe for threads."""

    def __init__(self, entities: PlannedTable, events: PlannedTable, model: SequenceArtefact) -> None:
        assert entities.learning is not None
        assert entities.learning.events is not None
        self.digest = model.digest
        self._sampler = SequenceSampler(model, entities.learning.seed, conditions=conditions_of(entities))
        self._rows = self._sampler.part_rows
        self._entities, self._strict = entities.rows, entities.learning.events.order if events.strict else ""
        self._starts = [0]
        """Ordinal of the first event of each part, as far as parts were counted."""
        self._part = -1
        self._drawn: Events | None = None

    def spans(self, first: int, entities: int) -> Iterator[tuple[int, int]]:
        """First ordinal and number of the events of each part of these entities, which begin with a part."""
        for part in range(first // self._rows, -(-(first + entities) // self._rows)):
            drawn = self._of(part)
            yield self._start(part), len(drawn.owners)

    def column(self, name: str, ordinals: Ordinals) -> pa.Array:
        """A column's values of these events, in the type that was learned. Ordinals are successive."""
        if self._sampler.event_schema.get_field_index(name) < 0:
            raise unknown_column(name)
        pieces = [drawn.batch.column(name).slice(at, rows) for drawn, at, rows in self._pieces(ordinals)]
        return pa.concat_arrays(pieces)

    def owners(self, ordinals: Ordinals) -> Ordinals:
        """Ordinals of the entities that these events belong to."""
        found: Ordinals = np.concatenate([drawn.owners[at : at + rows] for drawn, at, rows in self._pieces(ordinals)])
        return found

    def _pieces(self, ordinals: Ordinals) -> Iterator[tuple[Events, int, int]]:
        """Events of a part, and which of them."""
        at, end = int(ordinals[0]), int(ordinals[0]) + len(ordinals)
        while at < end:
            while self._starts[-1] <= at:
                if len(self._starts) * self._rows >= self._entities + self._rows:
                    raise IndexError(at)
                self._start(len(self._starts))
            part = bisect_right(self._starts, at) - 1
            drawn, start = self._of(part), self._starts[part]
            rows = min(end, start + len(drawn.owners)) - at
            yield drawn, at - start, rows
            at += rows

    def _start(self, part: int) -> int:
        while len(self._starts) <= part:
            before = len(self._starts) - 1
            self._starts.append(self._starts[-1] + int(self._sampler.counts(*self._extent(before)).sum()))
        return self._starts[part]

    def _of(self, part: int) -> Events:
        if self._drawn is None or part != self._part:
            self._start(part)
            drawn = self._sampler.events(*self._extent(part))
            self._drawn = apart(drawn, self._strict) if self._strict else drawn
            self._part = part
            if len(self._starts) == part + 1:
                self._starts.append(self._starts[-1] + len(drawn.owners))
        return self._drawn

    def _extent(self, part: int) -> tuple[int, int]:
        """First ordinal and number of a part's entities."""
        return part * self._rows, max(0, min(self._rows, self._entities - part * self._rows))


class OwnerMaker(Maker):
    """The key of the entity that an event belongs to."""

    def __init__(self, column: MaskColumn, drawing: EventDrawing, key: Maker) -> None:
        super().__init__(column)
        self._drawing, self._key = drawing, key

    def __call__(self, ordinals: Ordinals) -> pa.Array:
        from tailrace_generator.workshop import fitted

        return fitted(self._key(self._drawing.owners(ordinals)), self.wire)


def apart(events: Events, order: str) -> Events:
    """The events with different places in their order: who would be where the one before is comes next after it.

    Integers, dates and moments, of which there is a next one.
    """
    values = events.batch.column(order)
    numbers = values.view(pa.int32()) if pa.types.is_date32(values.type) else values
    if pa.types.is_timestamp(values.type):
        numbers = values.view(pa.int64())
    moved = (
        _running(numbers.to_numpy(zero_copy_only=False).astype(np.int64) - events.places, events.owners) + events.places
    )
    made = pa.array(moved).cast(numbers.type)
    made = made if made.type == values.type else made.view(values.type)
    place = events.batch.schema.get_field_index(order)
    return events._replace(batch=events.batch.set_column(place, events.batch.schema.field(place), made))


def _running(values: npt.NDArray[np.int64], owners: Ordinals) -> npt.NDArray[np.int64]:
    """The largest value so far of each owner; owners ascend. By ranks, so that no product overflows."""
    if not len(values):
        return values
    known, ranks = np.unique(values, return_inverse=True)
    steps = np.concatenate([[0], np.cumsum(owners[1:] != owners[:-1])]) * len(known)
    found: npt.NDArray[np.int64] = known[np.maximum.accumulate(ranks + steps) - steps]
    return found
