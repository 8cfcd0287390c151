"""A table's whole judgement, from samples of both sides. Pure: the same samples, seed and k give the same figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tailrace.quality import learners
from tailrace.quality.columns import Rows, row_codes, select, size_of, some
from tailrace.quality.disclosure import bars, summary
from tailrace.quality.distances import column_distance, pair_distances, pairs_of, profile_distance
from tailrace.quality.gates import linkage_gate
from tailrace.quality.model import ColumnQuality, Gate, PairQuality, SequenceQuality, TableQuality, Usefulness
from tailrace.quality.privacy import Losses, privacy_gates
from tailrace.quality.treatment import Treatment

PAIRS_MAX: Final = 2_000
PAIRS_WRITTEN: Final = 500
PAIRED_VALUES_MAX: Final = 200
"""A name with more values has too many combinations for a sample to say anything about."""
ROWS_MIN: Final = 100
"""Below this chance is as large as what would be found."""


@dataclass(frozen=True)
class Subject:
    """A table's samples. ``real`` and ``other`` are two samples of one source, of about the same size as ``there``."""

    name: str
    made: bool
    """Its rows are synthetic, not masked rows of the source."""
    treatments: tuple[Treatment, ...]
    real: Rows
    other: Rows
    there: Rows
    """Of the destination."""
    held_out: Rows | None = None
    """Rows of the source that nothing was learned from."""
    losses: Losses | None = None
    target: str | None = None
    """The column that a model is to predict; None: one is chosen."""
    estimated: tuple[int, int] = (0, 0)
    sequences: tuple[SequenceQuality, ...] = ()
    notes: tuple[str, ...] = field(default=())


def judge(subject: Subject, *, seed: int = 0, k: int = 10) -> TableQuality:
    """All figures of a table."""
    treatments = tuple(treatment.seen(subject.real[treatment.name]) for treatment in subject.treatments)
    real, other, there = (_as_treated(rows, treatments) for rows in (subject.real, subject.other, subject.there))
    held_out = None if subject.held_out is None else _as_treated(subject.held_out, treatments)
    columns = tuple(_column(t, real, other, there, k) for t in treatments)
    valued = [t.name for t in treatments if t.compared == "values" and t.kind != "opaque"]
    notes = [*subject.notes]
    pairs, left_out = _pairs(real, other, there, valued, seed)
    if min(map(size_of, (real, other, there))) < ROWS_MIN:
        notes.append(f"Fewer than {ROWS_MIN} rows on one side: chance is as large as what would be found.")
    rng = np.random.default_rng(seed)
    if subject.made:
        gates = privacy_gates(
            select(real, valued), _selected(held_out, valued), select(there, valued), rng, subject.losses
        )
    else:
        gates = tuple(_linkage(real, treatments))
    detection, useful = _learned(subject, real, other, held_out, there, valued, notes)
    return TableQuality(
        name=subject.name,
        made=subject.made,
        rows=(size_of(real), size_of(there)),
        estimated=subject.estimated,
        shape=_mean([c.error for c in columns if c.error is not None]),
        shape_floor=_mean([c.floor for c in columns if c.floor is not None]),
        trend=_mean([pair.own for pair in pairs]),
        trend_shared=_mean([pair.shared for pair in pairs]),
        trend_floor=_mean([pair.floor for pair in pairs]),
        pairs_left_out=left_out,
        detection=detection,
        usefulness=useful,
        columns=columns,
        pairs=tuple(sorted(pairs, key=lambda pair: pair.floor - pair.shared)[:PAIRS_WRITTEN]),
        gates=gates,
        sequences=subject.sequences,
        notes=tuple(notes),
    )


def _as_treated(rows: Rows, treatments: Sequence[Treatment]) -> Rows:
    return {t.name: rows[t.name].as_kind(t.kind) for t in treatments}


def _selected(rows: Rows | None, wanted: Sequence[str]) -> Rows | None:
    return None if rows is None else select(rows, wanted)


def _column(treatment: Treatment, real: Rows, other: Rows, there: Rows, k: int) -> ColumnQuality:
    ours, again, theirs = (side[treatment.name] for side in (real, other, there))
    distance = {"values": column_distance, "profile": profile_distance}.get(treatment.compared)
    return ColumnQuality(
        name=treatment.name,
        type=treatment.type,
        generator=treatment.generator,
        masked=treatment.masked,
        kind=treatment.kind,
        compared=treatment.compared,
        error=distance(ours, theirs) if distance else None,
        floor=distance(ours, again) if distance else None,
        before=summary(ours, k),
        after=summary(theirs, k),
        bars=bars(ours, theirs, k, hidden=treatment.compared == "profile") if distance else None,
        looks_like=treatment.looks_like,
    )


def _pairs(real: Rows, other: Rows, there: Rows, valued: Sequence[str], seed: int) -> tuple[list[PairQuality], int]:
    wanted = [name for name in valued if real[name].numbers is not None or _few(real, name)]
    chosen = pairs_of(wanted, PAIRS_MAX, seed)
    found = zip(pair_distances(real, there, chosen), pair_distances(real, other, chosen), strict=True)
    pairs = [
        PairQuality(first=pair.first, second=pair.second, own=pair.own, shared=pair.shared, floor=chance.shared)
        for pair, chance in found
    ]
    return pairs, len(valued) * (len(valued) - 1) // 2 - len(chosen)


def _few(real: Rows, name: str) -> bool:
    (found,) = row_codes({name: real[name]})
    return int(found.max(initial=0)) < PAIRED_VALUES_MAX


def _learned(
    subject: Subject,
    real: Rows,
    other: Rows,
    held_out: Rows | None,
    there: Rows,
    valued: Sequence[str],
    notes: list[str],
) -> tuple[float | None, Usefulness | None]:
    """Detection and usefulness, where they can be had; of masked rows they say nothing."""
    if not subject.made or len(valued) < 2 or min(map(size_of, (real, there))) < ROWS_MIN:
        return None, None
    if not learners.available():
        notes.append(f"Detection and usefulness were not measured: {learners.MISSING_REMEDY}.")
        return None, None
    detection = learners.detection_auc(select(real, valued), select(there, valued))
    check = other if held_out is None else held_out
    target = subject.target or learners.best_target(select(real, valued), select(check, valued))
    if target is None or target not in valued:
        notes.append(f"Usefulness was not measured: {target or 'no column'} can be predicted; --target names one.")
        return detection, None
    return detection, learners.usefulness(select(real, valued), select(there, valued), select(check, valued), target)


def _linkage(real: Rows, treatments: Sequence[Treatment]) -> list[Gate]:
    """Of masked rows: who is alone with what is not masked."""
    plain = [t.name for t in treatments if t.generator == "duplicate" and not t.key]
    rows = size_of(real)
    if not plain or rows < ROWS_MIN:
        return []
    alone = {name: _alone(select(real, [name])) for name in plain}
    worst = max(alone, key=lambda name: alone[name])
    said = f"{worst} alone singles out {alone[worst]:,}" if alone[worst] else ""
    return [linkage_gate(_alone(select(real, plain)), rows, said)]


def _alone(rows: Rows) -> int:
    (found,) = row_codes(rows)
    return int((np.bincount(found) == 1).sum())


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def halves(rows: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Two disjoint samples of the same size."""
    mixed = some(rows, size_of(rows), rng)
    middle = size_of(rows) // 2
    return (
        {name: column.take(np.arange(middle)) for name, column in mixed.items()},
        {name: column.take(np.arange(middle, 2 * middle)) for name, column in mixed.items()},
    )
