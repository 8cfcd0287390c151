"""Two tables as codes: entities with how many events they have, and events with what each of them sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.learning_facts import HIDDEN_MAX
from tailrace_shared.synthesis import Privacy, TokenRef
from tailrace_shared.synthesis.sequence import CLOCK, EVENTS, GAP, MONTHS, PLACES, START, WEEKDAYS, Timeline
from tailrace_shared.synthesis.sequences import placed, stretches
from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.numbers import step_of
from tailrace_trainer.learning.protection import Entities, Floats, Ids, bounds, smoothed
from tailrace_trainer.learning.rules import Rules
from tailrace_trainer.learning.table import CodedTable, learn_table
from tailrace_trainer.learning.values import DAY_US, MOMENTS, NUMBERS, numbers_of

EVENTS_MAX = 300_000
"""Events that are learned from, at most: of entities at random."""
LENGTH_MAX = 1_000
"""Events of an entity, unless told otherwise: each is a step of drawing."""
STRETCHES = 48
LAGS = (None, 8, 4)
"""What is seen of the events before, nearest first: all of the first one, and those tokens of others that carry most."""
INTEGER = ColumnType(name="bigint", base="int8", family="integer")
FLOAT = ColumnType(name="double precision", base="float8", family="float")
TIME = ColumnType(name="time without time zone", base="time", family="time")

Codes16 = npt.NDArray[np.int16]


class Ties(NamedTuple):
    """How events belong to entities: columns by name."""

    key: str
    """Of the entities."""
    foreign_key: str
    """Of the events."""
    order: str | None = None
    """Of the events: a number, date or timestamp that puts them in order; without one, the order of their rows counts."""
    length_max: int = LENGTH_MAX


class CodedSequence(NamedTuple):
    """What the two networks learn from."""

    entity: CodedTable
    events: CodedTable
    given: tuple[int, ...]
    """Codes of what events see beside their own tokens."""
    ranks: tuple[Floats | None, ...]
    """Of what is given."""
    codes: Codes16
    """[events, given and tokens]"""
    owners: Ids
    """Of the events: rows of the entities."""
    lengths: Ids
    """Events that each entity has, cut to ``length_max``."""
    starts: Floats
    """Of the entities, on the timeline; NaN without events."""
    seen: tuple[int, ...]
    lags: tuple[tuple[int, ...], ...]
    timeline: Timeline | None
    edges: Floats
    length_max: int


def learn_sequence(
    entities: pa.Table,
    events: pa.Table,
    entity_subjects: Sequence[Subject],
    event_subjects: Sequence[Subject],
    ties: Ties,
    privacy: Privacy,
    rng: np.random.Generator,
    *,
    first: Sequence[str] = (),
    rules: Rules | None = None,
) -> CodedSequence:
    """Encode both tables; subjects name the columns to learn, without keys. Events of unknown entities are left out.

    Raises TerminalError: ``trainer.few-rows``, ``trainer.column-rare``, ``trainer.order`` for a column that orders nothing.
    """
    subjects = [s for s in event_subjects if s.name not in (ties.order, ties.foreign_key)]
    order = next((s for s in event_subjects if s.name == ties.order), None)
    if ties.order is not None and (order is None or order.type.family not in NUMBERS):
        raise TerminalError(
            "trainer.order", f"events cannot be put in order by column {ties.order}: it is no number, date or time",
            "Name a column of such a type, or none.",
        )  # fmt: skip
    if not len(entities) or not len(events):
        raise TerminalError(
            "trainer.few-rows", "there are no entities, or no events of any, to learn from",
            "Sample more rows, or learn the entities without their events.",
        )  # fmt: skip
    entities = _some(entities, _owned(entities[ties.key], events[ties.foreign_key])[0], rng)
    owners, rows = _owned(entities[ties.key], events[ties.foreign_key])
    moments = np.zeros(len(rows)) if order is None else _filled(events[order.name].take(pa.array(rows)), order.type)
    by = np.lexsort((moments, owners))
    owners, rows, moments = owners[by], rows[by], moments[by]
    everyone = np.bincount(owners, minlength=len(entities))
    length_max = _length_max(everyone, ties.length_max, privacy.k)
    place = np.arange(len(owners)) - np.searchsorted(owners, owners, side="left")
    kept = place < length_max
    owners, rows, moments, place = owners[kept], rows[kept], moments[kept], place[kept]
    lengths = np.minimum(everyone, length_max)
    gaps, clock, timeline = _timed(order, moments, owners, place, privacy.k)
    unit = moments if timeline is None or timeline.unit == "value" else np.floor(moments / DAY_US)
    starts = np.full(len(entities), np.nan)
    starts[owners[place == 0]] = unit[place == 0]

    extended = entities.append_column(EVENTS, pa.array(lengths))
    more = [Subject(EVENTS, INTEGER, nullable=False, form="number")]
    if timeline is not None:
        extended = extended.append_column(START, pa.array(starts, from_pandas=True))
        more.append(Subject(START, FLOAT, form="number"))
    entity = learn_table(extended, [*entity_subjects, *more], privacy, rng, first=first, rules=rules)

    drawn = events.take(pa.array(rows))
    more = []
    if timeline is not None:
        drawn = drawn.append_column(GAP, pa.array(gaps, from_pandas=True))
        more.append(Subject(GAP, FLOAT, form="number"))
    if clock is not None:
        drawn = drawn.append_column(CLOCK, pa.array(clock.astype(np.int64)).view(pa.time64("us")))
        more.append(Subject(CLOCK, TIME, nullable=False, form="number"))
    coded = learn_table(drawn, [*subjects, *more], privacy, rng, entity=pa.array(owners), first=[GAP])
    edges = np.zeros(0) if timeline is None else _edges(unit, owners, privacy.k + HIDDEN_MAX)
    before = np.where(place > 0, np.roll(unit, 1), unit)
    return _joined(entity, coded, owners, place, lengths, starts, before, timeline, edges, length_max)


def _owned(keys: pa.ChunkedArray, foreign: pa.ChunkedArray) -> tuple[Ids, npt.NDArray[np.int64]]:
    """The events that have an entity: the entity's row and the event's."""
    keys, foreign = keys.combine_chunks(), foreign.combine_chunks()
    if keys.type != foreign.type:
        keys, foreign = keys.cast(pa.string()), foreign.cast(pa.string())
    found = pc.index_in(foreign, keys, skip_nulls=True)
    owners = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    rows = np.flatnonzero(owners >= 0)
    return owners[rows], rows


def _filled(values: pa.ChunkedArray, kind: ColumnType) -> Floats:
    """Moments of events; one that is unknown is in the middle of all."""
    moments, known = numbers_of(values.combine_chunks(), kind)
    middle = float(np.median(moments[known])) if known.any() else 0.0
    return np.where(known, moments, middle)


def _some(entities: pa.Table, owners: Ids, rng: np.random.Generator) -> pa.Table:
    """All entities, or as many at random as have the number of events that is learned from."""
    if len(owners) <= EVENTS_MAX:
        return entities
    order = rng.permutation(len(entities))
    events = np.cumsum(np.bincount(owners, minlength=len(entities))[order])
    return entities.take(pa.array(np.sort(order[: max(1, int((events <= EVENTS_MAX).sum()))])))


def _length_max(lengths: npt.NDArray[np.int64], most: int, k: int) -> int:
    """How many events the k entities after the k with most of them have: a single long sequence is not told."""
    ordered = np.sort(lengths).astype(np.float64)
    if len(ordered) < 2 * k:
        return int(min(most, ordered.mean() if len(ordered) else 0))
    return max(0, min(most, int(np.ceil(bounds(ordered, Entities(None, k))[1]))))


def _timed(
    order: Subject | None, moments: Floats, owners: Ids, place: npt.NDArray[np.int64], k: int
) -> tuple[Floats, Floats | None, Timeline | None]:
    """Gaps (NaN before the first event), times of day where they are drawn apart, and the timeline."""
    if order is None or not len(owners):
        return np.zeros(0), None, None
    days = order.type.family == "date"
    later = place > 0
    if order.type.family in MOMENTS and not days:
        gap = np.diff(moments, prepend=0)[later]
        days = (
            not len(gap) or float(np.median(gap)) >= DAY_US
        )  # several events a day: their times matter more than their day
    unit = np.floor(moments / DAY_US) if days else moments
    clock = moments - unit * DAY_US if days and order.type.family != "date" else None
    gaps = np.where(later, np.diff(unit, prepend=0), np.nan)
    by = np.argsort(unit, kind="stable")
    low, high = bounds(unit[by], Entities(owners[by], k))
    step = 1.0 if days else step_of(unit)
    timeline = Timeline(
        column=order.name, type=order.type, unit="day" if days else "value", step=step, low=low, high=high
    )
    return gaps, clock, timeline


def _edges(unit: Floats, owners: Ids, k: int) -> Floats:
    """What cuts the timeline into stretches of about equally many events, each edge a mean over k entities."""
    by = np.argsort(unit, kind="stable")
    ranks = len(unit) * np.arange(1, STRETCHES) // STRETCHES
    return np.unique(smoothed(unit[by], Entities(owners[by], k), ranks.astype(np.int64)))


def _joined(
    entity: CodedTable,
    events: CodedTable,
    owners: Ids,
    place: npt.NDArray[np.int64],
    lengths: Ids,
    starts: Floats,
    before: Floats,
    timeline: Timeline | None,
    edges: Floats,
    length_max: int,
) -> CodedSequence:
    seen = tuple(at for at, ref in enumerate(entity.order) if not _cell(entity, ref))
    lagged = [at for at, ref in enumerate(events.order) if not _cell(events, ref)]
    lags = tuple(tuple(lagged[:most]) for most in LAGS)
    given = [entity.tokens[at].codes for at in seen] + [PLACES, PLACES]
    ranks: list[Floats | None] = [entity.ranks[at] for at in seen] + [np.linspace(0, 1, PLACES)] * 2
    parts = [np.maximum(entity.codes[owners, at], 0) for at in seen]
    parts += [placed(place), placed(lengths[owners] - place - 1)]
    if timeline is not None:
        parts += stretches(timeline.unit, edges, before)
        given.append(len(edges) + 1)
        ranks.append(np.linspace(0, 1, len(edges) + 1))
        if timeline.unit == "day":
            given += [WEEKDAYS, MONTHS]
            ranks += [None, None]
    for back, places in enumerate(lags, start=1):
        there = place >= back
        for at in places:
            codes = np.zeros(len(place), np.int16)
            codes[there] = events.codes[np.flatnonzero(there) - back, at] + 1
            parts.append(codes)
            given.append(events.tokens[at].codes + 1)
            rank = events.ranks[at]
            ranks.append(None if rank is None else np.concatenate([[np.nan], rank]))
    columns = [*parts, *events.codes.T]
    codes = np.empty((len(place), len(columns)), np.int16)
    for at, column in enumerate(columns):
        codes[:, at] = column
    return CodedSequence(
        entity, events, tuple(given), tuple(ranks), codes, owners, lengths, starts, seen, lags, timeline, edges, length_max
    )  # fmt: skip


def _cell(coded: CodedTable, ref: TokenRef) -> bool:
    """Whether a token is only where within a bin a value is: next to nothing depends on that."""
    return coded.columns[ref.column].tokens()[ref.token].cell
