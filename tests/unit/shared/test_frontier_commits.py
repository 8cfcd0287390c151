"""The commit frontier: nothing is committed before it and everything before it are done."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tailrace_shared.dataplane.frontier import Frontier


@given(st.integers(1, 30), st.randoms(use_true_random=False))
def test_the_commit_is_the_contiguous_prefix_in_every_order_of_completion(count: int, order: object) -> None:
    offsets = [n * 3 + 7 for n in range(count)]  # holes, and not from 0
    frontier = Frontier()
    for offset in offsets:
        frontier.add(0, offset)
    shuffled = offsets[:]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    done: set[int] = set()
    for offset in shuffled:
        frontier.done(0, offset)
        done.add(offset)
        prefix = next((n for n, o in enumerate(offsets) if o not in done), count)
        assert frontier.commits() == ({0: offsets[prefix - 1] + 1} if prefix else {})
    assert frontier.open == 0


def test_partitions_do_not_wait_for_each_other() -> None:
    frontier = Frontier()
    frontier.add(0, 5)
    frontier.add(1, 8)
    frontier.done(1, 8)
    assert frontier.commits() == {1: 9}


def test_a_confirmed_commit_is_not_offered_again_and_a_failed_one_is() -> None:
    frontier = Frontier()
    for offset in (0, 1):
        frontier.add(0, offset)
    frontier.done(0, 0)
    assert frontier.commits() == {0: 1}
    assert frontier.commits() == {0: 1}
    frontier.confirm({0: 1})
    assert frontier.commits() == {}
    frontier.done(0, 1)
    assert frontier.commits() == {0: 2}


def test_a_revoked_partition_commits_nothing_however_late_its_work_ends() -> None:
    frontier = Frontier()
    for offset in (0, 1, 2):
        frontier.add(0, offset)
    frontier.done(0, 0)
    frontier.revoke([0])
    frontier.done(0, 1)
    assert frontier.commits() == {}
    frontier.add(0, 1)  # assigned again: delivered from the commit on
    frontier.done(0, 2)  # of the earlier assignment, not delivered under this one
    assert frontier.commits() == {}
    frontier.done(0, 1)
    assert frontier.commits() == {0: 2}


def test_a_partition_that_is_rewound_starts_over() -> None:
    frontier = Frontier()
    for offset in (4, 5, 6):
        frontier.add(0, offset)
    frontier.done(0, 6)
    frontier.add(0, 5)
    frontier.done(0, 5)
    assert frontier.commits() == {0: 6}
    frontier.add(0, 6)
    assert frontier.commits() == {0: 6}  # 6 was done under what no longer counts


def test_done_twice_is_done_once() -> None:
    frontier = Frontier()
    frontier.add(0, 0)
    frontier.add(0, 1)
    for _ in range(2):
        frontier.done(0, 1)
    assert frontier.commits() == {}
    for _ in range(2):
        frontier.done(0, 0)
    assert frontier.commits() == {0: 2}
