"""Orders beside ranges: what they need of readers, and what goes to which topic."""

from __future__ import annotations

from dataclasses import replace

from tailrace_writer.cleanup import GROUPS
from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import Patience, decide
from tailrace_writer.state.view import Candidate, OpenRange, RangeKey, RunView, TableView

LOADING = RunView(
    run="R",
    state="loading",
    generators=1,
    snapshots=1,
    tables=(TableView(0, made=True),),
    open=(OpenRange(RangeKey(0, 0, 0), 100, sent=True, released_at=0.0, made=True),),
    candidates=(Candidate(RangeKey(0, 0, 1), 100, made=True),),
)
NOW = 1000.0


def test_orders_are_released_without_any_reader_and_its_snapshot() -> None:
    decided = decide(replace(LOADING, snapshots=0), NOW, Patience())
    assert do.Release((RangeKey(0, 0, 1),)) in decided
    assert not any(isinstance(d, do.Restart) for d in decided)
    assert not any(isinstance(d, do.Wait) and "reader" in d.what for d in decided)


def test_a_range_still_needs_a_snapshot_and_a_reader() -> None:
    mixed = replace(LOADING, snapshots=0, candidates=(Candidate(RangeKey(1, 0, 0), 100),))
    assert any(isinstance(d, do.Restart) for d in decide(mixed, NOW, Patience()))


def test_an_order_that_is_lost_is_sent_again_though_no_reader_is_there() -> None:
    assert do.Send((RangeKey(0, 0, 0),), again=True) in decide(LOADING, NOW, Patience())
    read = replace(LOADING, open=(replace(LOADING.open[0], made=False),))
    assert not any(isinstance(d, do.Send) for d in decide(read, NOW, Patience()))


def test_topics_of_orders_wait_for_their_members_too() -> None:
    assert ("generator", "orders") in GROUPS
