"""Which transactions a snapshot holds: epochs, transactions in progress, late commits, and the end of the filter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_reader.capture.cutover import SnapshotFilter
from tailrace_shared.changes.visible import Visible


def held(filter_: SnapshotFilter, *transactions: tuple[int, int]) -> list[bool]:
    xids = np.array([t[0] % (1 << 32) for t in transactions], np.uint32)
    lsns = np.array([t[1] for t in transactions], np.uint64)
    found = filter_.held(xids, lsns).tolist()
    filter_.passed(lsns)
    return list(map(bool, found))


def test_what_postgresql_prints_is_read() -> None:
    seen = Visible.parse("10:20:10,14,15")
    assert (seen.xmin, seen.xmax, seen.xip) == (10, 20, {10, 14, 15})
    assert Visible.parse("7:7:") == Visible(7, 7)
    assert str(seen) == "10:20:10,14,15"
    with pytest.raises(ValueError, match="unpack"):
        Visible.parse("7")


def test_what_was_over_is_held_and_what_ran_or_came_later_is_not() -> None:
    filter_ = SnapshotFilter(Visible(10, 20, frozenset({10, 14})), 1000)
    assert held(filter_, (9, 1), (10, 2), (13, 3), (14, 4), (19, 5), (20, 6), (25, 7)) == [
        True, False, True, False, True, False, False,
    ]  # fmt: skip


def test_a_commit_that_was_in_wal_and_not_yet_visible_is_carried() -> None:
    """Its LSN is below L, the snapshot has it in progress: only the stream brings it."""
    assert held(SnapshotFilter(Visible(10, 11, frozenset({10})), 1000), (10, 999)) == [False]


def test_at_its_position_the_filter_retires_for_good() -> None:
    filter_ = SnapshotFilter(Visible(20, 20), 1000)
    assert held(filter_, (5, 900), (6, 1000), (7, 1100)) == [True, False, False]
    assert filter_.retired
    assert held(filter_, (8, 1)) == [False]


def test_xids_are_compared_across_the_wrap_of_32_bits() -> None:
    epoch = 1 << 32
    just_after = SnapshotFilter(Visible(epoch + 2, epoch + 5, frozenset({epoch + 2})), 1000)
    assert held(just_after, (epoch - 1, 1), (epoch + 1, 2), (epoch + 2, 3), (epoch + 6, 4)) == [
        True,
        True,
        False,
        False,
    ]
    just_before = SnapshotFilter(Visible(3 * epoch - 9, 3 * epoch - 3, frozenset({3 * epoch - 9})), 1000)
    assert held(just_before, (3 * epoch - 4, 1), (3 * epoch - 9, 2), (3 * epoch + 3, 3)) == [True, False, False]


@given(st.integers(1 << 31, 1 << 40), st.integers(-(1 << 31) + 1, (1 << 31) - 1))
def test_any_xid_near_the_snapshot_is_on_its_right_side(xmax: int, distance: int) -> None:
    assert held(SnapshotFilter(Visible(xmax, xmax), 10), (xmax + distance, 1)) == [distance < 0]
