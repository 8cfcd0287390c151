"""Fitting the network: AdamW, a running mean of the weights, and stopping where held-out rows stop to gain.

Early stopping is also what guards against memorising rows: the gap between the losses of learned and held-out rows is reported.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from tailrace_trainer.learning.net import Net, Weights

BATCH_ROWS = 512
BATCH_ROWS_LARGE = 1024
LARGE_ROWS = 100_000
RATE = 2e-3
WARM_UP_STEPS = 100
BETAS = (0.9, 0.99)
DECAY = 1e-3
MEAN_EVERY_STEPS = 4
MEAN_KEEP = 0.99
HELD_OUT_SHARE = 1 / 12
HELD_OUT_MIN, HELD_OUT_MAX = 50, 3_000
PATIENCE_EPOCHS = (3, 2)
"""Epochs without gain that are waited for, at the first rate and after each cut of it."""
CUT = 0.3
"""What the rate is multiplied with then; training goes on from the best weights."""
LEAST_GAIN = 1e-3
"""Nats per row that count as better."""
EPOCHS_MAX = 60
EVALUATE_ROWS = 1_000


class Epoch(NamedTuple):
    """Progress after an epoch."""

    epoch: int
    loss: float
    """Of the held-out rows."""
    remaining_s: float
    """Until training ends if nothing improves any more."""


class Fitted(NamedTuple):
    """The best weights and what is known of them."""

    weights: list[Weights]
    epochs: int
    loss: float
    held_out_loss: float
    rows: int
    held_out: int


def fit(
    net: Net,
    codes: npt.NDArray[np.int16],
    generator: torch.Generator,
    report: Callable[[Epoch], None],
    epochs_max: int = EPOCHS_MAX,
    groups: npt.NDArray[np.int64] | None = None,
) -> Fitted:
    """Fit to codes [rows, given and tokens]. Deterministic for a generator's seed on one machine with one thread.

    ``groups`` says which rows belong together (0..n): they are learned or held out together.
    """
    if groups is None:
        order = torch.randperm(len(codes), generator=generator)
    else:
        shuffled = torch.randperm(int(groups.max()) + 1, generator=generator)
        order = torch.argsort(shuffled[torch.from_numpy(groups)], stable=True)
    held = min(max(HELD_OUT_MIN, min(HELD_OUT_MAX, int(len(codes) * HELD_OUT_SHARE))), len(codes) // 2)
    if groups is not None:
        held += int((groups[order[held:].numpy()] == groups[order[held - 1]]).argmin())  # to the end of the last group
    rows = torch.from_numpy(codes)[order]  # 16 bits per code: widened batch by batch
    held_out, learned = rows[:held], rows[held:]
    size = BATCH_ROWS_LARGE if len(learned) > LARGE_ROWS else min(BATCH_ROWS, max(32, len(learned) // 8))
    weights = net.parameters()
    optimiser = torch.optim.AdamW(weights, lr=RATE, betas=BETAS, weight_decay=DECAY, fused=True)
    mean = [w.detach().clone() for w in weights]
    best, best_loss, best_epoch = [m.clone() for m in mean], math.inf, 0
    step = waited = cuts = 0
    begun = time.monotonic()
    for epoch in range(1, epochs_max + 1):
        shuffled = torch.randperm(len(learned), generator=generator)
        for start in range(0, len(learned), size):
            optimiser.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * CUT**cuts
            optimiser.zero_grad()
            net.loss(learned[shuffled[start : start + size]].long()).backward()
            optimiser.step()
            step += 1
            if step % MEAN_EVERY_STEPS == 0:
                keep = min(MEAN_KEEP, (1 + step) / (10 + step)) ** MEAN_EVERY_STEPS
                torch._foreach_lerp_(mean, [w.detach() for w in weights], 1 - keep)
        loss = evaluate(net, mean, held_out)
        if loss < best_loss - LEAST_GAIN:
            best, best_loss, best_epoch, waited = [m.clone() for m in mean], loss, epoch, 0
        else:
            waited += 1
        pace = (time.monotonic() - begun) / epoch
        report(Epoch(epoch, loss, pace * min(epochs_max - epoch, sum(PATIENCE_EPOCHS[cuts:]) - waited)))
        if waited >= PATIENCE_EPOCHS[cuts]:
            cuts, waited = cuts + 1, 0
            if cuts == len(PATIENCE_EPOCHS):
                break
            _put(weights, best)
    sample = learned[: max(held, 1)]
    return Fitted(best, best_epoch, evaluate(net, best, sample), best_loss, len(learned), held)


def evaluate(net: Net, values: Sequence[Weights], rows: Weights) -> float:
    """Nats per row of ``rows`` under other weights than the net's own, which stay."""
    weights = net.parameters()
    kept = [w.detach().clone() for w in weights]
    _put(weights, values)
    with torch.no_grad():
        parts = rows.split(EVALUATE_ROWS)
        total = sum(float(net.loss(part.long())) * len(part) for part in parts)
    _put(weights, kept)
    return total / max(1, len(rows))


def _put(weights: Sequence[Weights], values: Sequence[Weights]) -> None:
    with torch.no_grad():
        for w, value in zip(weights, values, strict=True):
            w.copy_(value)
