"""Decisions about models: samples are read, trainers named, models kept. Pure, like the rest of the machine."""

from __future__ import annotations

from collections import Counter

from tailrace_writer.state import decisions as do
from tailrace_writer.state.decisions import Decision
from tailrace_writer.state.view import ModelView, RunView


def unlearned(view: RunView) -> tuple[ModelView, ...]:
    """Models that are not there yet."""
    return tuple(model for model in view.models if not model.ready)


def teaching(view: RunView) -> list[Decision]:
    """What to do for the models that are missing; a ``KeepModel`` is alone, since it takes its time.

    A sample is read at once, whether or not there is a trainer, so that the source's snapshot is not held for one. A model whose
    trainer is gone is given to another; should the former finish after all, the first one counts.
    """
    learned = next((m for m in unlearned(view) if m.digest), None)
    if learned is not None:
        return [do.KeepModel(learned.table, learned.digest)]
    decided: list[Decision] = [do.ReadSample(m.table, m.unsent) for m in unlearned(view) if m.unsent]
    busy = Counter(m.trainer for m in unlearned(view) if m.trainer in view.trainers)
    for model in unlearned(view):
        if model.unread or model.trainer in view.trainers or not view.trainers:
            continue
        chosen = min(view.trainers, key=lambda trainer: (busy[trainer], trainer))
        busy[chosen] += 1
        decided.append(do.Teach(model.table, chosen))
    return decided
