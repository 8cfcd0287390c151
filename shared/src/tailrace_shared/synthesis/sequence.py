"""A model of two tables: entities, and the events that belong to them in order. One byte string, as a model of one table is.

The entities are a table of their own, with two hidden columns: how many events each has, and where on the timeline its first one
is. The events are another, whose rows see what is *given*: their entity, their place in the sequence, where on the timeline the
event before was, and what the events before were (lags). Only the way from one event to the next (the gap) is drawn, never the
moment itself: sequences are in order by construction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from tailrace_shared.synthesis.artefact import HEADER_KEY, MODEL_BYTES_MAX, Artefact, damaged, fitting, of_this_format
from tailrace_shared.synthesis.header import Header, Training
from tailrace_shared.synthesis.tensors import Tensor, pack, unpack
from tailrace_shared.types import ColumnType, Frozen

EVENTS = ":events"
"""Hidden column of the entities: how many events each has."""
START = ":start"
"""Hidden column of the entities: where the first event is, in the timeline's unit; NULL without events."""
GAP = ":gap"
"""Hidden column of the events: how far after the one before; NULL for the first."""
CLOCK = ":clock"
"""Hidden column of the events: the time of day, where the timeline goes by days."""
HIDDEN = (EVENTS, START, GAP, CLOCK)

PLACES = 33
"""Codes of an event's place, and of how many come after it: up to 31 each, then all the others together."""
WEEKDAYS, MONTHS = 7, 12


class Timeline(Frozen):
    """What puts events in order."""

    column: str
    type: ColumnType
    unit: Literal["value", "day"]
    """Of starts and gaps: the column's own (microseconds for times and moments), or days, the time of day being drawn apart."""
    step: float
    """What values are multiples of, in that unit."""
    low: float
    high: float
    """Where the timeline ends: protected extremes."""


class SequenceHeader(Frozen):
    """All of the model but its tensors."""

    format: Literal[1] = 1
    kind: Literal["sequence"] = "sequence"
    entity: Header
    events: Header
    timeline: Timeline | None
    """None: events have an order, but nothing tells it."""
    length_max: int = Field(ge=0)
    """Events that an entity has at most: what k entities reach."""
    seen: tuple[int, ...]
    """Places in the entities' order that an event sees."""
    lags: tuple[tuple[int, ...], ...]
    """Per event before, the places in the events' order that are seen of it."""
    key: str = ""
    """The entities' column that events refer to. It is no part of the model: who draws makes it."""
    foreign_key: str = ""
    """The events' column that refers to it."""

    @model_validator(mode="after")
    def _fits(self) -> SequenceHeader:
        tokens = [self.entity.token(self.entity.order[place]).codes for place in self.seen]
        tokens += [PLACES, PLACES]
        given = list(self.events.given)
        if given[: len(tokens)] != tokens:
            raise ValueError("entities and events disagree")
        rest = given[len(tokens) + self.moments :]
        lagged = [self.events.token(self.events.order[place]).codes + 1 for lag in self.lags for place in lag]
        if rest != lagged:
            raise ValueError("lags and events disagree")
        return self

    @property
    def moments(self) -> int:
        """Given codes that say where on the timeline the event before was: the stretch, and for days weekday and month."""
        return 0 if self.timeline is None else 1 if self.timeline.unit == "value" else 3

    @property
    def table(self) -> str:
        """The entities' table."""
        return self.entity.table

    @property
    def training(self) -> Training:
        """Of the events, which are the larger part."""
        return self.events.training


@dataclass(frozen=True)
class SequenceArtefact:
    """A learned model of entities and events; ``edges`` [stretches − 1] cut the timeline into stretches that are given."""

    header: SequenceHeader
    entity: Artefact
    events: Artefact
    edges: Tensor

    @cached_property
    def data(self) -> bytes:
        """The byte string; equal models have equal ones."""
        tensors = {f"entity.{name}": tensor for name, tensor in self.entity.tensors.items()}
        tensors |= {f"events.{name}": tensor for name, tensor in self.events.tensors.items()}
        return pack({**tensors, "edges": self.edges}, {HEADER_KEY: self.header.model_dump_json()})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the byte string, as lower-case hex: the model's name."""
        return hashlib.sha256(self.data).hexdigest()

    def save(self, limit: int = MODEL_BYTES_MAX) -> bytes:
        """The byte string. Raises TerminalError (``model.too-large``) above ``limit`` bytes."""
        return fitting(self.data, limit, self.header.table)

    @classmethod
    def load(cls, data: bytes) -> SequenceArtefact:
        """From a byte string. Raises TerminalError: ``model.format`` or ``model.version``."""
        tensors, metadata = unpack(data)
        text = of_this_format(metadata)
        try:
            header = SequenceHeader.model_validate_json(text)
        except (ValidationError, IndexError):
            raise damaged() from None
        edges = tensors.pop("edges", None)
        parts: dict[str, dict[str, Tensor]] = {"entity": {}, "events": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part not in parts:
                raise damaged()
            parts[part][rest] = tensor
        if edges is None or edges.ndim != 1 or not (np.isfinite(edges).all() and (np.diff(edges) >= 0).all()):
            raise damaged()
        entity, events = Artefact(header.entity, parts["entity"]), Artefact(header.events, parts["events"])
        entity.check()
        events.check()
        names = [
            {name for column in side.columns for name in column.columns} for side in (header.entity, header.events)
        ]
        timed = header.timeline is not None
        if EVENTS not in names[0] or (START in names[0]) != timed or (GAP in names[1]) != timed:
            raise damaged()
        return cls(header, entity, events, edges)


def load_model(data: bytes) -> Artefact | SequenceArtefact:
    """A model of either kind. Raises as their ``load`` does."""
    _, metadata = unpack(data)
    sequence = '"kind":"sequence"' in metadata.get(HEADER_KEY, "")[:60]
    return SequenceArtefact.load(data) if sequence else Artefact.load(data)


def part_of(tensors: Mapping[str, Tensor], column: int) -> dict[str, Tensor]:
    """A column's tensors by their names within it."""
    start = f"c{column}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
