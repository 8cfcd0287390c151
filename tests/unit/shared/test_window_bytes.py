"""The byte window: what it promises about memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_shared.dataplane.window import ByteWindow


@given(st.integers(1, 100), st.lists(st.tuples(st.booleans(), st.integers(0, 150)), max_size=60))
def test_the_window_is_exceeded_by_at_most_one_item(limit: int, steps: list[tuple[bool, int]]) -> None:
    window = ByteWindow(limit)
    inside: list[int] = []
    for taking, size in steps:
        if taking and window.room > 0:
            window.add(size)
            inside.append(size)
        elif not taking and inside:
            window.remove(inside.pop(size % len(inside)))
        assert window.used == sum(inside)
        assert window.used < limit + max(inside, default=0) + 1
        assert window.room == max(0, limit - window.used)


@given(st.integers(1, 100), st.lists(st.integers(0, 150), max_size=60))
def test_items_of_known_size_exceed_the_window_only_alone(limit: int, sizes: list[int]) -> None:
    window = ByteWindow(limit)
    inside: list[int] = []
    for size in sizes:
        while not window.admits(size):
            window.remove(inside.pop(0))
        window.add(size)
        inside.append(size)
        assert window.used <= limit or len([s for s in inside if s]) == 1


def test_an_item_larger_than_the_window_is_admitted_when_it_is_empty() -> None:
    window = ByteWindow(10)
    assert window.admits(11)
    window.add(11)
    assert not window.admits(0)
    assert window.room == 0


def test_removing_more_than_was_added_is_a_defect() -> None:
    window = ByteWindow(10)
    window.add(3)
    with pytest.raises(ValueError, match="more bytes removed"):
        window.remove(4)
    with pytest.raises(ValueError, match="positive"):
        ByteWindow(0)
