"""Drawing events: all sequences of a batch of entities at once, one event each per step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace_shared.synthesis.draws import chances, pick
from tailrace_shared.synthesis.encodings import NumberColumn
from tailrace_shared.synthesis.header import TokenRef
from tailrace_shared.synthesis.network import Codes, Floats, Network
from tailrace_shared.synthesis.quantity import Quantity
from tailrace_shared.synthesis.sequence import GAP, PLACES, SequenceArtefact, SequenceHeader, part_of

Values = npt.NDArray[np.float64]
Uniforms = Callable[[int], Floats]
"""So many uniforms in (0, 1]."""

WEEK_DAYS, EPOCH_WEEKDAY = 7, 3
MONTH_DAYS, YEAR_DAYS = 365.2425 / 12, 365.2425


class Drawn(NamedTuple):
    """Events, by entity and within it in order."""

    codes: Codes
    """[tokens, events], 0 where not live"""
    owners: npt.NDArray[np.int64]
    """Which of the entities each belongs to."""
    places: npt.NDArray[np.int64]
    """Its place in the sequence, from 0."""
    moments: Values
    """Where it is on the timeline, in the timeline's unit; zeros without one."""


class Sequences:
    """Draws the events of entities. Not safe for threads: the network keeps buffers."""

    def __init__(self, artefact: SequenceArtefact, rows: int) -> None:
        self._header, self._edges = artefact.header, np.asarray(artefact.edges)
        self._network = Network(artefact.events, rows)
        events = artefact.header.events
        places = {ref: place for place, ref in enumerate(events.order)}
        self._parents = [
            places.get(TokenRef(ref.column, events.token(ref).parent)) if ref.token else None for ref in events.order
        ]
        self._gap: Quantity | None = None
        self._gap_places: list[int | None] = []
        self._first = False
        for number, column in enumerate(events.columns):
            if column.columns == (GAP,) and isinstance(column, NumberColumn):
                self._gap = Quantity(
                    column.number, part_of(artefact.events.tensors, number), "number", int(column.nulls)
                )
                self._gap_places = [places.get(TokenRef(number, token)) for token in range(len(column.tokens()))]
                self._first = column.nulls

    def draw(
        self, seen: Sequence[Codes], lengths: npt.NDArray[np.int64], starts: Values | None, uniforms: Uniforms
    ) -> Drawn:
        """The events of entities: codes of theirs that events see, how many events each has, and where the first one is."""
        order = np.argsort(-lengths, kind="stable")  # whoever still has events is then always in front
        length, mine = lengths[order], [codes[order] for codes in seen]
        moments = np.zeros(len(order)) if starts is None else starts[order].astype(np.float64)
        steps: list[Codes] = []
        at: list[Values] = []
        for step in range(int(length[0]) if len(length) else 0):
            active = int((length > step).sum())
            given = [codes[:active] for codes in mine]
            given += [placed(np.full(active, step)), placed(length[:active] - step - 1)]
            given += when(self._header, self._edges, moments[:active])
            for back, places in enumerate(self._header.lags, start=1):
                nothing = np.zeros(active, np.int32)
                given += [steps[step - back][place, :active] + 1 if step >= back else nothing for place in places]
            codes = self._step(given, active, step == 0, uniforms)
            if self._gap is not None and step:
                moments[:active] = self._moved(moments[:active], np.maximum(codes, 0), uniforms)
            steps.append(codes)
            at.append(moments[:active].copy())
        return self._sorted(order, steps, at)

    def _step(self, given: Sequence[Codes], rows: int, first: bool, uniforms: Uniforms) -> Codes:
        """Codes of one event each, −1 where not live."""
        network = self._network
        context = network.context(rows)
        network.give(given, context)
        codes = np.zeros((len(network.tokens), rows), np.int32)
        for place, token in enumerate(network.tokens):
            weights = chances(network.logits(place, context), token.barred)
            drawn: Codes = pick(weights, uniforms(rows))
            if self._first and place == self._gap_places[0]:  # NULL for the first event, and for no other
                drawn = np.zeros_like(drawn) if first else self._no_null(place, context, drawn, uniforms(rows))
            parent = self._parents[place]
            codes[place] = drawn if parent is None else np.where(codes[parent] >= token.live_from, drawn, -1)
            network.enter(place, np.maximum(codes[place], 0), context)
        return codes

    def _no_null(self, place: int, context: Floats, drawn: Codes, uniforms: Floats) -> Codes:
        if (drawn > 0).all():
            return drawn
        weights = chances(self._network.logits(place, context), 0)
        again: Codes = np.where(drawn > 0, drawn, pick(weights, uniforms))
        return again

    def _moved(self, moments: Values, codes: Codes, uniforms: Uniforms) -> Values:
        assert self._gap is not None
        assert self._header.timeline is not None
        rows = len(moments)
        nothing = np.zeros(rows, np.int32)
        tokens = [nothing if place is None else codes[place] for place in self._gap_places]
        gaps = self._gap(tokens[0], tokens[1] if len(tokens) > 1 else None, lambda: uniforms(rows))
        later: Values = np.minimum(moments + np.maximum(gaps, 0), np.maximum(moments, self._header.timeline.high))
        return later

    def _sorted(self, order: npt.NDArray[np.intp], steps: list[Codes], at: list[Values]) -> Drawn:
        if not steps:
            nothing = np.zeros(0, np.int64)
            return Drawn(np.zeros((len(self._network.tokens), 0), np.int32), nothing, nothing, np.zeros(0))
        owners = np.concatenate([order[: codes.shape[1]] for codes in steps]).astype(np.int64)
        places = np.concatenate([np.full(codes.shape[1], step) for step, codes in enumerate(steps)])
        by_owner = np.argsort(owners, kind="stable")
        codes = np.maximum(np.concatenate(steps, axis=1)[:, by_owner], 0)
        return Drawn(codes, owners[by_owner], places[by_owner], np.concatenate(at)[by_owner])


def placed(places: npt.NDArray[np.integer]) -> Codes:
    """The codes of places in a sequence."""
    codes: Codes = np.minimum(places, PLACES - 1).astype(np.int32)
    return codes


def when(header: SequenceHeader, edges: Values, moments: Values) -> list[Codes]:
    """Given codes of moments on the timeline: the stretch, and for days also weekday and month."""
    if header.timeline is None:
        return []
    return stretches(header.timeline.unit, edges, moments)


def stretches(unit: str, edges: Values, moments: Values) -> list[Codes]:
    """As ``when``, before there is a header."""
    found = [np.searchsorted(edges, moments, side="right").astype(np.int32)]
    if unit == "day":
        days = np.floor(moments)
        found.append(((days + EPOCH_WEEKDAY) % WEEK_DAYS).astype(np.int32))
        found.append(np.minimum((days % YEAR_DAYS) // MONTH_DAYS, 11).astype(np.int32))
    return found
