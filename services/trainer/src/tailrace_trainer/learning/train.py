"""From rows to a model: encode, fit, calibrate. Runs in the trainer's child process; the only entry to ``torch``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from tailrace_shared import __version__
from tailrace_shared.synthesis import MODEL_BYTES_MAX, Artefact, Header, Privacy, Training
from tailrace_shared.synthesis.sequence import SequenceArtefact, SequenceHeader
from tailrace_trainer.learning.calibrate import calibrate
from tailrace_trainer.learning.calibrate_events import calibrate_events
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.fit import EPOCHS_MAX, Epoch, Fitted, fit
from tailrace_trainer.learning.net import Net
from tailrace_trainer.learning.protection import Floats, Ids
from tailrace_trainer.learning.sequence import CodedSequence, Ties, learn_sequence
from tailrace_trainer.learning.sizes import shape_of
from tailrace_trainer.learning.table import CodedTable, learn_table

HEADER_ROOM = 0.85
"""Share of a model's bytes for tensors; the rest is for labels and names."""
ENTITY_ROOM = 0.4
"""Share of a model of two tables that the entities may take."""

Report = Callable[[Epoch], None]


def train(
    rows: pa.Table,
    subjects: Sequence[Subject],
    *,
    table: str,
    seed: int,
    privacy: Privacy | None = None,
    entity: pa.Array | None = None,
    first: Sequence[str] = (),
    epochs_max: int = EPOCHS_MAX,
    bytes_max: int = MODEL_BYTES_MAX,
    report: Report = lambda epoch: None,
) -> Artefact:
    """Learn a model of ``rows``. Same rows, settings and seed: the same model, on one machine and with one thread.

    Raises TerminalError: ``trainer.few-rows``, ``trainer.column-rare``, ``model.too-large``.
    """
    _prepare()
    privacy = privacy or Privacy()
    rng = np.random.default_rng(seed)
    coded = learn_table(rows, subjects, privacy, rng, entity=entity, first=first)
    artefact = _learned(coded, coded.codes, table, seed, privacy, epochs_max, bytes_max, report)
    artefact = calibrate(artefact, coded.codes, coded.parents, rng)
    artefact.save(bytes_max)
    return artefact


def train_sequence(
    entities: pa.Table,
    events: pa.Table,
    entity_subjects: Sequence[Subject],
    event_subjects: Sequence[Subject],
    ties: Ties,
    *,
    tables: tuple[str, str],
    seed: int,
    privacy: Privacy | None = None,
    first: Sequence[str] = (),
    epochs_max: int = EPOCHS_MAX,
    bytes_max: int = MODEL_BYTES_MAX,
    report: Report = lambda epoch: None,
) -> SequenceArtefact:
    """Learn a model of entities and their events; ``tables`` names both. Otherwise as ``train``.

    Raises TerminalError: those of ``train``, and of ``learn_sequence``.
    """
    _prepare()
    privacy = privacy or Privacy()
    rng = np.random.default_rng(seed)
    coded = learn_sequence(entities, events, entity_subjects, event_subjects, ties, privacy, rng, first=first)
    entity = _learned(
        coded.entity, coded.entity.codes, tables[0], seed, privacy, epochs_max, int(bytes_max * ENTITY_ROOM), report
    )
    entity = calibrate(entity, coded.entity.codes, coded.entity.parents, rng)
    made = _learned(
        coded.events, coded.codes, tables[1], seed, privacy, epochs_max, bytes_max - len(entity.data), report, coded
    )
    made = calibrate(made, coded.codes, coded.events.parents, rng)
    header = SequenceHeader(
        entity=entity.header, events=made.header, timeline=coded.timeline, length_max=coded.length_max,
        seen=coded.seen, lags=coded.lags,
    )  # fmt: skip
    artefact = calibrate_events(SequenceArtefact(header, entity, made, coded.edges), coded, rng)
    artefact.save(bytes_max)
    return artefact


def _prepare() -> None:
    torch.set_num_threads(1)  # a second one spins more than it helps on a busy machine, and changes sums
    torch.set_flush_denormal(True)


def _learned(
    coded: CodedTable,
    codes: npt.NDArray[np.int16],
    table: str,
    seed: int,
    privacy: Privacy,
    epochs_max: int,
    bytes_max: int,
    report: Report,
    sequence: CodedSequence | None = None,
) -> Artefact:
    """The model of a coded table, before calibration; ``sequence`` says what its rows are given, and to whom they belong."""
    room = int(bytes_max * HEADER_ROOM) - sum(tensor.nbytes for tensor in coded.tensors.values())
    sizes = [token.codes for token in coded.tokens]
    given: tuple[int, ...] = sequence.given if sequence else ()
    ranks: tuple[Floats | None, ...] = (*(sequence.ranks if sequence else ()), *coded.ranks)
    groups: Ids | None = sequence.owners if sequence else None
    shape = shape_of(codes, sizes, coded.parents, room, given)
    generator = torch.Generator().manual_seed(seed)
    net = Net(shape, sizes, [_smoothed(coded, place) for place in range(len(sizes))], ranks, generator, given)
    fitted = fit(net, codes, generator, report, epochs_max, groups) if sizes else Fitted([], 0, 0.0, 0.0, len(codes), 0)
    header = Header(
        version=__version__,
        table=table,
        columns=coded.columns,
        order=coded.order,
        given=given,
        network=shape,
        privacy=privacy,
        training=Training(
            rows=fitted.rows,
            held_out=fitted.held_out,
            seed=seed,
            epochs=fitted.epochs,
            loss=fitted.loss,
            held_out_loss=fitted.held_out_loss,
            digest=coded.digest,
        ),
    )
    weights = net.tensors(fitted.weights) if sizes else {}
    return Artefact(header, {**coded.tensors, **weights})


def _smoothed(coded: CodedTable, place: int) -> Floats:
    codes = coded.codes[:, place]
    counts = np.bincount(codes[codes >= 0], minlength=coded.tokens[place].codes) + 0.5
    share: Floats = counts / counts.sum()
    return share
