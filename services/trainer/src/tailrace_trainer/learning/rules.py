"""Rules between columns that hold by construction: what cannot be drawn needs no check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import AboveColumn, TogetherColumn
from tailrace_trainer.learning.columns import Gaps, LearnedColumn, Lesson, Subject, nothing, of_number, tolerance_of
from tailrace_trainer.learning.numbers import learn_number
from tailrace_trainer.learning.protection import smoothed
from tailrace_trainer.learning.texts import CATEGORIES_MAX
from tailrace_trainer.learning.values import MOMENTS, NUMBERS, numbers_of

MARK = "\x1f"
NULL = "\x00"
"""Between and in place of texts, where a combination becomes one: PostgreSQL's texts hold no such letter as the second."""


class Rules(NamedTuple):
    """What holds between columns of a table."""

    together: Sequence[Sequence[str]] = ()
    """Columns whose values only occur in combinations that the rows have."""
    ordered: Sequence[tuple[str, str]] = ()
    """Columns of which the second is never below the first."""

    def check(self, subjects: Sequence[Subject]) -> None:
        """Raises TerminalError (``trainer.rule``) for rules that cannot hold by construction together."""
        by_name = {subject.name: subject for subject in subjects}
        named = [name for names in self.together for name in names] + [high for _, high in self.ordered]
        for name in [*named, *(low for low, _ in self.ordered)]:
            if name not in by_name:
                raise _refused(name, "it is not learned")
        for name in named:
            if named.count(name) > 1:
                raise _refused(name, "two rules decide it; sample with rules that reject rows instead")
        for low, high in self.ordered:
            families = [by_name[name].type.family for name in (low, high)]
            if any(family not in NUMBERS or family == "interval" for family in families) or (
                families[0] != families[1] and not set(families) <= {"integer", "number", "float"}
            ):
                raise _refused(high, f"it cannot be compared with {low}")
            if low in named:
                raise _refused(low, "another rule decides it; sample with rules that reject rows instead")


def learn_together(subjects: Sequence[Subject], values: Mapping[str, pa.Array], lesson: Lesson) -> LearnedColumn:
    """Learn the combinations of columns that enough entities share."""
    texts = [pc.fill_null(values[subject.name].cast(pa.string()), NULL) for subject in subjects]
    encoded = pc.dictionary_encode(pc.binary_join_element_wise(*texts, MARK))
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    counts = lesson.entities.counts(codes, len(encoded.dictionary))
    rows = np.bincount(codes, minlength=len(encoded.dictionary))
    kept = np.flatnonzero(counts >= lesson.entities.k)
    kept = kept[np.argsort(-rows[kept], kind="stable")][:CATEGORIES_MAX]
    if not len(kept):
        raise _refused(
            subjects[0].name, "no combination is shared by as many entities as the privacy settings' k asks for"
        )
    places = np.full(len(encoded.dictionary), -1, np.int32)
    places[kept] = np.arange(len(kept), dtype=np.int32)
    labels = tuple(
        tuple(None if text == NULL else text for text in label.split(MARK))
        for label in encoded.dictionary.take(pa.array(kept)).to_pylist()
    )
    rare = bool((places[codes] < 0).any())
    encoding = TogetherColumn(
        columns=tuple(s.name for s in subjects),
        types=tuple(s.type for s in subjects),
        nulls=False,
        labels=labels,
        rare=rare,
    )
    return LearnedColumn(encoding, {}, ((places[codes] + int(rare)).astype(np.int32),), (None,))


def learn_above(low: Subject, high: Subject, values: Mapping[str, pa.Array], lesson: Lesson) -> LearnedColumn:
    """Learn by how much ``high`` is above ``low``; rows that break the rule count as equal."""
    below, has_below = numbers_of(values[low.name], low.type)
    above, known = numbers_of(values[high.name], high.type)
    gaps = Gaps.of(known, high.nullable, lesson)
    if gaps.empty(high):
        return nothing((high,), len(above))
    base, below_of = 0.0, lesson.entities.take(has_below)
    if int(below_of.counts(np.zeros(int(has_below.sum()), np.int32), 1)[0]) >= lesson.entities.k:
        order = np.argsort(below[has_below], kind="stable")
        base = float(smoothed(below[has_below][order], below_of.take(order), np.array([len(order) // 2]))[0])
    by = np.maximum(above - np.where(has_below, below, base), 0)
    found = learn_number(
        by[known], lesson.entities.take(known), lesson.resolution, lesson.rng,
        tolerance_of(high.type) if high.type.family not in MOMENTS else 1e-9,
    )  # fmt: skip
    encoding = AboveColumn(
        columns=(high.name,), types=(high.type,), nulls=gaps.nulls, over=low.name, base=base, number=found.number
    )
    return of_number(encoding, found, gaps, "number")


def _refused(column: str, reason: str) -> TerminalError:
    return TerminalError(
        "trainer.rule", f"the rule on column {column} cannot be built into a model: {reason}",
        "Leave the rule out, or give it to the sampler, which rejects rows.",
    )  # fmt: skip
