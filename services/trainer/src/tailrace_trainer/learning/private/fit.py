"""Fitting under differential privacy: Poisson batches, every row's gradient cut to one norm, noise on their sum.

Abadi et al., *Deep Learning with Differential Privacy* (arXiv 1607.00133). Rows are not held out, no epoch is chosen by what the
rows say, and no loss is told: each would cost a part of the guarantee.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from tailrace_trainer.learning.fit import BETAS, WARM_UP_STEPS, Epoch, Fitted
from tailrace_trainer.learning.net import Net
from tailrace_trainer.learning.private.table import Noise

RATE = 2e-3
NORM_MAX = 1.0
MEAN_KEEP = 0.995
FINAL_SHARE = 0.05
"""Of the rate, what is left at the end; it falls as a cosine."""


def fit_private(net: Net, codes: npt.NDArray[np.int16], noise: Noise, report: Callable[[Epoch], None]) -> Fitted:
    """Fit to codes [rows, tokens]. Noise and batches come from the machine's entropy."""
    generator = torch.Generator().manual_seed(secrets.randbits(63))
    rows, weights = torch.from_numpy(codes), net.parameters()
    optimiser = torch.optim.AdamW(weights, lr=RATE, betas=BETAS, weight_decay=0.0, fused=True)
    mean = [w.detach().clone() for w in weights]
    size = noise.rate * len(codes)
    per_epoch = math.ceil(1 / noise.rate)
    begun = time.monotonic()
    for step in range(1, noise.steps + 1):
        falling = FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * step / noise.steps)) / 2
        optimiser.param_groups[0]["lr"] = RATE * min(1.0, step / WARM_UP_STEPS) * falling
        batch = rows[torch.rand(len(rows), generator=generator) < noise.rate].long()
        gradients = [torch.zeros_like(w) for w in weights]
        if len(batch):
            gradients = net.gradients(net.forward(batch), NORM_MAX)
        for w, gradient in zip(weights, gradients, strict=True):
            random = torch.randn(w.shape, generator=generator)
            w.grad = (gradient + random * (noise.sigma * NORM_MAX)) / size
        optimiser.step()
        keep = min(MEAN_KEEP, (1 + step) / (10 + step))
        torch._foreach_lerp_(mean, [w.detach() for w in weights], 1 - keep)
        if step % per_epoch == 0:
            pace = (time.monotonic() - begun) / step
            report(Epoch(step // per_epoch, 0.0, pace * (noise.steps - step)))
    return Fitted(mean, math.ceil(noise.steps / per_epoch), 0.0, 0.0, len(codes), 0)
