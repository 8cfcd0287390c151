"""Where stream and lane do not meet, nothing is passed over: it is said why, and everything is loaded anew."""

from __future__ import annotations

import pytest

from tailrace_reader.capture.errors import SlotLost
from tailrace_reader.capture.meeting import LostChanges, check_meeting
from tailrace_reader.capture.record import Tail
from tailrace_reader.capture.slots import SlotState
from tailrace_reader.capture.tail import LaneEnd
from tailrace_reader.capture.timelines import ends_of, history_of
from tailrace_shared.plan.model import ContinuousPlan

FOLLOW = ContinuousPlan(slot="s", publication="p", managed=True, apply="bare", system="7", timeline=1)
END = LaneEnd(Tail(0, 95, 100), ())


def slot(confirmed: int = 100, **given: object) -> SlotState:
    made = {
        "name": "s", "plugin": "pgoutput", "database": "d", "active": False, "active_pid": None, "wal_status": "reserved",
        "safe_wal_size": None, "restart_lsn": 1, "confirmed_lsn": confirmed, "retained_bytes": 1, "behind_bytes": 1, "reason": None,
        "conflicting": None, "failover": False, "synced": False,
    }  # fmt: skip
    return SlotState(**(made | given))  # type: ignore[arg-type]


@pytest.mark.parametrize("confirmed", [0, 50, 100])
def test_a_lane_that_holds_what_the_slot_has_let_go_goes_on(confirmed: int) -> None:
    check_meeting(FOLLOW, slot(confirmed), ("7", 1, 100), END, {})


@pytest.mark.parametrize("state", [None, slot(wal_status="lost"), slot(reason="wal_removed"), slot(conflicting=True)])
def test_a_slot_that_is_gone_or_invalidated_is_lost(state: SlotState | None) -> None:
    with pytest.raises(SlotLost):
        check_meeting(FOLLOW, state, ("7", 1, 100), END, {})


@pytest.mark.parametrize(
    ("state", "source", "code"),
    [
        (slot(101), ("7", 1, 200), "tail-lost"),
        (slot(), ("8", 1, 200), "timeline"),
        (slot(), ("7", 2, 200), "timeline"),
        (slot(50), ("7", 1, 99), "timeline"),
    ],
    ids=["Kafka lost the tail", "another server", "a promoted standby", "put back to an earlier state"],
)
def test_changes_that_are_missing_or_may_be_others_are_told(
    state: SlotState, source: tuple[str, int, int], code: str
) -> None:
    with pytest.raises(LostChanges) as error:
        check_meeting(FOLLOW, state, source, END, {})
    assert error.value.code == code


@pytest.mark.parametrize(
    ("source", "ends", "lane"),
    [
        (2, {1: 100}, 0),
        (2, {1: 500}, 1),
        (4, {1: 60, 2: 150, 3: 170}, 2),
        (2, {1: 50}, 2),
    ],
    ids=["at its end", "later", "a second promotion", "the lane is on it"],
)
def test_a_promoted_source_that_holds_what_the_lane_holds_goes_on(source: int, ends: dict[int, int], lane: int) -> None:
    check_meeting(FOLLOW, slot(failover=True, synced=True), ("7", source, 600), END._replace(timeline=lane), ends)


@pytest.mark.parametrize(
    ("source", "ends", "lane"),
    [(2, {1: 99}, 0), (2, {}, 0), (3, {1: 500, 2: 99}, 2), (3, {1: 500}, 2), (1, {}, 2)],
    ids=["without the lane's last", "no descendant", "second without", "of another branch", "a former primary"],
)
def test_a_promoted_source_that_lacks_what_the_lane_holds_is_told(source: int, ends: dict[int, int], lane: int) -> None:
    with pytest.raises(LostChanges) as error:
        check_meeting(FOLLOW, slot(), ("7", source, 600), END._replace(timeline=lane), ends)
    assert error.value.code == "timeline"


def test_a_history_tells_where_every_timeline_before_was_left() -> None:
    content = b"1\t0/3000148\tno recovery target specified\n\n2\t1/50\tbefore 2026-11-24\n"
    row = b"\0\2" + (16).to_bytes(4, "big") + b"00000003.history" + len(content).to_bytes(4, "big") + content
    messages = b"T\0\0\0\6\0\2" + b"D" + (len(row) + 4).to_bytes(4, "big") + row + b"Z\0\0\0\5I"
    assert ends_of(history_of(messages)) == {1: 0x3000148, 2: (1 << 32) + 0x50}


def test_an_answer_without_a_row_is_no_history() -> None:
    with pytest.raises(ValueError, match="no row"):
        history_of(b"E\0\0\0\5XZ\0\0\0\5I")
