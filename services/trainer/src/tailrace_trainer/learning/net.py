"""The network that learns: one masked layer from all embeddings to every token's hidden units, one residual layer, logits.

The architecture is that of ``tailrace_shared.synthesis.network``; here it is computed for all tokens at once. In numeric tokens
neighbouring codes start alike: embeddings and last layers are cosines of the code's rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

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
        rows, tokens, hidden = len(codes), len(self.sizes), self.shape.hidden
        known = codes.clamp(min=0)
        context = torch.cat([functional.embedding(known[:, j], e) for j, e in enumerate(self.embeddings)], dim=1)
        if self._gather is None:
            flat = torch.addmm(self.enter_bias.view(-1), context, self.enter * self._mask)
            first = functional.relu(flat).view(rows, tokens, hidden).transpose(0, 1)
        else:
            # a row per feature: gathering and its gradient then move whole rows of memory; the last, 0, fills shorter contexts
            padded = functional.pad(context.t(), (0, 0, 0, 1))
            stacked = padded.index_select(0, self._gather.reshape(-1)).view(tokens, -1, rows)
            first = functional.relu(torch.baddbmm(self.enter_bias, stacked.transpose(1, 2), self.enter))
        second = first + functional.relu(torch.baddbmm(self.mid_bias, first, self.mid))
        truths = codes.unbind(1)[len(self.given) :]
        total = torch.zeros(())
        # unbound, not indexed: the gradient of an index is as large as all tokens' units together
        for units, out, bias, truth in zip(second.unbind(0), self.outs, self.out_biases, truths, strict=True):
            logits = functional.linear(units, out, bias)
            total = total + functional.cross_entropy(logits, truth, ignore_index=-1, reduction="sum")
        return total / rows

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
