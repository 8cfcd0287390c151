"""The state machine: what it decides, and what thousands of interleavings of leaders, facts and batches make of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.run_world import TERMINAL, World
from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import Patience, decide
from tailrace_writer.state.view import (
    Candidate,
    LaneView,
    LeakView,
    OpenRange,
    RangeKey,
    RunView,
    TableView,
    releasable,
)

VIEW = RunView(run="R", state="submitted", fingerprints=True, readers=1, generators=1, snapshots=1)
LOADING = replace(VIEW, state="loading", digest="d", prepared=True)


def key(number: int, table: int = 0) -> RangeKey:
    return RangeKey(table, 0, number)


@pytest.mark.parametrize("block", range(20))
def test_a_run_ends_in_one_state_whatever_dies_and_whatever_comes_twice(block: int) -> None:
    ends = set()
    for seed in range(block * 100, block * 100 + 100):
        world = World(seed, chaos=0.05 + seed % 7 * 0.05, cancel=seed % 3 == 0).run()
        end = [state for state in world.history if state in TERMINAL]
        assert len(end) == 1, (seed, world.history[-5:])
        assert world.attempt <= world.restarts + 1
        assert world.worst_credit <= 0, seed
        assert not world.dropped, "everything is rebuilt"
        world.settle()
        if world.state == "done":
            assert world.rows.keys() == world.complete, seed
            assert set(world.rows.values()) <= {1}, "nothing is applied twice"
        else:
            assert not world.rows, "what was loaded is gone"
        assert world.history[-1] == end[0]
        ends.add(end[0])
    assert "done" in ends


@pytest.mark.parametrize("block", range(5))
def test_rows_that_are_appended_come_all_at_once_or_not_at_all(block: int) -> None:
    ends = set()
    for seed in range(block * 100, block * 100 + 100):
        world = World(seed, chaos=0.05 + seed % 7 * 0.05, cancel=seed % 3 == 0, append=True).run()
        assert world.state in TERMINAL
        world.settle()
        assert world.added.keys() == (world.complete if world.state == "done" else set()), seed
        assert set(world.added.values()) <= {1}, "nothing is added twice"
        assert not world.rows, "staging is gone"
        assert not world.dropped
        ends.add(world.state)
    assert "done" in ends


def test_an_undisturbed_run_needs_one_attempt() -> None:
    for seed in range(100):
        world = World(seed, chaos=0.0).run()
        assert (world.state, world.attempt) == ("done", 1)
        assert world.history == ["submitted", "planned", "preparing", "loading", "finishing", "verifying", "done"]


def test_a_queued_run_waits_and_says_so() -> None:
    (decision,) = decide(replace(VIEW, active=False), 0)
    assert isinstance(decision, do.Wait)
    assert decision.queued


def test_planning_waits_for_a_generator_and_is_asked_for_again_when_a_reader_does_not_answer() -> None:
    assert decide(replace(VIEW, fingerprints=False), 0) == [do.Wait("a generator replica")]
    assert decide(VIEW, 0) == [do.Plan()]
    asked = replace(VIEW, tasked_at=0.0)
    assert decide(asked, 10) == [do.Wait("the plan")]
    assert decide(asked, 61) == [do.Plan()]
    assert decide(replace(asked, readers=0), 61) == [do.Wait("a reader replica")]


def test_what_an_attempt_dropped_is_back_before_the_next_one_looks_at_the_destination() -> None:
    assert decide(replace(VIEW, undone=1, attempt=2), 0) == [do.Rebuild()]


def test_ranges_are_released_up_to_the_credit_and_one_always() -> None:
    ranges = tuple(Candidate(key(n), 100) for n in range(5))
    view = replace(LOADING, credit_bytes=250, candidates=ranges, tables=(TableView(0),))
    assert decide(view, 0) == [do.Release((key(0), key(1)))]
    assert decide(replace(view, credit_bytes=10), 0) == [do.Release((key(0),))]
    half = OpenRange(key(9), 300, sent=True, released_at=0, read_at=0, batches=2, rows=2, bytes=300, ledger_bytes=150)
    assert decide(replace(view, open=(replace(half, ledger_batches=1),)), 0) == [do.Release((key(0),))]


def test_children_are_released_when_their_parents_are_complete() -> None:
    parent, child = TableView(0), TableView(1, after=(0,))
    assert releasable((parent, child)) == (0,)
    assert releasable((replace(parent, loaded=True), child)) == (1,)


def test_a_range_is_done_when_the_ledger_holds_every_batch() -> None:
    part = OpenRange(key(0), 9, sent=True, released_at=0, read_at=1, rows=20, batches=2, bytes=9, ledger_batches=1)
    view = replace(LOADING, tables=(TableView(0),), open=(part,))
    assert decide(view, 2) == [do.Wait("")], "everybody is there, and it is not long ago"
    whole = replace(part, ledger_batches=2, ledger_rows=20)
    assert decide(replace(view, open=(whole,)), 2) == [do.MarkDone((key(0),))]


def test_a_range_whose_rows_differ_from_the_ledger_fails_the_run() -> None:
    wrong = OpenRange(
        key(0), 9, sent=True, released_at=0, read_at=1, rows=20, batches=2, bytes=9, ledger_batches=2, ledger_rows=19
    )
    (decision,) = decide(replace(LOADING, tables=(TableView(0),), open=(wrong,)), 2)
    assert isinstance(decision, do.Fail)
    assert decision.code == "load.rows-differ"


def test_a_released_range_whose_leader_died_before_sending_is_sent() -> None:
    unsent = OpenRange(key(0), 9, sent=False, released_at=0)
    assert decide(replace(LOADING, tables=(TableView(0),), open=(unsent,)), 1) == [do.Send((key(0),))]


def test_a_range_that_is_read_but_incomplete_is_released_again_once_nothing_arrives_any_more() -> None:
    lost = OpenRange(key(0), 9, sent=True, released_at=0, read_at=10, rows=2, batches=2, bytes=9, ledger_batches=1)
    view = replace(LOADING, tables=(TableView(0),), open=(lost,), last_applied_at=60)
    assert decide(view, 100) == [do.Wait("")], "the ledger still grows"
    silence = do.Wait("rows: nothing has arrived for 60 s, see the logs of the generators and writers")
    assert decide(view, 121) == [do.Send((key(0),), again=True), silence]
    assert decide(replace(view, generators=0), 121) == [do.Wait("a generator replica")], "nobody could work"


def test_a_loading_run_says_whom_it_lacks_and_what_hinders_its_writers() -> None:
    unread = OpenRange(key(0), 9, sent=True, released_at=0)
    view = replace(LOADING, tables=(TableView(0),), open=(unread,))
    assert decide(replace(view, writers=0), 1) == [do.Wait("a writer replica")]
    refused = replace(view, writers=0, refusal="a writer replica that can take part: it is older")
    assert decide(refused, 1) == [do.Wait("a writer replica that can take part: it is older")]
    hindered = replace(view, hindrance="postgres.disk-full: the disk is full")
    assert decide(hindered, 1) == [do.Wait("a writer that can write: postgres.disk-full: the disk is full")]
    more = replace(hindered, candidates=(Candidate(key(1), 9),))
    assert decide(more, 1)[-1] == do.Wait("a writer that can write: postgres.disk-full: the disk is full"), "meanwhile"


def test_a_run_that_follows_says_why_those_who_are_there_stay_out() -> None:
    view = replace(VIEW, state="streaming", continuous=True, lane=LaneView())
    assert decide(replace(view, readers=0, generators=0), 1) == [do.Wait("a reader replica")]
    refusal = "a generator replica that can take part: it speaks another plan format"
    assert decide(replace(view, readers=0, generators=0, refusal=refusal), 1) == [do.Wait(refusal)]
    other = "a trainer replica that can take part: this trainer has no torch"
    assert decide(replace(view, readers=0, refusal=other), 1) == [do.Wait("a reader replica")]
    ending = replace(
        view, state="stopping", outcome="stopped", generators=0, refusal=refusal, lane=LaneView(ended=True)
    )
    assert decide(ending, 1) == [do.Wait(refusal)]


def test_long_silence_of_a_loading_run_is_said_with_where_to_look() -> None:
    unread = OpenRange(key(0), 9, sent=True, released_at=90)
    view = replace(LOADING, tables=(TableView(0),), open=(unread,), moved_at=10)
    assert decide(view, 69) == [do.Wait("")]
    assert decide(view, 101) == [do.Wait("rows: nothing has arrived for 90 s, see the logs of the readers")], (
        "whether or not the range was released again meanwhile"
    )
    half = OpenRange(key(1), 9, sent=True, released_at=90, read_at=90, rows=2, batches=2, bytes=9)
    (decision,) = decide(replace(view, open=(unread, half)), 101)
    assert isinstance(decision, do.Wait)
    assert decision.what.endswith("the readers, generators and writers")


def test_the_loss_of_all_snapshots_restarts_while_something_is_to_be_read() -> None:
    view = replace(LOADING, snapshots=0, tables=(TableView(0),), candidates=(Candidate(key(0), 1),))
    assert decide(view, 0) == [do.Restart("no reader holds the source snapshot any more")]
    assert not any(isinstance(d, do.Restart) for d in decide(replace(view, settled=False), 0)), "an outage is no loss"
    everything_read = OpenRange(key(0), 1, sent=True, released_at=0, read_at=0, batches=1, rows=1, bytes=1)
    assert decide(replace(view, candidates=(), open=(everything_read,)), 1) == [do.Wait("")]


def test_restarts_are_bounded() -> None:
    view = replace(LOADING, restart_because="the source was rewritten", attempt=4, restarts=3)
    (decision,) = decide(view, 0)
    assert isinstance(decision, do.Fail)
    assert decision.code == "run.snapshot-lost"


def test_cancel_and_failure_stop_any_state_and_rebuild_before_the_end() -> None:
    for state in ("submitted", "planned", "preparing", "loading", "finishing", "verifying"):
        view = replace(VIEW, state=state)  # type: ignore[arg-type]
        assert decide(replace(view, cancel_requested=True), 0) == [do.Stop("cancelled")]
        assert decide(replace(view, failed=True), 0) == [do.Stop("failed")]
    stopping = replace(VIEW, state="stopping", outcome="cancelled", failed=True, undone=2)
    assert decide(stopping, 0) == [do.Rebuild()]
    assert decide(replace(stopping, undone=0), 0) == [do.Conclude("cancelled")]


def test_a_leak_question_is_asked_again_and_judged_when_all_are_answered() -> None:
    view = replace(
        VIEW, state="verifying", verified=True, leaks=(LeakView(0, "name", 0, False), LeakView(0, "mail", 0, True))
    )
    patience = Patience(leak_s=30)
    assert decide(view, 1, patience) == [do.Wait("the leak scan")]
    assert decide(view, 31, patience) == [do.AskLeaks(((0, "name"),))]
    assert decide(replace(view, moved_at=20), 31, patience) == [do.Wait("the leak scan")], "answers still come"
    assert decide(replace(view, leaks=view.leaks[1:]), 31, patience) == [do.Judge()]


def test_a_reader_has_its_own_time_for_a_leak_question_unless_it_is_gone() -> None:
    view = replace(VIEW, state="verifying", verified=True, leaks=(LeakView(0, "name", 100, False),))
    assert decide(view, 699) == [do.Wait("the leak scan")]
    assert decide(replace(view, deserted_at=110), 120) == [do.AskLeaks(((0, "name"),))]
    assert decide(replace(view, deserted_at=90), 120) == [do.Wait("the leak scan")], "it was asked after that"
    assert decide(replace(view, deserted_at=110, readers=0), 120) == [do.Wait("a reader replica")]


def test_patience_is_a_setting() -> None:
    asked = replace(VIEW, tasked_at=0.0)
    assert decide(asked, 2, Patience(plan_s=1)) == [do.Plan()]
