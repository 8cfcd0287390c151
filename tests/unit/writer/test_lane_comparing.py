"""Where a lane stops for a comparison: at its marker until the point is known, and before the first commit at or above it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tailrace_shared.changes.body import Body
from tailrace_shared.changes.controls import Heartbeat, Marker, Truncated, comparison_token
from tailrace_shared.changes.rows import INSERT, ChangeRows
from tailrace_writer.lane.comparing import Cut, Hold, Wanted, stop_in
from tailrace_writer.lane.gather import Gathering


def rows(lsns: list[int]) -> ChangeRows:
    count = len(lsns)
    ids = pa.array(range(count), pa.int64())
    return ChangeRows(
        op=np.full(count, INSERT, np.uint8),
        seq=np.arange(count, dtype=np.uint32),
        xid=np.arange(count, dtype=np.uint32),
        lsn=np.array(lsns, np.uint64),
        time=np.zeros(count, np.int64),
        has_old=np.zeros(count, bool),
        gone=None,
        old={},
        names=("id",),
        columns=(ids,),
    )


def body(lsns: list[int], *controls: Marker | Heartbeat | Truncated) -> Body:
    return Body(controls, ((0, rows(lsns)),) if lsns else ())


def wanted(point: int | None) -> Wanted:
    return Wanted(3, "d" * 64, (0,), point)


MARKER = Marker(seq=9, lsn=25, token=comparison_token(3))


def test_nothing_stops_a_lane_that_nobody_wants_to_compare() -> None:
    assert stop_in(None, body([10, 20], MARKER), 0, 30) is None


def test_it_waits_at_the_marker_until_the_point_is_known() -> None:
    assert stop_in(wanted(None), body([10, 20, 30], MARKER), 0, 30) == Hold()
    assert stop_in(wanted(None), body([10, 20]), 0, 20) is None


def test_a_marker_of_a_former_number_or_one_that_is_behind_holds_nothing() -> None:
    former = Marker(seq=9, lsn=25, token=comparison_token(2))
    assert stop_in(wanted(None), body([30], former), 0, 30) is None
    assert stop_in(wanted(None), body([30], MARKER), 25, 30) is None


def test_a_known_point_needs_no_marker_and_records_below_it_pass_whole() -> None:
    assert stop_in(wanted(31), body([10, 30], MARKER), 0, 30) is None


def test_it_cuts_between_the_last_commit_below_and_the_first_at_the_point() -> None:
    assert stop_in(wanted(30), body([10, 20, 30, 40]), 0, 40) == Cut(30, 20)
    assert stop_in(wanted(30), body([30, 40]), 15, 40) == Cut(30, 15)


def test_a_transaction_without_rows_counts_as_applied_too() -> None:
    assert stop_in(wanted(30), body([10, 40], Heartbeat(seq=5, lsn=28, token="t")), 0, 40) == Cut(30, 28)


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(0, 60), st.integers(1, 70))
def test_what_is_applied_before_and_after_a_cut_is_everything_once(lsns: list[int], above: int, point: int) -> None:
    lsns = sorted(lsns)
    record = body(lsns)
    last = max([*lsns, above + 1])
    stop = stop_in(wanted(point), record, above, last)

    def gathered(low: int, below: int | None = None) -> list[int]:
        gathering = Gathering({0: ("id",)}, {0: None})
        gathering.add(record, low, below)
        taken = gathering.take()
        return [i for pending in taken.values() for part in pending.parts for i in part.rows.column("id").to_pylist()]

    if isinstance(stop, Cut):
        before, after = gathered(above, stop.point), gathered(max(above, stop.last))
        assert before + after == gathered(above)
        assert all(lsns[i] < point for i in before)
        assert all(lsns[i] >= point for i in after)
    else:
        assert last < point


def test_a_truncate_at_or_above_the_point_waits_for_what_comes_after_the_cut() -> None:
    record = body([10, 40], Truncated(seq=1, lsn=30, tables=(0,)))
    gathering = Gathering({0: ("id",)}, {0: None})
    gathering.add(record, 0, 30)
    assert not gathering.take()[0].truncate
    gathering.add(record, 10)
    assert gathering.take()[0].truncate
