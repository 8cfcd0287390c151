"""The network in numpy: what a token's logits are, given the codes before it.

Feature-major: a *column* is a row of the table, so that reductions over codes run along contiguous memory. Weights travel in
half precision and are computed with in single.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tailrace_shared.synthesis.artefact import Artefact
from tailrace_shared.synthesis.threads import one_thread

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]


class Layer(NamedTuple):
    """One token's weights, transposed for multiplication from the left, each with its bias as a first column."""

    embedding: Floats
    """[width, codes]"""
    enter: Floats
    """[hidden, 1 + context]"""
    mid: Floats
    """[hidden, 1 + hidden]"""
    out: Floats
    """[codes, 1 + hidden]"""


class Network:
    """Logits token by token, for batches of up to ``rows``. Works in buffers of its own: not safe for threads.

    Every input has a first row of ones, by which multiplication adds the bias: passes over memory cost as much as products here.
    """

    def __init__(self, artefact: Artefact, rows: int) -> None:
        one_thread()
        header = artefact.header
        self.tokens = tuple(header.token(ref) for ref in header.order)
        self.rows = rows
        self._offsets = 1 + np.concatenate([[0], np.cumsum(header.network.widths, dtype=np.int64)])
        self._given = [_embedding(artefact, f"g{place}") for place in range(len(header.given))]
        self._layers = [_layer(artefact, place) for place in range(len(self.tokens))]
        self._seen = [
            None if header.network.contexts is None else self._places(header.context(place))
            for place in range(len(self.tokens))
        ]
        self._first, self._second = (np.ones((1 + header.network.hidden, rows), np.float32) for _ in range(2))
        self._logits = np.empty((max((token.codes for token in self.tokens), default=0), rows), np.float32)

    def _places(self, context: tuple[int, ...]) -> npt.NDArray[np.int64]:
        parts = [np.arange(self._offsets[seen], self._offsets[seen + 1]) for seen in context]
        return np.concatenate([np.zeros(1, np.int64), *parts])

    def context(self, rows: int | None = None) -> Floats:
        """Room for the embeddings of a batch's tokens."""
        return np.ones((int(self._offsets[-1]), self.rows if rows is None else rows), np.float32)

    def give(self, given: Sequence[Codes], context: Floats) -> None:
        """Write the embeddings of what is given."""
        for place, codes in enumerate(given):
            into = context[self._offsets[place] : self._offsets[place + 1]]
            np.take(self._given[place], codes, axis=1, out=into, mode="clip")

    def enter(self, place: int, codes: Codes, context: Floats) -> None:
        """Write the embeddings of a token's codes."""
        at = len(self._given) + place
        into = context[self._offsets[at] : self._offsets[at + 1]]
        np.take(self._layers[place].embedding, codes, axis=1, out=into, mode="clip")

    def logits(self, place: int, context: Floats) -> Floats:
        """[codes, rows] of the token at ``place``, from the embeddings of tokens before it; valid until the next call."""
        layer, seen, rows = self._layers[place], self._seen[place], context.shape[1]
        end = self._offsets[len(self._given) + place]
        first, second = self._first[:, :rows], self._second[:, :rows]
        np.matmul(layer.enter, context[:end] if seen is None else context[seen], out=first[1:])
        np.maximum(first[1:], 0, out=first[1:])
        np.matmul(layer.mid, first, out=second[1:])
        np.maximum(second[1:], 0, out=second[1:])
        second[1:] += first[1:]
        return np.matmul(layer.out, second, out=self._logits[: len(layer.out), :rows])

    def likelihoods(self, codes: Codes, given: Sequence[Codes] = ()) -> npt.NDArray[np.float64]:
        """Log-likelihood in nats of encoded rows, [tokens, rows] to [rows]; negative codes (not live) count nothing."""
        total = np.zeros(codes.shape[1])
        context = self.context(codes.shape[1])
        self.give(given, context)
        for place, drawn in enumerate(codes):
            scores = self.logits(place, context)
            scores -= scores.max(axis=0)
            known = np.maximum(drawn, 0)
            log = scores[known, np.arange(len(known))] - np.log(np.exp(scores).sum(axis=0))
            total += np.where(drawn >= 0, log, 0.0)
            self.enter(place, known, context)
        return total


def _layer(artefact: Artefact, place: int) -> Layer:
    def tensor(name: str) -> Floats:
        return artefact.tensors[f"n{place}.{name}"].astype(np.float32)

    def biased(name: str) -> Floats:
        return np.ascontiguousarray(np.concatenate([tensor(f"{name}_bias")[None], tensor(name)]).T)

    return Layer(_embedding(artefact, f"n{place}"), biased("in"), biased("mid"), biased("out"))


def _embedding(artefact: Artefact, name: str) -> Floats:
    return np.ascontiguousarray(artefact.tensors[f"{name}.embedding"].astype(np.float32).T)
