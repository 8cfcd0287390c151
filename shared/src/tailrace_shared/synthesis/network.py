"""The network in numpy: what a token's logits are, given the codes before it.

Feature-major: a *column* is a row of the table, so that reductions over codes run along contiguous memory. Weights travel in
half precision and are computed with in single.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace_shared.synthesis.artefact import Artefact

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]


class Layer(NamedTuple):
    """One token's weights, transposed for multiplication from the left."""

    embedding: Floats
    """[width, codes]"""
    enter: Floats
    """[hidden, context]"""
    enter_bias: Floats
    mid: Floats
    mid_bias: Floats
    out: Floats
    """[codes, hidden]"""
    out_bias: Floats


class Network:
    """Logits token by token; ``context`` is the running stack of embeddings, [sum of widths, rows]."""

    def __init__(self, artefact: Artefact) -> None:
        header = artefact.header
        self.tokens = tuple(header.token(ref) for ref in header.order)
        self.offsets = np.concatenate([[0], np.cumsum(header.network.widths, dtype=np.int64)])
        self._layers = [_layer(artefact, place) for place in range(len(self.tokens))]
        self._rows = [
            None if header.network.contexts is None else self._seen(header.context(place))
            for place in range(len(self.tokens))
        ]

    def _seen(self, context: tuple[int, ...]) -> npt.NDArray[np.int64]:
        parts = [np.arange(self.offsets[seen], self.offsets[seen + 1]) for seen in context]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def context(self, rows: int) -> Floats:
        """Room for the embeddings of so many rows."""
        return np.empty((int(self.offsets[-1]), rows), np.float32)

    def enter(self, place: int, codes: Codes, context: Floats) -> None:
        """Write the embeddings of a token's codes."""
        into = context[self.offsets[place] : self.offsets[place + 1]]
        np.take(self._layers[place].embedding, codes, axis=1, out=into, mode="clip")

    def logits(self, place: int, context: Floats) -> Floats:
        """[codes, rows] of the token at ``place``, from the embeddings of the tokens before it."""
        layer, rows = self._layers[place], self._rows[place]
        seen = context[: self.offsets[place]] if rows is None else context[rows]
        first = layer.enter @ seen
        first += layer.enter_bias
        np.maximum(first, 0, out=first)
        second = layer.mid @ first
        second += layer.mid_bias
        np.maximum(second, 0, out=second)
        second += first
        found = layer.out @ second
        found += layer.out_bias
        return found

    def likelihoods(self, codes: Codes) -> npt.NDArray[np.float64]:
        """Log-likelihood in nats of encoded rows, [tokens, rows] to [rows]; negative codes (not live) count nothing."""
        total = np.zeros(codes.shape[1])
        context = self.context(codes.shape[1])
        for place, drawn in enumerate(codes):
            scores = self.logits(place, context)
            scores -= scores.max(axis=0)
            known = np.maximum(drawn, 0)
            log = scores[known, np.arange(len(known))] - np.log(np.exp(scores).sum(axis=0))
            total += np.where(drawn >= 0, log, 0.0)
            self.enter(place, known, context)
        return total


def _layer(artefact: Artefact, place: int) -> Layer:
    def weight(name: str) -> Floats:
        return np.ascontiguousarray(artefact.tensors[f"n{place}.{name}"].astype(np.float32).T)

    def bias(name: str) -> Floats:
        return artefact.tensors[f"n{place}.{name}"].astype(np.float32)[:, None]

    return Layer(
        weight("embedding"), weight("in"), bias("in_bias"), weight("mid"), bias("mid_bias"), weight("out"), bias("out_bias"),
    )  # fmt: skip
