"""A table as codes: every column learned, the tokens in order of their entropy, a context for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.learning_facts import HIDDEN_MAX, fewest
from tailrace_shared.synthesis import ColumnEncoding, Privacy, Token, TokenRef
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_trainer.learning.columns import LearnedColumn, Lesson, Subject, learn_column, learn_place
from tailrace_trainer.learning.numbers import NARROW, WIDE
from tailrace_trainer.learning.places import on_earth, pairs
from tailrace_trainer.learning.protection import Entities, Floats
from tailrace_trainer.learning.rules import Rules, learn_above, learn_together
from tailrace_trainer.learning.values import numbers_of

WIDE_COLUMNS = 40
"""Above, numbers are cut more coarsely."""


@dataclass(frozen=True)
class CodedTable:
    """What the network learns from."""

    columns: tuple[ColumnEncoding, ...]
    tensors: dict[str, Tensor]
    """Of the columns, with the names that they have in a model."""
    order: tuple[TokenRef, ...]
    tokens: tuple[Token, ...]
    """In that order."""
    parents: tuple[int | None, ...]
    """Place of the token that decides whether one is live; None for a column's first, and where the parent has a single code."""
    codes: npt.NDArray[np.int16]
    """[rows, tokens]; −1 where not live."""
    ranks: tuple[Floats | None, ...]

    @property
    def digest(self) -> str:
        """Of the encoded rows."""
        return hashlib.sha256(np.ascontiguousarray(self.codes).tobytes()).hexdigest()


def learn_table(
    rows: pa.Table,
    subjects: Sequence[Subject],
    privacy: Privacy,
    rng: np.random.Generator,
    *,
    entity: pa.Array | None = None,
    first: Sequence[str] = (),
    rules: Rules | None = None,
) -> CodedTable:
    """Encode ``rows``, with ``rules`` built in. ``first`` names columns to be drawn before all others, as conditions on them want.

    Raises TerminalError: ``trainer.few-rows``, ``trainer.column-rare``, ``trainer.rule``.
    """
    k = privacy.k + int(rng.integers(0, HIDDEN_MAX))
    ids = None if entity is None else entity.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    entities = Entities(ids, k)
    distinct = len(rows) if ids is None else len(np.unique(ids))
    if distinct < fewest(privacy.k):
        raise TerminalError(
            "trainer.few-rows",
            f"{distinct} distinct entities are too few to learn from: the privacy settings ask for {privacy.k} behind every value",
            "Sample more rows, lower k, or give the table's columns other generators.",
        )
    lesson = Lesson(entities, privacy, WIDE if len(subjects) > WIDE_COLUMNS else NARROW, rng)
    values = {s.name: rows.column(s.name).combine_chunks() for s in subjects}
    learned = _columns(subjects, values, lesson, rules or Rules())
    return ordered(learned, first, [sum(_entropy(codes) for codes in column.codes) for column in learned])


def _columns(
    subjects: Sequence[Subject], values: Mapping[str, pa.Array], lesson: Lesson, rules: Rules
) -> list[LearnedColumn]:
    rules.check(subjects)
    by_name = {s.name: s for s in subjects}
    ruled = [learn_together([by_name[name] for name in names], values, lesson) for names in rules.together]
    ruled += [learn_above(by_name[low], by_name[high], values, lesson) for low, high in rules.ordered]
    taken = {name for column in ruled for name in column.encoding.columns}
    alone = [s for s in subjects if s.name not in taken]
    return [*_alone(alone, values, lesson), *ruled]


def _alone(subjects: Sequence[Subject], values: Mapping[str, pa.Array], lesson: Lesson) -> list[LearnedColumn]:
    by_name = {s.name: s for s in subjects}
    partner: dict[str, str] = {}
    for latitude, longitude in pairs([(s.name, s.type) for s in subjects if s.form is None]):
        north, has_north = numbers_of(values[latitude], by_name[latitude].type)
        east, has_east = numbers_of(values[longitude], by_name[longitude].type)
        known = has_north & has_east
        enough = lesson.entities.counts(known.astype(np.int32), 2)[1] >= 4 * lesson.entities.k
        if enough and on_earth(north[known], east[known]):
            partner |= {latitude: longitude, longitude: ""}
    found = []
    for subject in subjects:
        if subject.name not in partner:
            found.append(learn_column(subject, values[subject.name], lesson))
        elif partner[subject.name]:
            found.append(learn_place(subject, by_name[partner[subject.name]], values, lesson))
    return found


def ordered(learned: Sequence[LearnedColumn], first: Sequence[str], entropies: Sequence[float]) -> CodedTable:
    """The columns' tokens, those named ``first`` before the others, then by the columns' entropy."""

    def place(column: int) -> tuple[int, float]:
        names = learned[column].encoding.columns
        wanted = min((first.index(name) for name in names if name in first), default=len(first))
        return wanted, entropies[column]

    order: list[TokenRef] = []
    tokens: list[Token] = []
    parents: list[int | None] = []
    for column in sorted(range(len(learned)), key=lambda c: (*place(c), c)):
        here: dict[int, int] = {}
        for number, token in enumerate(learned[column].encoding.tokens()):
            if token.codes > 1:
                here[number] = len(order)
                order.append(TokenRef(column, number))
                tokens.append(token)
                parents.append(here.get(token.parent) if number else None)
    rows = len(learned[0].codes[0]) if learned else 0
    codes = np.empty((rows, len(order)), np.int16)
    for at, ref in enumerate(order):
        codes[:, at] = learned[ref.column].codes[ref.token]
    return CodedTable(
        columns=tuple(column.encoding for column in learned),
        tensors={f"c{c}.{name}": t for c, column in enumerate(learned) for name, t in column.tensors.items()},
        order=tuple(order),
        tokens=tuple(tokens),
        parents=tuple(parents),
        codes=codes,
        ranks=tuple(learned[ref.column].ranks[ref.token] for ref in order),
    )


def _entropy(codes: npt.NDArray[np.int32]) -> float:
    counts = np.bincount(codes[codes >= 0])
    share = counts[counts > 0] / max(1, counts.sum())
    return float(-(share * np.log(share)).sum())
