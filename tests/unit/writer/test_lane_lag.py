"""How far a lane is behind, from its row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tailrace_writer.lane.lag import Lag


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def row(**changes: Any) -> dict[str, Any]:
    level = {"tail": 10, "position": 10, "committed_at": at(90), "applied_at": at(90.25), "seen_at": at(100)}
    level["caught_up"] = False
    return level | changes


def test_a_lane_that_lacks_nothing_is_as_old_as_the_way_of_its_newest_change_and_then_not_at_all() -> None:
    assert Lag().look(row(), 91.0) == 0.25
    assert Lag().look(row(), 101.0) == 0.0


def test_what_is_missing_is_no_older_than_the_last_moment_at_which_nothing_was() -> None:
    lag = Lag()
    lag.look(row(), 101.0)
    assert lag.look(row(tail=20, seen_at=at(103)), 103.0) == 2.0
    assert lag.look(row(tail=20, seen_at=at(160)), 160.0) == 59.0
    assert Lag().look(row(tail=20), 100.0) == 10.0


def test_a_source_that_nobody_captures_is_behind_since_it_was_last_looked_at() -> None:
    assert Lag().look(row(), 160.0) == 60.0


def test_before_anything_is_known_nothing_is_told() -> None:
    nothing = row(committed_at=None, applied_at=None, seen_at=None)
    assert Lag().look(nothing, 100.0) is None
    assert Lag().look(nothing | {"tail": 20}, 100.0) is None


def test_clocks_that_differ_make_no_negative_lag() -> None:
    assert Lag().look(row(committed_at=at(95)), 91.0) == 0.0


def test_a_lane_that_has_ended_is_not_behind_though_nobody_captures() -> None:
    assert Lag().look(row(caught_up=True), 500.0) == 0.0
