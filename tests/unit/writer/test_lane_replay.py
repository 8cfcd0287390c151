"""What may be deleted of a lane, and what stays for a replay."""

from __future__ import annotations

from tailrace_writer.lane.replay import Consumed, ReplayWindow


def test_what_was_consumed_goes_once_so_many_bytes_have_come_behind_it() -> None:
    window = ReplayWindow(1000)
    assert window.look(0, Consumed(10, 8)) == (0, 0)
    assert window.look(600, Consumed(20, 18)) == (0, 0)
    assert window.look(1000, Consumed(30, 28)) == (10, 8)
    assert window.look(1700, Consumed(40, 38)) == (20, 18)


def test_nothing_stays_where_no_window_is_asked_for() -> None:
    window = ReplayWindow(0)
    assert window.look(500, Consumed(10, 8)) == (10, 8)
    assert window.look(500, Consumed(12, 10)) == (12, 10)


def test_a_lane_that_flows_slowly_is_not_remembered_look_by_look() -> None:
    window = ReplayWindow(64_000)
    for made in range(20_000):
        window.look(made, Consumed(made, made))
    assert len(window._looks) <= 65


def test_what_the_destination_lacks_stays_however_much_comes_behind_it() -> None:
    window = ReplayWindow(100)
    for made in range(0, 10_000, 100):
        kept = window.look(made, Consumed(made, 7))
    assert kept.masked == 7


def test_counts_that_begin_anew_let_the_window_fill_again() -> None:
    window = ReplayWindow(100)
    window.look(1000, Consumed(10, 10))
    assert window.look(5, Consumed(11, 11)) == (0, 0)
    assert window.look(105, Consumed(12, 12)) == (11, 11)
