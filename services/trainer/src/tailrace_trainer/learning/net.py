"""The network that learns: one masked layer from all embeddings to every token's hidden units, one residual layer, logits.

The architecture is that of ``tailrace_shared.synthesis.network``; here it is computed for all tokens at once. In numeric tokens
neighbouring codes start alike: embeddings and last layers are cosines of the code's rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from tailrace_shared.synthesis import Shape
from tailrace_shared.synthesis.tensors import Tensor
from tailrace_trainer.learning.protection import Floats

Weights = Any
"""A ``torch.Tensor``; torch is typed as Any, so that checks are the same where it is not installed."""

ORDERED_MIN = 9
"""Codes from which on a numeric token starts from cosines."""
EMBEDDING_SCALE = 1.2
OUT_SCALE = 0.03
FREQUENCIES_MAX = 24


class Pass(NamedTuple):
    """What the network computes on its way to the loss; what may be asked for a gradient."""

    loss: Weights
    known: Weights
    context: Weights
    stacked: Weights
    entered: Weights
    first: Weights
    middle: Weights
    second: Weights
    logits: list[Weights]


class Net:
    """Parameters and loss. All tensors are float32 on the processor."""

    def __init__(
        self,
        shape: Shape,
        sizes: Sequence[int],
        marginals: Sequence[Floats],
        ranks: Sequence[Floats | None],
        generator: torch.Generator,
        given: Sequence[int] = (),
    ) -> None:
        """``ranks`` are those of what is given and of the tokens, ``marginals`` and ``sizes`` of the tokens alone."""
        self.shape, self.sizes, self.given = shape, tuple(sizes), tuple(given)
        self.offsets = [0, *np.cumsum(shape.widths).tolist()]
        tokens, hidden, before = len(self.sizes), shape.hidden, len(self.given)
        seen = [
            tuple(range(before + place)) if shape.contexts is None else shape.contexts[place] for place in range(tokens)
        ]
        self._gather = None if shape.contexts is None else _gather(seen, self.offsets)
        inputs = self.offsets[-1] if self._gather is None else self._gather.shape[1]

        def normal(*size: int) -> Weights:
            return torch.randn(*size, generator=generator)

        self.embeddings = [
            normal(size, width) for size, width in zip((*self.given, *self.sizes), shape.widths, strict=True)
        ]
        if self._gather is None:
            self.enter = normal(inputs, tokens * hidden) / math.sqrt(inputs / 2 + 1)
            self._mask = _mask(self.offsets, before, tokens, hidden)
            self.enter *= self._mask
        else:
            self.enter = normal(tokens, inputs, hidden) / math.sqrt(inputs + 1)
        self.enter_bias = torch.zeros(tokens, 1, hidden)
        self.mid = normal(tokens, hidden, hidden) / math.sqrt(hidden) * 0.5
        self.mid_bias = torch.zeros(tokens, 1, hidden)
        self.outs = [normal(size, hidden) * 0.02 for size in self.sizes]
        self.out_biases = [torch.log(torch.from_numpy(m).float()) for m in marginals]
        for place, rank in enumerate(ranks):
            if rank is not None and len(rank) >= ORDERED_MIN:
                self._start_ordered(place, torch.from_numpy(rank).float(), normal)
        for weights in self.parameters():
            weights.requires_grad_(True)

    def _start_ordered(self, place: int, rank: Weights, normal: Callable[..., Weights]) -> None:
        known = ~rank.isnan()
        embedding = self.embeddings[place]
        half = embedding.shape[1] // 2
        waves = math.pi * rank[known, None] * torch.arange(1, half + 1)
        embedding[known, : 2 * half] = EMBEDDING_SCALE * torch.cat([waves.cos(), waves.sin()], dim=1)
        if place < len(self.given):
            return
        out = self.outs[place - len(self.given)]
        frequencies = torch.arange(min(self.shape.hidden, FREQUENCIES_MAX))
        basis = torch.cos(math.pi * rank[known, None] * frequencies)
        mixing = normal(len(frequencies), self.shape.hidden)
        out[known] = basis @ (mixing * OUT_SCALE / torch.sqrt(1.0 + frequencies)[:, None])

    def parameters(self) -> list[Weights]:
        """All weights, in a fixed order."""
        return [
            *self.embeddings, self.enter, self.enter_bias, self.mid, self.mid_bias, *self.outs, *self.out_biases,
        ]  # fmt: skip

    def loss(self, codes: Weights) -> Weights:
        """Nats per row of codes [rows, given and tokens] (−1: not live), as the sum over tokens."""
        return self.forward(codes).loss / len(codes)

    def forward(self, codes: Weights) -> Pass:
        """All that is computed of codes [rows, given and tokens], and the sum of all rows' nats."""
        rows, tokens, hidden = len(codes), len(self.sizes), self.shape.hidden
        known = codes.clamp(min=0)
        context = torch.cat([functional.embedding(known[:, j], e) for j, e in enumerate(self.embeddings)], dim=1)
        stacked = None
        if self._gather is None:
            flat = torch.addmm(self.enter_bias.view(-1), context, self.enter * self._mask)
            entered = flat.view(rows, tokens, hidden).transpose(0, 1)
        else:
            # a row per feature: gathering and its gradient then move whole rows of memory; the last, 0, fills shorter contexts
            padded = functional.pad(context.t(), (0, 0, 0, 1))
            stacked = padded.index_select(0, self._gather.reshape(-1)).view(tokens, -1, rows).transpose(1, 2)
            entered = torch.baddbmm(self.enter_bias, stacked, self.enter)
        first = functional.relu(entered)
        middle = torch.baddbmm(self.mid_bias, first, self.mid)
        second = first + functional.relu(middle)
        truths = codes.unbind(1)[len(self.given) :]
        total, logits = torch.zeros(()), []
        # unbound, not indexed: the gradient of an index is as large as all tokens' units together
        for units, out, bias, truth in zip(second.unbind(0), self.outs, self.out_biases, truths, strict=True):
            logits.append(functional.linear(units, out, bias))
            total = total + functional.cross_entropy(logits[-1], truth, ignore_index=-1, reduction="sum")
        return Pass(total, known, context, stacked, entered, first, middle, second, logits)

    def gradients(self, done: Pass, norm_max: float) -> list[Weights]:
        """The sum of the rows' gradients, each cut to ``norm_max``, as ``parameters`` orders them.

        Every row passes each weight once, so that the norm of its gradient is that of what goes in times that of what comes back
        (Goodfellow, arXiv 1510.01799): no row's gradient is ever held.
        """
        back = torch.autograd.grad(done.loss, [done.context, done.entered, done.middle, *done.logits])
        to_context, to_entered, to_middle, *to_logits = back
        with torch.no_grad():
            inputs = self._squares(done)
            squares = to_context.square().sum(1)
            squares += ((inputs + 1) * to_entered.square().sum(2)).sum(0)
            squares += ((done.first.square().sum(2) + 1) * to_middle.square().sum(2)).sum(0)
            for units, grown in zip(done.second.unbind(0), to_logits, strict=True):
                squares += (units.square().sum(1) + 1) * grown.square().sum(1)
            keep = (norm_max / squares.sqrt().clamp(min=1e-12)).clamp(max=1)[:, None]
            to_entered, to_middle = to_entered * keep, to_middle * keep
            found = []
            for place, part in enumerate((to_context * keep).split(self.shape.widths, dim=1)):
                into = torch.zeros_like(self.embeddings[place])
                found.append(into.index_add_(0, done.known[:, place], part))
            if done.stacked is None:
                flat = to_entered.transpose(0, 1).reshape(len(keep), -1)
                found.append((done.context.t() @ flat) * self._mask)
            else:
                found.append(done.stacked.transpose(1, 2) @ to_entered)
            found += [
                to_entered.sum(1, keepdim=True),
                done.first.transpose(1, 2) @ to_middle,
                to_middle.sum(1, keepdim=True),
            ]
            grown_all = [grown * keep for grown in to_logits]
            found += [grown.t() @ units for units, grown in zip(done.second.unbind(0), grown_all, strict=True)]
            return [*found, *(grown.sum(0) for grown in grown_all)]

    def _squares(self, done: Pass) -> Weights:
        """Of what each token sees of each row, the squared norm [tokens, rows]."""
        if done.stacked is not None:
            return done.stacked.square().sum(2)
        sums = functional.pad(done.context.square().cumsum(1), (1, 0))
        ends = torch.tensor(self.offsets[len(self.given) : -1])
        return sums[:, ends].t()

    def tensors(self, values: Sequence[Weights]) -> dict[str, Tensor]:
        """The weights ``values`` (as ``parameters`` orders them) with the names that they have in a model."""
        tokens, hidden, before = len(self.sizes), self.shape.hidden, len(self.given)
        embeddings, (enter, enter_bias, mid, mid_bias), rest = (
            values[: before + tokens],
            values[before + tokens : before + tokens + 4],
            values[before + tokens + 4 :],
        )
        found: dict[str, Weights] = {f"g{place}.embedding": embeddings[place] for place in range(before)}
        for place in range(tokens):
            width = (
                self.offsets[before + place]
                if self._gather is None
                else int((self._gather[place] < self.offsets[-1]).sum())
            )
            entered = (
                enter[:width, place * hidden : (place + 1) * hidden] if self._gather is None else enter[place, :width]
            )
            found |= {
                f"n{place}.embedding": embeddings[before + place],
                f"n{place}.in": entered, f"n{place}.in_bias": enter_bias[place, 0],
                f"n{place}.mid": mid[place], f"n{place}.mid_bias": mid_bias[place, 0],
                f"n{place}.out": rest[place].t(), f"n{place}.out_bias": rest[tokens + place],
            }  # fmt: skip
        half = {"embedding", "in", "mid", "out"}
        return {
            name: weights.detach().numpy().astype(np.float16 if name.split(".")[1] in half else np.float32)
            for name, weights in found.items()
        }


def _mask(offsets: Sequence[int], before: int, tokens: int, hidden: int) -> Weights:
    mask = torch.zeros(offsets[-1], tokens * hidden)
    for place in range(tokens):
        mask[: offsets[before + place], place * hidden : (place + 1) * hidden] = 1
    return mask


def _gather(seen: Sequence[Sequence[int]], offsets: Sequence[int]) -> Weights:
    """Per token the places of its context's embeddings, filled up with the place after the last."""
    rows = [[at for token in tokens for at in range(offsets[token], offsets[token + 1])] for tokens in seen]
    widest = max(1, *(len(row) for row in rows))
    return torch.tensor([[*row, *[offsets[-1]] * (widest - len(row))] for row in rows])
