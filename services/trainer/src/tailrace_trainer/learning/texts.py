"""Texts as categories, as patterns, or as a number of words: what enough entities share decides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_trainer.learning.protection import Codes, Entities

CATEGORIES_MAX = 2_000
"""Above, the rarer values are drawn as if they had been rare: a wider last layer costs more than it tells."""
CATEGORY_SHARE = 0.5
"""Rows that kept values must cover for a text to be a category."""
PATTERN_SHARE = 0.5
PATTERNS_MAX = 500
PATTERN_CHARS_MAX = 200
CLASSES = ((r"\p{Lu}", "\x01", "A"), (r"\p{L}", "\x02", "a"), (r"\p{N}", "\x03", "0"))
"""Classes of letters, with the mark that stands for each until all are found: a class's own letter belongs to a class too."""


class Kept(NamedTuple):
    """Labels that enough entities share, most frequent first, and every row's place among them (−1: too rare)."""

    labels: tuple[str, ...]
    codes: Codes

    @property
    def share(self) -> float:
        """Of rows that have a kept label."""
        return float((self.codes >= 0).mean()) if len(self.codes) else 0.0


def keep(texts: pa.Array, entities: Entities, most: int) -> Kept:
    """The labels of a column without NULL."""
    encoded = pc.dictionary_encode(texts)
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    counts = entities.counts(codes, len(encoded.dictionary))
    rows = np.bincount(codes, minlength=len(encoded.dictionary))
    enough = np.flatnonzero(counts >= entities.k)
    labels = encoded.dictionary.take(pa.array(enough)).to_pylist()
    order = sorted(range(len(labels)), key=lambda place: (-int(rows[enough[place]]), labels[place]))[:most]
    places = np.full(len(encoded.dictionary), -1, np.int32)
    places[enough[order]] = np.arange(len(order), dtype=np.int32)
    return Kept(tuple(labels[place] for place in order), places[codes] if len(codes) else np.zeros(0, np.int32))


def patterns(texts: pa.Array) -> pa.Array:
    """The shape of every text: ``A`` for upper-case letters, ``a`` for others, ``0`` for digits, all else itself."""
    shaped = texts
    for pattern, mark, _ in CLASSES:
        shaped = pc.replace_substring_regex(shaped, pattern, mark)
    for _, mark, letter in CLASSES:
        shaped = pc.replace_substring(shaped, mark, letter)
    return pc.utf8_slice_codeunits(shaped, 0, PATTERN_CHARS_MAX)


def words(texts: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How many words every text has."""
    return pc.count_substring_regex(texts, r"\S+").to_numpy(zero_copy_only=False).astype(np.float64)  # type: ignore[no-any-return]
