"""Calibration: output biases such that what is drawn has the marginals of the rows that were learned.

Rows are drawn token by token from the model itself; at every token the bias moves until the mean probability of each code, over the
rows where the token is live, equals its share among the learned rows. Errors of early tokens are thereby repaired before later
ones are drawn. Works on the weights as they travel (half precision), with the network that samplers use.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tailrace_shared.synthesis import Artefact, Network, Token
from tailrace_shared.synthesis.draws import chances, even, pick
from tailrace_shared.synthesis.tensors import Tensor

BLOCKS, BLOCKS_MIN = 12, 3
CONTEXT_BYTES_MAX = 200 * 1024 * 1024
"""Of the embeddings of all blocks; a table of hundreds of columns draws fewer blocks for it."""
BLOCK_ROWS = 2_048
PASSES = 2
STEPS = 10
STEP_MAX = 1.0
"""Nats that a bias moves at once."""
SHARE_MIN = 1e-6

Shares = npt.NDArray[np.float64]


def calibrate(
    artefact: Artefact,
    codes: npt.NDArray[np.int16],
    parents: Sequence[int | None],
    rng: np.random.Generator,
    *,
    blocks: int = BLOCKS,
    shares: Sequence[Shares] | None = None,
) -> Artefact:
    """The same model with calibrated biases. ``codes`` are those learned from, [rows, given and tokens], −1 where not live; with
    ``shares`` of every token's codes, those are aimed at, and the codes stay unread.
    """
    before = len(artefact.header.given)
    tokens = [artefact.header.token(ref) for ref in artefact.header.order]
    if not tokens:  # every column has one value, or none
        return artefact
    if shares is None:
        shares = [_counts(codes[:, before + place], token.codes) for place, token in enumerate(tokens)]
    aims = [_share(share, token) for share, token in zip(shares, tokens, strict=True)]
    blocks = max(
        min(blocks, BLOCKS_MIN),
        min(blocks, CONTEXT_BYTES_MAX // (sum(artefact.header.network.widths) * BLOCK_ROWS * 4)),
    )
    for _ in range(PASSES):
        artefact = Artefact(artefact.header, {**artefact.tensors, **_pass(artefact, codes, aims, parents, rng, blocks)})
    return artefact


def _pass(
    artefact: Artefact,
    codes: npt.NDArray[np.int16],
    aims: Sequence[npt.NDArray[np.float32]],
    parents: Sequence[int | None],
    rng: np.random.Generator,
    count: int,
) -> dict[str, Tensor]:
    network, found, rows = Network(artefact, BLOCK_ROWS), {}, count * BLOCK_ROWS
    blocks, before = [network.context() for _ in range(count)], len(artefact.header.given)
    if before:
        for block in blocks:
            network.give([*codes[rng.integers(0, len(codes), BLOCK_ROWS), :before].T.astype(np.int32)], block)
    drawn = np.zeros((len(network.tokens), rows), np.int32)
    live = np.ones((len(network.tokens), rows), np.bool_)
    for place, token in enumerate(network.tokens):
        parent = parents[place]
        if parent is not None:
            live[place] = live[parent] & (drawn[parent] >= token.live_from)
        weights = np.concatenate(
            [chances(network.logits(place, block).copy(), token.barred) for block in blocks], axis=1
        )
        factors = _factors(weights[:, live[place]], aims[place])
        picked = pick(weights * factors[:, None], even(rng, rows))
        drawn[place] = np.where(live[place], picked, 0)
        for index, block in enumerate(blocks):
            network.enter(place, drawn[place, index * BLOCK_ROWS : (index + 1) * BLOCK_ROWS], block)
        name = f"n{place}.out_bias"
        found[name] = artefact.tensors[name] + np.log(factors)
    return found


def _counts(codes: npt.NDArray[np.int16], size: int) -> Shares:
    return np.bincount(codes[codes >= 0], minlength=size).astype(np.float64)


def _share(counts: Shares, token: Token) -> npt.NDArray[np.float32]:
    counts = counts.copy()
    if token.barred is not None:
        counts[token.barred] = 0
    total = counts.sum() or 1.0
    share: npt.NDArray[np.float32] = np.maximum(counts / total, SHARE_MIN).astype(np.float32)
    return share


def _factors(weights: npt.NDArray[np.float32], share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What every code's weight is multiplied with so that mean probabilities become ``share``."""
    factors = np.ones(len(share), np.float32)
    if weights.shape[1] == 0:
        return factors
    for _ in range(STEPS):
        mean = factors * (weights @ (1.0 / (factors @ weights))) / weights.shape[1]
        factors *= np.exp(np.clip(np.log(share / np.maximum(mean, 1e-9)), -STEP_MAX, STEP_MAX)).astype(np.float32)
    return factors
