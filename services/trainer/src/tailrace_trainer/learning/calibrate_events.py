"""Calibration of events: biases such that whole sequences, drawn from the model itself, have the marginals of the learned ones.

What a network learns is the next event after real ones. Drawn sequences follow their own events, and small errors add up along
them: so sequences are drawn for the entities that were learned from, and each code's bias moves by how much too rare it was.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tailrace_shared.synthesis import Artefact
from tailrace_shared.synthesis.draws import even
from tailrace_shared.synthesis.sequence import SequenceArtefact
from tailrace_shared.synthesis.sequences import Sequences
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_trainer.learning.sequence import CodedSequence

PASSES = 3
ENTITIES_MAX = 6_000
BATCH_ROWS = 2_048
DAMPED = 0.7
"""Of a bias's error, what a pass takes away: codes depend on each other."""
MOVE_MAX = 0.5
"""Nats that a bias moves in one pass."""
DOUBT = 20.0
"""Rows that are added to both sides, so that codes which are hardly ever drawn stay where they are."""


def calibrate_events(artefact: SequenceArtefact, coded: CodedSequence, rng: np.random.Generator) -> SequenceArtefact:
    """The same model with calibrated biases of its events."""
    chosen = np.sort(rng.permutation(len(coded.lengths))[:ENTITIES_MAX])
    mine = np.isin(coded.owners, chosen)
    truth = coded.codes[mine, len(coded.given) :]
    if not len(truth):
        return artefact
    for _ in range(PASSES):
        drawn, live = _drawn(artefact, coded, chosen, rng)
        moved: dict[str, Tensor] = {}
        for place, token in enumerate(coded.events.tokens):
            ours = np.bincount(truth[truth[:, place] >= 0, place], minlength=token.codes).astype(np.float64)
            theirs = np.bincount(drawn[place][live[place]], minlength=token.codes).astype(np.float64)
            if token.barred is not None:
                ours[token.barred] = theirs[token.barred] = 0
            ours, theirs = ours / max(1, ours.sum()) * len(truth), theirs / max(1, theirs.sum()) * len(truth)
            move = np.clip(np.log((ours + DOUBT) / (theirs + DOUBT)) * DAMPED, -MOVE_MAX, MOVE_MAX)
            name = f"n{place}.out_bias"
            moved[name] = (artefact.events.tensors[name] + move).astype(np.float32)
        events = Artefact(artefact.events.header, {**artefact.events.tensors, **moved})
        artefact = SequenceArtefact(artefact.header, artefact.entity, events, artefact.edges)
    return artefact


def _drawn(
    artefact: SequenceArtefact, coded: CodedSequence, chosen: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Codes of drawn events [tokens, events], and where they are live."""
    sequences, found = Sequences(artefact, BATCH_ROWS), []
    for start in range(0, len(chosen), BATCH_ROWS):
        rows = chosen[start : start + BATCH_ROWS]
        seen = [np.maximum(coded.entity.codes[rows, place], 0).astype(np.int32) for place in coded.seen]
        starts = None if coded.timeline is None else np.nan_to_num(coded.starts[rows])
        found.append(sequences.draw(seen, coded.lengths[rows], starts, lambda count: even(rng, count)).codes)
    codes = np.concatenate(found, axis=1)
    live = np.ones(codes.shape, np.bool_)
    for place, token in enumerate(coded.events.tokens):
        parent = coded.events.parents[place]
        if parent is not None:
            live[place] = live[parent] & (codes[parent] >= token.live_from)
    return codes, live
