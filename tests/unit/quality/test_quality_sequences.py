"""Statistics of sequences on ones whose lengths, gaps and order are known."""

from __future__ import annotations

import numpy as np
import pytest

from tailrace.quality.columns import names, numbers
from tailrace.quality.sequences import Events, events_of, sequence_distances


def events(parents: int, length: int, gap: float, *, shuffled: bool = False) -> Events:
    """Every parent has so many rows, so far apart, whose kinds alternate; ``shuffled``: they follow nothing."""
    owner = np.repeat(np.arange(parents), length)
    order = np.tile(np.arange(length) * gap, parents) + owner * 1000.0
    kind = np.tile(np.arange(length) % 2, parents)
    level = np.tile(np.arange(length, dtype=float), parents)
    if shuffled:
        rng = np.random.default_rng(1)
        kind, level = rng.permutation(kind), rng.permutation(level)
    return Events(parents, owner, order, {"kind": names(kind), "level": numbers(level)})


def found(real: Events, made: Events) -> dict[str, tuple[float | None, float | None, float]]:
    return {one.name: (one.before, one.after, one.error) for one in sequence_distances(real, made)}


def test_equal_sequences_do_not_differ_in_any_order_of_their_rows() -> None:
    real = events(50, 6, 2.0)
    mixed = np.random.default_rng(2).permutation(len(real.owner))
    assert real.order is not None
    made = Events(50, real.owner[mixed], real.order[mixed], {n: c.take(mixed) for n, c in real.rows.items()})
    assert {error for _, _, error in found(real, made).values()} == {0.0}


def test_lengths_gaps_and_spans_are_those_of_the_definition() -> None:
    told = found(events(50, 4, 2.0), events(50, 6, 3.0))
    assert told["rows per parent"] == (4, 6, 1)
    assert told["gap"] == (2, 3, 1)
    assert told["time from first to last"] == (6, 15, 1)


def test_what_follows_what_tells_an_order_from_none() -> None:
    told = found(events(200, 6, 1.0), events(200, 6, 1.0, shuffled=True))
    assert told["gap"][2] == told["rows per parent"][2] == 0
    assert told["kind: the same as in the row before"] == pytest.approx((0, 0.5, 0.5), abs=0.05)
    assert told["kind: what follows what"][2] == pytest.approx(0.5, abs=0.05)
    assert told["level: correlation with the row before"][:2] == pytest.approx((1, 0), abs=0.1)


def test_parents_without_a_row_count() -> None:
    real = Events(10, np.repeat(np.arange(5), 2), None, {})
    told = found(real, Events(10, np.arange(10), None, {}))
    assert told["parents without a row"] == (0.5, 0, 0.5)
    assert set(told) == {"rows per parent", "parents without a row"}, "without an order nothing is said of it"
    assert sequence_distances(real, Events(0, np.zeros(0, np.int64), None, {})) == ()


def test_rows_of_parents_that_are_not_there_are_left_out() -> None:
    made = events_of(names(["a", "b", "c"]), names(["a", "a", "z", None, "c"]), numbers([1, 2, 3, 4, 5]), {})
    assert made.lengths.tolist() == [2, 0, 1]
    assert made.order is not None
    assert made.order.tolist() == [1, 2, 5]


def test_moments_that_are_missing_have_no_place_in_the_order() -> None:
    real = events(60, 3, 1.0)
    assert real.order is not None
    missing = Events(60, real.owner, np.where(np.arange(180) % 3 == 1, np.nan, real.order), real.rows)
    assert found(real, missing)["gap"][:2] == (1, 2)
