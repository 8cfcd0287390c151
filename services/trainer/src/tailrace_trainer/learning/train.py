"""From rows to a model: encode, fit, calibrate. Runs in the trainer's child process; the only entry to ``torch``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from tailrace_shared import __version__
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import MODEL_BYTES_MAX, Artefact, Header, Privacy, Training
from tailrace_shared.synthesis.sequence import SequenceArtefact, SequenceHeader
from tailrace_trainer.learning.calibrate import calibrate
from tailrace_trainer.learning.calibrate_events import calibrate_events
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.fit import EPOCHS_MAX, Epoch, Fitted, fit
from tailrace_trainer.learning.net import Net
from tailrace_trainer.learning.private.fit import fit_private
from tailrace_trainer.learning.private.table import Noise, learn_private_table
from tailrace_trainer.learning.protection import Floats, Ids
from tailrace_trainer.learning.rules import Rules
from tailrace_trainer.learning.sequence import CodedSequence, Ties, learn_sequence
from tailrace_trainer.learning.sizes import shape_of
from tailrace_trainer.learning.table import CodedTable, learn_table

HEADER_ROOM = 0.85
"""Share of a model's bytes for tensors; the rest is for labels and names."""
ENTITY_ROOM = 0.4
"""Share of a model of two tables that the entities may take."""


@dataclass(frozen=True)
class Course:
    """How to learn, whatever is learned."""

    seed: int
    privacy: Privacy = field(default_factory=Privacy)
    first: Sequence[str] = ()
    """Columns that are drawn before all others."""
    rules: Rules = field(default_factory=Rules)
    """That hold between columns; of entities and events, between those of entities."""
    epochs_max: int = EPOCHS_MAX
    bytes_max: int = MODEL_BYTES_MAX
    """Of the model."""
    report: Callable[[Epoch], None] = lambda epoch: None


def train(
    rows: pa.Table, subjects: Sequence[Subject], course: Course, *, table: str, entity: pa.Array | None = None
) -> Artefact:
    """Learn a model of ``rows``; ``entity`` says to whom each belongs.

    Same rows, settings and seed: the same model, on one machine and with one thread.
    Raises TerminalError: ``trainer.few-rows``, ``trainer.column-rare``, ``model.too-large``.
    """
    _prepare()
    if course.privacy.epsilon is not None:
        return _train_private(rows, subjects, course, table, entity)
    rng = np.random.default_rng(course.seed)
    coded = learn_table(rows, subjects, course.privacy, rng, entity=entity, first=course.first, rules=course.rules)
    artefact = _learned(coded, coded.codes, table, course, course.bytes_max)
    artefact = calibrate(artefact, coded.codes, coded.parents, rng)
    artefact.save(course.bytes_max)
    return artefact


def train_sequence(
    entities: pa.Table,
    events: pa.Table,
    subjects: tuple[Sequence[Subject], Sequence[Subject]],
    ties: Ties,
    course: Course,
    *,
    tables: tuple[str, str],
    epochs_max: int | None = None,
) -> SequenceArtefact:
    """Learn a model of entities and their events; ``subjects`` and ``tables`` are those of both, ``epochs_max`` of the events.

    Raises TerminalError: those of ``train``, and of ``learn_sequence``.
    """
    _prepare()
    if course.privacy.epsilon is not None:
        raise TerminalError(
            "trainer.private-sequence", f"{tables[1]} has many rows of one entity, which differential privacy does not cover yet",
            "Leave out epsilon, or learn the two tables on their own.",
        )  # fmt: skip
    rng = np.random.default_rng(course.seed)
    coded = learn_sequence(
        entities, events, *subjects, ties, course.privacy, rng, first=course.first, rules=course.rules
    )
    entity = _learned(coded.entity, coded.entity.codes, tables[0], course, int(course.bytes_max * ENTITY_ROOM))
    entity = calibrate(entity, coded.entity.codes, coded.entity.parents, rng)
    later = replace(course, epochs_max=epochs_max or course.epochs_max)
    made = _learned(coded.events, coded.codes, tables[1], later, course.bytes_max - len(entity.data), coded)
    made = calibrate(made, coded.codes, coded.events.parents, rng)
    header = SequenceHeader(
        entity=entity.header, events=made.header, timeline=coded.timeline, length_max=coded.length_max,
        seen=coded.seen, lags=coded.lags, key=ties.key, foreign_key=ties.foreign_key,
    )  # fmt: skip
    artefact = calibrate_events(SequenceArtefact(header, entity, made, coded.edges), coded, rng)
    artefact.save(course.bytes_max)
    return artefact


def _train_private(
    rows: pa.Table, subjects: Sequence[Subject], course: Course, table: str, entity: pa.Array | None
) -> Artefact:
    """As ``train``, under differential privacy; ``seed`` decides nothing, since who knows it could take the noise away."""
    if course.rules.together or course.rules.ordered:
        raise TerminalError(
            "trainer.rule", f"rules between columns of {table} cannot be built into a model under differential privacy",
            "Leave the rules out, or give them to the sampler, which rejects rows.",
        )  # fmt: skip
    coded, shares, noise = learn_private_table(rows, subjects, course.privacy, entity=entity, first=course.first)
    artefact = _learned(coded, coded.codes, table, course, course.bytes_max, private=(shares, noise))
    artefact = calibrate(artefact, coded.codes, coded.parents, np.random.default_rng(), shares=shares)
    artefact.save(course.bytes_max)
    return artefact


def _prepare() -> None:
    torch.set_num_threads(1)  # a second one spins more than it helps on a busy machine, and changes sums
    torch.set_flush_denormal(True)


def _learned(
    coded: CodedTable,
    codes: npt.NDArray[np.int16],
    table: str,
    course: Course,
    bytes_max: int,
    sequence: CodedSequence | None = None,
    private: tuple[Sequence[Floats], Noise] | None = None,
) -> Artefact:
    """The model of a coded table, before calibration; ``sequence`` says what its rows are given, and to whom they belong."""
    room = int(bytes_max * HEADER_ROOM) - sum(tensor.nbytes for tensor in coded.tensors.values())
    sizes = [token.codes for token in coded.tokens]
    given: tuple[int, ...] = sequence.given if sequence else ()
    ranks: tuple[Floats | None, ...] = (*(sequence.ranks if sequence else ()), *coded.ranks)
    groups: Ids | None = sequence.owners if sequence else None
    # under differential privacy, what depends on what may not be looked up: a wide table's tokens then see the latest before them
    looked_at = codes if private is None else np.zeros((1, codes.shape[1]), np.int16)
    shape = shape_of(looked_at, sizes, coded.parents, room, given)
    generator = torch.Generator().manual_seed(course.seed)
    marginals = [_smoothed(coded, place) for place in range(len(sizes))] if private is None else private[0]
    net = Net(shape, sizes, marginals, ranks, generator, given)
    fitted = Fitted([], 0, 0.0, 0.0, len(codes), 0)
    if sizes and private is not None:
        fitted = fit_private(net, codes, private[1], course.report)
    elif sizes:
        fitted = fit(net, codes, generator, course.report, course.epochs_max, groups)
    header = Header(
        version=__version__,
        table=table,
        columns=coded.columns,
        order=coded.order,
        given=given,
        network=shape,
        privacy=course.privacy,
        training=Training(
            rows=fitted.rows,
            held_out=fitted.held_out,
            seed=course.seed,
            epochs=fitted.epochs,
            loss=fitted.loss,
            held_out_loss=fitted.held_out_loss,
            digest=coded.digest if private is None else "",
            account=None if private is None else private[1].account,
        ),
    )
    weights = net.tensors(fitted.weights) if sizes else {}
    return Artefact(header, {**coded.tensors, **weights})


def _smoothed(coded: CodedTable, place: int) -> Floats:
    codes = coded.codes[:, place]
    counts = np.bincount(codes[codes >= 0], minlength=coded.tokens[place].codes) + 0.5
    share: Floats = counts / counts.sum()
    return share
