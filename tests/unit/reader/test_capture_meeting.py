"""Where stream and lane do not meet, nothing is passed over: it is said why, and everything is loaded anew."""

from __future__ import annotations

import pytest

from tailrace_reader.capture.errors import SlotLost
from tailrace_reader.capture.meeting import LostChanges, check_meeting
from tailrace_reader.capture.record import Tail
from tailrace_reader.capture.slots import SlotState
from tailrace_shared.plan.model import ContinuousPlan

FOLLOW = ContinuousPlan(slot="s", publication="p", managed=True, apply="bare", system="7", timeline=1)
TAIL = Tail(0, 95, 100)


def slot(confirmed: int = 100, **given: object) -> SlotState:
    made = {
        "name": "s", "plugin": "pgoutput", "database": "d", "active": False, "active_pid": None, "wal_status": "reserved",
        "safe_wal_size": None, "restart_lsn": 1, "confirmed_lsn": confirmed, "retained_bytes": 1, "behind_bytes": 1, "reason": None,
        "conflicting": None, "failover": False, "synced": False,
    }  # fmt: skip
    return SlotState(**(made | given))  # type: ignore[arg-type]


@pytest.mark.parametrize("confirmed", [0, 50, 100])
def test_a_lane_that_holds_what_the_slot_has_let_go_goes_on(confirmed: int) -> None:
    check_meeting(FOLLOW, slot(confirmed), ("7", 1, 100), TAIL)


@pytest.mark.parametrize("state", [None, slot(wal_status="lost"), slot(reason="wal_removed"), slot(conflicting=True)])
def test_a_slot_that_is_gone_or_invalidated_is_lost(state: SlotState | None) -> None:
    with pytest.raises(SlotLost):
        check_meeting(FOLLOW, state, ("7", 1, 100), TAIL)


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
        check_meeting(FOLLOW, state, source, TAIL)
    assert error.value.code == code
