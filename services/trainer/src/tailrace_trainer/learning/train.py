"""From rows to a model: encode, fit, calibrate. Runs in the trainer's child process; the only entry to ``torch``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import torch

from tailrace_shared import __version__
from tailrace_shared.synthesis import MODEL_BYTES_MAX, Artefact, Header, Privacy, Training
from tailrace_trainer.learning.calibrate import calibrate
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.fit import EPOCHS_MAX, Epoch, Fitted, fit
from tailrace_trainer.learning.net import Net
from tailrace_trainer.learning.sizes import shape_of
from tailrace_trainer.learning.table import CodedTable, learn_table

HEADER_ROOM = 0.85
"""Share of a model's bytes for tensors; the rest is for labels and names."""


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
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Artefact:
    """Learn a model of ``rows``. Same rows, settings and seed: the same model, on one machine and with one thread.

    Raises TerminalError: ``trainer.few-rows``, ``trainer.column-rare``, ``model.too-large``.
    """
    torch.set_num_threads(1)  # a second one spins more than it helps on a busy machine, and changes sums
    torch.set_flush_denormal(True)
    privacy = privacy or Privacy()
    rng = np.random.default_rng(seed)
    coded = learn_table(rows, subjects, privacy, rng, entity=entity, first=first)
    room = int(bytes_max * HEADER_ROOM) - sum(tensor.nbytes for tensor in coded.tensors.values())
    sizes = [token.codes for token in coded.tokens]
    shape = shape_of(coded.codes, sizes, coded.parents, room)
    generator = torch.Generator().manual_seed(seed)
    marginals = [_smoothed(coded, place) for place in range(len(sizes))]
    net = Net(shape, sizes, marginals, coded.ranks, generator)
    fitted = fit(net, coded.codes, generator, report, epochs_max) if sizes else Fitted([], 0, 0.0, 0.0, len(rows), 0)
    header = Header(
        version=__version__,
        table=table,
        columns=coded.columns,
        order=coded.order,
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
    artefact = calibrate(Artefact(header, {**coded.tensors, **weights}), coded.codes, coded.parents, rng)
    artefact.save(bytes_max)
    return artefact


def _smoothed(coded: CodedTable, place: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    codes = coded.codes[:, place]
    counts = np.bincount(codes[codes >= 0], minlength=coded.tokens[place].codes) + 0.5
    share: np.ndarray[tuple[int], np.dtype[np.float64]] = counts / counts.sum()
    return share
