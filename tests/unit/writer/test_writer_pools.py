"""Keys that made rows refer to: asked for at once, awaited by those alone who refer to them."""

from __future__ import annotations

from dataclasses import replace

from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import decide
from tailrace_writer.state.view import PoolView, RunView, TableView, releasable

LOADING = RunView(
    run="R", state="loading", digest="d", prepared=True, fingerprints=True, readers=1, generators=1, snapshots=1,
    tables=(TableView(0, loaded=True, unfinished=False), TableView(1, made=True), TableView(2, made=True)),
    pools=(PoolView(0, drawn_by=(1,)),),
)  # fmt: skip


def test_a_pool_is_asked_for_at_once_and_again_when_nothing_was_heard_of_it() -> None:
    assert do.ReadPools((0,)) in decide(replace(LOADING, pools=(PoolView(0, (1,), unsent=True),)), 0.0)
    assert not any(isinstance(d, do.ReadPools) for d in decide(LOADING, 0.0))


def test_orders_wait_for_the_keys_that_they_draw_from_and_for_no_others() -> None:
    assert releasable(LOADING.tables, (), LOADING.pools) == (2,)
    assert releasable(LOADING.tables, (), (PoolView(0, (1,), ready=True),)) == (1, 2)


def test_the_snapshot_is_needed_until_the_keys_are_there() -> None:
    lost = replace(LOADING, snapshots=0)
    assert any(isinstance(d, do.Restart) for d in decide(lost, 0.0))
    there = replace(lost, pools=(PoolView(0, (1,), ready=True),))
    assert not any(isinstance(d, do.Restart) for d in decide(there, 0.0))


def test_without_a_reader_the_run_says_so() -> None:
    assert do.Wait("a reader replica") in decide(replace(LOADING, readers=0), 0.0)
