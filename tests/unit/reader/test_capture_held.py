"""What waits on Kafka for the destination."""

from __future__ import annotations

from tailrace_reader.capture.held import Held


def test_bytes_are_held_until_the_destination_has_them() -> None:
    held = Held(tail=0, began=0.0)
    held.add(10, 100, 1_000_000)
    held.add(20, 50, 2_000_000)
    held.applied(15)
    assert held.bytes == 50
    held.applied(20)
    assert held.bytes == 0


def test_the_lag_is_since_the_oldest_change_that_waits_and_heartbeats_are_no_changes() -> None:
    held = Held(tail=0, began=0.0)
    held.add(10, 1, 0)
    assert held.lag_s(5, 100.0) == 0.0
    held.add(20, 1, 40_000_000)
    held.add(30, 1, 90_000_000)
    assert held.lag_s(10, 100.0) == 60.0
    held.applied(20)
    assert held.lag_s(20, 100.0) == 10.0


def test_what_a_former_capture_has_sent_is_as_old_as_this_one() -> None:
    held = Held(tail=100, began=50.0)
    assert held.lag_s(40, 80.0) == 30.0
    assert held.lag_s(100, 80.0) == 0.0
