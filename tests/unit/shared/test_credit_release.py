"""The credit: what is on its way is bounded, and nothing starves."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_shared.dataplane.credit import Credit

SIZES = st.lists(st.integers(0, 300), max_size=40)


@given(st.integers(1, 500), st.integers(0, 600), SIZES)
def test_the_limit_is_exceeded_only_by_one_range_alone(limit: int, released: int, sizes: list[int]) -> None:
    chosen = Credit(limit).choose(released, list(enumerate(sizes)))
    assert chosen == list(range(len(chosen)))  # in order, none passed over
    total = released + sum(max(1, sizes[n]) for n in chosen)
    if chosen and total > limit:
        assert released == 0
        assert len(chosen) == 1


@given(st.integers(1, 500), SIZES.filter(bool))
def test_something_is_released_whenever_nothing_is_under_way(limit: int, sizes: list[int]) -> None:
    assert Credit(limit).choose(0, list(enumerate(sizes)))


@pytest.mark.parametrize("seed", range(200))
def test_every_range_is_released_and_the_bound_holds_in_every_interleaving(seed: int) -> None:
    """Ranges are released by estimate, read with another size, and enter the ledger in any order."""
    chance = random.Random(seed)
    limit = chance.randint(1, 400)
    waiting = [(n, chance.randint(0, 200)) for n in range(chance.randint(1, 60))]
    estimate = dict(waiting)
    actual = {n: chance.randint(0, max(1, size)) for n, size in waiting}  # an estimate is an upper bound here
    under_way: dict[int, int] = {}
    loaded: set[int] = set()
    credit = Credit(limit)
    while waiting or under_way:
        before = sum(under_way.values())
        chosen = credit.choose(before, waiting)
        del waiting[: len(chosen)]
        under_way |= {n: max(1, estimate[n]) for n in chosen}
        total = sum(under_way.values())
        assert total <= limit or (before == 0 and len(chosen) == 1) or not chosen
        for n in list(under_way):
            event = chance.random()
            if event < 0.3:
                under_way[n] = actual[n]
            elif event < 0.6:
                loaded.add(n)
                del under_way[n]
    assert loaded == set(estimate)


def test_a_large_range_is_not_overtaken_by_small_ones() -> None:
    assert Credit(100).choose(50, [("large", 80), ("small", 1)]) == []
    assert Credit(100).choose(0, [("larger than all", 500), ("small", 1)]) == ["larger than all"]


def test_a_credit_needs_bytes() -> None:
    with pytest.raises(ValueError, match="positive"):
        Credit(0)
