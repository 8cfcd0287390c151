"""Loading tables anew while a run streams: what is decided, and what seeded interleavings make of lane and tables."""

from __future__ import annotations

from dataclasses import replace

from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import decide
from tailrace_writer.state.resyncing import OFFER_S
from tailrace_writer.state.view import (
    Candidate,
    LaneView,
    OpenRange,
    RangeKey,
    ResyncView,
    RunView,
    TableView,
    releasable,
)

TABLES = (TableView(0, loaded=True, unfinished=False), TableView(1, loaded=False, unfinished=False, wants=True))
VIEW = RunView(
    run="R", state="streaming", digest="d", readers=1, generators=1, prepared=True, continuous=True, lane=LaneView(),
    tables=TABLES,
)  # fmt: skip
ASKED = ResyncView(1, asked_at=100.0)
LOADING = ResyncView(1, loading=True, planned=True)
AGAIN = (TABLES[0], TableView(1, loaded=False, unfinished=True, resync=True))


def test_tables_that_want_it_are_ordered_together_and_one_order_at_a_time() -> None:
    assert decide(VIEW, 100) == [do.OrderResync((1,))]
    (waits,) = decide(replace(VIEW, resync=ASKED), 100)
    assert isinstance(waits, do.Wait)


def test_a_paused_run_resyncs_too_and_one_that_was_asked_to_stop_begins_none() -> None:
    assert decide(replace(VIEW, state="paused", pause_requested=True), 100) == [do.OrderResync((1,))]
    stopping = replace(VIEW, stop_requested=True)
    assert decide(stopping, 100) == [do.EndStream("streaming")]
    (given_up,) = decide(replace(stopping, resync=ASKED), 100)
    assert isinstance(given_up, do.AbandonResync)


def test_a_stop_waits_for_the_tables_that_are_being_loaded() -> None:
    loading = replace(VIEW, stop_requested=True, resync=LOADING, tables=AGAIN, candidates=(_candidate(),), snapshots=1)
    assert do.Release((_candidate().key,)) in decide(loading, 100)


def test_an_offer_is_accepted_and_silence_is_given_up() -> None:
    assert decide(replace(VIEW, resync=replace(ASKED, planned=True)), 100) == [do.BeginResync(1)]
    (given_up,) = decide(replace(VIEW, resync=ASKED), 101 + OFFER_S)
    assert isinstance(given_up, do.AbandonResync)


def test_what_failed_is_abandoned_whatever_it_was_at() -> None:
    for resync in (ASKED, replace(ASKED, planned=True), LOADING):
        failed = replace(VIEW, resync=replace(resync, why="a value does not fit"), tables=AGAIN)
        assert decide(failed, 100) == [do.AbandonResync(1, "a value does not fit")]


def test_ranges_are_released_and_marked_as_in_loading_and_prerequisites_do_not_hold_them() -> None:
    behind = replace(AGAIN[1], after=(7,))
    assert releasable((TABLES[0], behind)) == (1,)
    view = replace(VIEW, resync=LOADING, tables=AGAIN, candidates=(_candidate(),), snapshots=1)
    assert decide(view, 100)[0] == do.Release((_candidate().key,))
    done = OpenRange(
        _candidate().key, 10, True, 1.0, read_at=2.0, rows=5, batches=1, bytes=10, ledger_batches=1, ledger_rows=5
    )
    assert decide(replace(view, candidates=(), open=(done,)), 100)[0] == do.MarkDone((done.key,))
    finished = (TABLES[0], replace(AGAIN[1], unfinished=False))
    assert decide(replace(view, candidates=(), tables=finished), 100)[0] == do.CompleteTables((1,))


def test_it_ends_when_no_table_is_left_and_never_ends_the_loading_of_the_run() -> None:
    both = (TABLES[0], TableView(1, loaded=True, unfinished=False))
    assert decide(replace(VIEW, resync=LOADING, tables=both), 100) == [do.EndResync(1)]


def test_a_lost_snapshot_is_given_up_only_while_something_is_unread() -> None:
    view = replace(VIEW, resync=LOADING, tables=AGAIN, candidates=(_candidate(),), snapshots=0)
    (given_up,) = decide(view, 100)
    assert isinstance(given_up, do.AbandonResync)
    assert not isinstance(decide(replace(view, settled=False), 100)[0], do.AbandonResync)
    read = OpenRange(_candidate().key, 10, True, 1.0, read_at=2.0, rows=5, batches=1, bytes=10)
    assert not isinstance(decide(replace(view, candidates=(), open=(read,)), 100)[0], do.AbandonResync)


def test_columns_that_a_capture_waits_for_go_before_tables_that_are_to_be_loaded() -> None:
    both = (TableView(0, loaded=True, unfinished=False, grows=True), TableView(1, unfinished=False, wants=True))
    assert decide(replace(VIEW, tables=both), 100) == [do.OrderResync((0,), in_place=True)]
    planned = ResyncView(3, planned=True)
    assert decide(replace(VIEW, tables=both, resync=planned), 100) == [do.BeginResync(3)], "one at a time"


def test_a_broken_lane_goes_before_any_resync() -> None:
    broken = replace(VIEW, resync=LOADING, tables=AGAIN, lane=LaneView(broken="slot lost"))
    assert decide(broken, 100) == [do.Restart("slot lost")]


def _candidate() -> Candidate:
    return Candidate(RangeKey(1, 1, 0), 10)
