"""A table as codes under differential privacy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.learning_facts import fewest
from tailrace_shared.synthesis import Account, Privacy
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.numbers import NARROW, WIDE
from tailrace_trainer.learning.private.budget import budget
from tailrace_trainer.learning.private.columns import learn_private, units
from tailrace_trainer.learning.private.release import Floats, Release
from tailrace_trainer.learning.table import WIDE_COLUMNS, CodedTable, ordered

BATCH_ROWS_MAX = 2_048
BATCHES = 16
"""A batch is at most so small a part of the rows."""
EPOCHS = 20


class Noise(NamedTuple):
    """How training adds noise."""

    sigma: float
    """Of a sum of gradients, in units of the norm that they are cut to."""
    rate: float
    """The probability of a row to be in a batch."""
    steps: int
    account: Account
    """The same and what the histograms have, as the model tells it."""


class PrivateTable(NamedTuple):
    """What the network learns from, the noisy share of every token's codes, and how it learns."""

    coded: CodedTable
    shares: tuple[Floats, ...]
    noise: Noise


def learn_private_table(
    rows: pa.Table,
    subjects: Sequence[Subject],
    privacy: Privacy,
    *,
    entity: pa.Array | None = None,
    first: Sequence[str] = (),
) -> PrivateTable:
    """Encode ``rows``, at most one per ``entity`` (at random), so that the guarantee is one of entities.

    Noise comes from the machine's entropy: two calls give two results. Raises TerminalError: ``trainer.few-rows``,
    ``trainer.column-rare``, ``trainer.no-opacus``.
    """
    assert privacy.epsilon is not None
    rng = np.random.default_rng()
    if entity is not None:
        ids = entity.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        order = rng.permutation(len(rows))
        rows = rows.take(pa.array(np.sort(order[np.unique(ids[order], return_index=True)[1]])))
    if len(rows) < fewest(privacy.k):
        raise TerminalError(
            "trainer.few-rows",
            f"{len(rows)} distinct entities are too few to learn from: the privacy settings ask for {privacy.k} behind every value",
            "Sample more rows, lower k, or give the table's columns other generators.",
        )
    size = min(BATCH_ROWS_MAX, max(32, len(rows) // BATCHES))
    rate = size / len(rows)
    steps = math.ceil(EPOCHS / rate)
    spent = float(sum(map(units, subjects)))
    # three times: a text looks for categories, then for shapes, then for numbers of words that many rows share
    allowed = budget(
        privacy.epsilon, privacy.delta, units=spent, columns=3 * len(subjects), rate=rate, steps=steps
    )  # fmt: skip
    release = Release(allowed.histogram, allowed.delta_found, privacy.k, len(rows), rng)
    resolution = WIDE if len(subjects) > WIDE_COLUMNS else NARROW
    learned = [
        learn_private(subject, rows.column(subject.name).combine_chunks(), privacy, resolution, release)
        for subject in subjects
    ]
    weights = [sum(_entropy(share) for share in column.shares) for column in learned]
    coded = ordered([column.learned for column in learned], first, weights)
    shares = tuple(learned[ref.column].shares[ref.token] for ref in coded.order)
    account = Account(
        sampling_rate=rate,
        steps=steps,
        noise=allowed.gradient,
        histogram_noise=allowed.histogram,
        histogram_units=spent,
    )
    return PrivateTable(coded, shares, Noise(allowed.gradient, rate, steps, account))


def _entropy(share: Floats) -> float:
    known = share[share > 0]
    return float(-(known * np.log(known)).sum())
