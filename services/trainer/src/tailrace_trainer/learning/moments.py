"""Dates and timestamps: a day, its weekday where that tells something, and a time of day."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tailrace_shared.synthesis import Number
from tailrace_shared.synthesis.encodings import WEEKDAYS
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_trainer.learning.numbers import Resolution, learn_number, nearest
from tailrace_trainer.learning.protection import Codes, Entities, Floats
from tailrace_trainer.learning.values import DAY_US

EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""
UNEVEN = 30.0
"""Chi-square of the weekdays' counts with six degrees of freedom above which they are no accident (p about 4e-5)."""


class LearnedMoments(NamedTuple):
    """Parts of a moment, their tensors, and codes and positions of their tokens."""

    day: Number
    weekday: bool
    clock: Number | None
    tensors: dict[str, Tensor]
    codes: tuple[Codes, ...]
    ranks: tuple[Floats, ...]


def learn_moments(
    moments: Floats, whole_days: bool, entities: Entities, resolution: Resolution, rng: np.random.Generator
) -> LearnedMoments:
    """Learn microseconds since 1970 of at least k distinct entities."""
    days = np.floor(moments / DAY_US)
    day = learn_number(days, entities, resolution, rng)
    tensors = {f"day.{name}": tensor for name, tensor in day.tensors.items()}
    codes, ranks = [*day.codes], [*day.ranks[: len(day.codes)]]
    week = _weekdays(days, entities) if day.number.bins else None
    if week is not None:
        codes.append(week)
        ranks.append(np.linspace(0, 1, WEEKDAYS))
    clock = None
    if not whole_days:
        clock = learn_number(moments - days * DAY_US, entities, resolution, rng)
        tensors |= {f"clock.{name}": tensor for name, tensor in clock.tensors.items()}
        codes += clock.codes
        ranks += clock.ranks[: len(clock.codes)]
    return LearnedMoments(
        day.number, week is not None, clock.number if clock else None, tensors, tuple(codes), tuple(ranks)
    )


def _weekdays(days: Floats, entities: Entities) -> Codes | None:
    """The weekday of every day, rare ones moved to their neighbour; None where they are spread evenly."""
    week = ((days + EPOCH_WEEKDAY) % WEEKDAYS).astype(np.int32)
    counts = np.bincount(week, minlength=WEEKDAYS)
    even = len(week) / WEEKDAYS
    if ((counts - even) ** 2 / even).sum() < UNEVEN:
        return None
    kept = np.flatnonzero(entities.counts(week, WEEKDAYS) >= entities.k).astype(np.float64)
    return kept[nearest(week.astype(np.float64), kept)].astype(np.int32) if len(kept) else None
