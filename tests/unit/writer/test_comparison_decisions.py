"""What becomes of a comparison: begun, begun anew, given up, concluded; and what is said of its tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tailrace_writer.comparison.view import (
    STILL_S,
    TRIES,
    Begin,
    BeginAnew,
    ComparedTable,
    ComparisonView,
    Conclude,
    GiveUp,
    Side,
    decide_comparison,
    verdict,
)

READING = ComparisonView("reading", told=True, cut=True)
SIDE = Side(10, 2, (7, 9))
EQUAL = ComparedTable("public.a", Side(10, 2), SIDE, Side(10, 0, (7, 9)))


def test_one_that_was_asked_for_begins_when_a_reader_is_there() -> None:
    assert decide_comparison(ComparisonView("asked")) == Begin()
    assert decide_comparison(ComparisonView("asked", readers=0)) is None
    late = decide_comparison(ComparisonView("asked", readers=0, still_s=STILL_S))
    assert late == GiveUp("it has waited for a reader replica")


def test_it_waits_for_tables_that_are_loaded_anew() -> None:
    assert decide_comparison(ComparisonView("asked", resync=True)) is None


@pytest.mark.parametrize("state", ["done", "failed", "refused"])
def test_what_is_over_stays_so(state: str) -> None:
    assert decide_comparison(ComparisonView(state, run="failed", trouble="x")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["asked", "reading"])
@pytest.mark.parametrize("run", ["paused", "stopping", "submitted", "done"])
def test_a_run_that_does_not_stream_ends_it(state: str, run: str) -> None:
    decided = decide_comparison(ComparisonView(state, run=run))  # type: ignore[arg-type]
    assert isinstance(decided, GiveUp)
    assert run in decided.why


@pytest.mark.parametrize(
    "change",
    [
        {"trouble": "the lane has passed its point"},
        {"same_plan": False},
        {"resync": True},
        {"reader_lives": False},
        {"told": False, "cut": False, "deserted": True},
        {"owner_lives": False},
        {"still_s": STILL_S},
    ],
)
def test_what_spoils_it_begins_it_anew_and_the_last_time_gives_it_up(change: dict[str, object]) -> None:
    spoiled = replace(READING, **change)  # type: ignore[arg-type]
    assert isinstance(decide_comparison(spoiled), BeginAnew)
    assert isinstance(decide_comparison(replace(spoiled, tries=TRIES)), GiveUp)


def test_a_replica_that_has_done_its_part_may_go() -> None:
    gone = replace(
        READING, deserted=True, reader_lives=False, owner_lives=False, source_done=True, destination_done=True
    )
    assert decide_comparison(gone) is None
    assert decide_comparison(ComparisonView("reading", reader_lives=False, owner_lives=False)) is None


def test_it_concludes_when_everything_has_arrived() -> None:
    done = replace(READING, source_done=True, destination_done=True)
    missing = replace(EQUAL, arrived=Side(5, 1, (3, 3)))
    assert decide_comparison(replace(done, tables=(EQUAL, missing))) is None
    decided = decide_comparison(replace(done, tables=(EQUAL,)))
    assert isinstance(decided, Conclude)
    assert [(c.name, c.passed) for c in decided.checks] == [("live public.a", True)]


@pytest.mark.parametrize(
    ("destination", "passed", "said"),
    [
        (Side(10, 0, (7, 9)), True, "10 rows on both sides, the same"),
        (Side(10, 0, (7, 8)), False, "10 rows on both sides, not all of them the same"),
        (Side(11, 0, (7, 9)), False, "source 10 rows, destination 11"),
    ],
)
def test_a_table_is_the_same_by_count_and_by_both_sums(destination: Side, passed: bool, said: str) -> None:
    (check,) = verdict((replace(EQUAL, destination=destination),)).checks
    assert (check.passed, check.detail) == (passed, said)


def test_an_empty_table_is_compared_too() -> None:
    (check,) = verdict((ComparedTable("public.a", Side(), Side(), Side()),)).checks
    assert check.passed


def test_a_table_that_cannot_be_compared_is_left_out_with_a_word_and_keeps_nobody_waiting() -> None:
    rewritten = ComparedTable("public.b", Side(left_out="it was rewritten"), Side(), None)
    assert rewritten.complete
    made = verdict((EQUAL, rewritten))
    assert [check.name for check in made.checks] == ["live public.a"]
    assert [(left.table, left.why) for left in made.left_out] == [("public.b", "it was rewritten")]
