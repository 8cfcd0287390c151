"""What this machine's arithmetic makes of a reference model: replicas that differ would draw different rows."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from tailrace_generator.sampling.noise import Noise
from tailrace_shared.synthesis.draws import chances, pick
from tailrace_shared.synthesis.network import Floats
from tailrace_shared.synthesis.threads import one_thread

ROWS = 2_048
HIDDEN = 64
CODES = (2, 9, 48, 113)
LAYERS = 4


@lru_cache(maxsize=1)
def numeric_fingerprint() -> str:
    """Digest of draws from a network that is made of reproducible weights, in the shapes that samplers multiply.

    The raw sums are in it, not only the codes: two libraries that round differently may agree on thousands of codes and not on
    the next. Takes some milliseconds.
    """
    one_thread()
    noise = Noise("reference", 0, 0, ROWS, stratified=False)

    def weights(*shape: int) -> Floats:
        return (noise.generator.random(shape).astype(np.float32) - np.float32(0.5)) * np.float32(0.5)

    digest = hashlib.sha256()
    for codes in CODES:
        for context in range(7, 7 + 61 * LAYERS, 61):
            hidden = np.maximum(weights(HIDDEN, context) @ weights(context, ROWS), 0)
            hidden += np.maximum(weights(HIDDEN, HIDDEN) @ hidden, 0)
            chance = chances(weights(codes, HIDDEN) @ hidden)
            digest.update(chance.tobytes())
            digest.update(pick(chance, noise.uniforms()).tobytes())
    return digest.hexdigest()[:32]
