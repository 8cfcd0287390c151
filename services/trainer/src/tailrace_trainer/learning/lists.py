"""Arrays as lists of names, in the text form in which PostgreSQL writes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tailrace_trainer.learning.protection import Codes, Entities

LENGTH_MAX = 16
"""Elements that are learned, each a token of its own; longer arrays are cut."""
ELEMENTS_MAX = 500
ELEMENT_SHARE = 0.5
"""Elements that kept names must cover for arrays to be lists."""


class Lists(NamedTuple):
    """Labels that enough entities have, most frequent first; per row its length and the place of each element (−1: too rare)."""

    labels: tuple[str, ...]
    lengths: Codes
    elements: npt.NDArray[np.int32]
    """[length_max, rows]; −2 beyond the length."""
    share: float
    """Of elements that have a kept label."""


def elements_of(literal: str) -> list[str] | None:
    """The elements of an array literal as it writes them, quotes and all; None for one of several dimensions, or none at all."""
    if not (literal.startswith("{") and literal.endswith("}")):
        return None
    found, start, quoted, place = [], 1, False, 1
    while place < len(literal) - 1:
        letter = literal[place]
        if letter == "\\":
            place += 1
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter in "{}":
            return None
        elif not quoted and letter == ",":
            found.append(literal[start:place])
            start = place + 1
        place += 1
    last = literal[start:-1]
    return [*found, last] if found or last else []


def learn_lists(texts: pa.Array, entities: Entities) -> Lists | None:
    """Learn arrays without NULL; None where one of them is no list."""
    encoded = pc.dictionary_encode(texts)
    split = [elements_of(literal) for literal in encoded.dictionary.to_pylist()]
    if any(elements is None for elements in split):
        return None
    distinct = [elements[:LENGTH_MAX] for elements in split if elements is not None]
    rows = encoded.indices.to_numpy(zero_copy_only=False)
    names: dict[str, int] = {}
    coded = np.full((LENGTH_MAX, len(distinct)), -2, np.int32)
    for at, elements in enumerate(distinct):
        for place, element in enumerate(elements):
            coded[place, at] = names.setdefault(element, len(names))
    every = coded[:, rows]
    held = np.zeros(len(names), np.int64)
    here = np.tile(np.arange(len(rows)), LENGTH_MAX) if entities.ids is None else np.tile(entities.ids, LENGTH_MAX)
    held = Entities(here.astype(np.int64), entities.k).counts(every.ravel(), len(names))
    often = np.bincount(every[every >= 0], minlength=len(names))
    words = list(names)
    order = sorted(np.flatnonzero(held >= entities.k).tolist(), key=lambda n: (-int(often[n]), words[n]))[:ELEMENTS_MAX]
    place_of = np.full(len(names) + 2, -1, np.int32)
    place_of[order], place_of[-2] = np.arange(len(order)), -2
    lengths = (every != -2).sum(axis=0).astype(np.int32)
    counts = entities.counts(lengths, LENGTH_MAX + 1)
    common = np.flatnonzero(counts >= entities.k)
    if not len(common) or not len(names):
        return None
    lengths = common[np.maximum(np.searchsorted(common, lengths, side="right") - 1, 0)].astype(
        np.int32
    )  # cut, or filled up
    found = place_of[every]
    found[np.arange(LENGTH_MAX)[:, None] >= lengths] = -2
    found[(found == -2) & (np.arange(LENGTH_MAX)[:, None] < lengths)] = -1
    share = float(often[order].sum() / max(1, often.sum()))
    return Lists(tuple(words[n] for n in order), lengths, found[: int(lengths.max(initial=0))], share)
