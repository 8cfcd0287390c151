"""How far each table is behind, from the lane's row and what its capture has told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tailrace_shared.freshness import TableLag, table_lag
from tailrace_shared.messages import TableProgress, TableWaits
from tailrace_writer.lane.table_lag import TableLags


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def row(*waits: TableWaits, **changes: Any) -> dict[str, Any]:
    level = {
        "position": 0x100, "tail": 0x100, "source_end": 0x180, "seen_at": at(99), "behind_s": 0.0, "committed_at": at(95),
        "caught_up": False,
        "waits": json.dumps([one.model_dump(mode="json") for one in waits]),
    }  # fmt: skip
    return level | changes


def waiting(since: float, behind: int, until: int, table: int = 7) -> TableWaits:
    return TableWaits(table=table, since=at(since), behind=f"0/{behind:X}", until=f"0/{until:X}")


def told(lane: dict[str, Any], state: str = "loaded", former: dict[str, Any] | None = None) -> TableProgress:
    found = TableLags(lane, 100.0).of(7, state, former)
    return TableProgress.model_validate({"table": 7, "name": "public.t"} | found)


@pytest.mark.parametrize(
    ("lane", "wanted"),
    [
        pytest.param(row(), (0.0, 0), id="level"),
        pytest.param(row(tail=0x140), (0.0, 0), id="another table's changes wait"),
        pytest.param(row(waiting(92.5, 0x100, 0x140), tail=0x140), (7.5, 0x80), id="its own changes wait"),
        pytest.param(row(waiting(92.5, 0x80, 0x100)), (0.0, 0), id="those it heard of have been applied"),
        pytest.param(row(waiting(92.5, 0x80, 0x140), tail=0x140), (5.0, 0x80), id="some of them have"),
        pytest.param(row(waiting(92.5, 0x80, 0x140), tail=0x140, committed_at=None), (7.5, 0x100), id="it is not known when"),
        pytest.param(row(behind_s=3.0, tail=0x140), (3.0, 0x40), id="the capture is behind"),
        pytest.param(row(waiting(92.5, 0x100, 0x140), tail=0x140, behind_s=9.0), (9.0, 0x80), id="that, and they wait"),
        pytest.param(row(seen_at=at(60), tail=0x120), (40.0, 0x60), id="nobody captures"),
        pytest.param(row(seen_at=at(60), tail=0x120, behind_s=2.0), (42.0, 0x60), id="nobody does, and it was behind"),
        pytest.param(row(seen_at=at(60), caught_up=True), (0.0, 0), id="the lane has ended"),
        pytest.param(row(waiting(101.0, 0x100, 0x140), tail=0x140), (0.0, 0x80), id="clocks that differ"),
    ],
)  # fmt: skip
def test_a_table_that_follows(lane: dict[str, Any], wanted: tuple[float, int]) -> None:
    assert table_lag(told(lane), at(100)) == TableLag(*wanted)


@pytest.mark.parametrize("state", ["pending", "loading"])
def test_of_a_table_that_is_not_loaded_nothing_is_told(state: str) -> None:
    assert table_lag(told(row(), state), at(100)) is None


def test_nor_before_the_capture_has_said_anything() -> None:
    assert table_lag(told(row(seen_at=None)), at(100)) is None


def test_a_table_that_leaves_stays_where_it_was_whoever_leads_and_is_told_anew_when_it_follows_again() -> None:
    followed = told(row(waiting(92.5, 0x100, 0x140), tail=0x140)).model_dump(mode="json")
    left = told(row(), "quarantined", followed)
    assert (left.left_at, left.left, table_lag(left, at(130))) == (at(92.5), "0/100", TableLag(37.5, 0x80))
    later = told(row(source_end=0x1000), "resync", json.loads(left.model_dump_json()))
    assert (later.left_at, later.left, later.lag_bytes) == (at(92.5), "0/100", 0xF00)
    again = told(row(), "loaded", json.loads(later.model_dump_json()))
    assert (again.left_at, table_lag(again, at(130))) == (None, TableLag(0.0, 0))


def test_a_table_that_has_never_followed_is_behind_since_it_is_known() -> None:
    assert told(row(), "resync").left_at == at(100)
