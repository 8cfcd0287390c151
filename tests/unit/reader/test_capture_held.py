"""What waits on Kafka for the destination, and how far each table is behind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tailrace_reader.capture.freshness import Captured, lags_of
from tailrace_reader.capture.held import Backlog, Held, Waits
from tailrace_reader.capture.tail import Kept
from tailrace_shared.freshness import REST, TABLES_KEPT
from tailrace_shared.messages import TableProgress


def sent(
    last: int, size: int = 1, committed_s: float = 0, previous: int = 0, tables: tuple[int, ...] | None = ()
) -> Kept:
    return Kept(last, size, int(committed_s * 1e6), previous, tables)


def held(*records: Kept, tail: int = 0, began: float = 0.0) -> Held:
    made = Held(tail, began)
    for record in records:
        made.add(record)
    return made


def test_bytes_are_held_until_the_destination_has_them() -> None:
    made = held(sent(10, 100, 1), sent(20, 50, 2))
    made.applied(15)
    assert made.bytes == 50
    made.applied(20)
    assert made.bytes == 0


def test_the_lag_is_since_the_oldest_change_that_waits_and_heartbeats_are_no_changes() -> None:
    made = held(sent(10))
    assert made.lag_s(5, 100.0) == 0.0
    made.add(sent(20, committed_s=40))
    made.add(sent(30, committed_s=90))
    assert made.lag_s(10, 100.0) == 60.0
    made.applied(20)
    assert made.lag_s(20, 100.0) == 10.0


def test_what_a_former_capture_has_sent_is_as_old_as_this_one() -> None:
    made = held(tail=100, began=50.0)
    assert made.lag_s(40, 80.0) == 30.0
    assert made.lag_s(100, 80.0) == 0.0


def test_a_table_waits_since_its_own_oldest_change_until_its_newest() -> None:
    made = held(
        sent(10, committed_s=1, previous=0, tables=(1,)),
        sent(20, committed_s=2, previous=10, tables=(1, 2)),
        sent(30, previous=20),
        sent(40, committed_s=3, previous=30, tables=(2,)),
    )
    assert made.waits(0) == {1: Waits(1.0, 0, 20), 2: Waits(2.0, 10, 40)}
    assert made.waits(12) == {1: Waits(2.0, 12, 20), 2: Waits(2.0, 12, 40)}
    assert made.waits(20) == {2: Waits(3.0, 30, 40)}
    assert made.waits(40) == {}


def test_of_records_that_nobody_has_looked_at_any_table_may_wait() -> None:
    made = held(sent(10, 9, tables=None), sent(20, committed_s=8, previous=10, tables=(1,)), began=5.0)
    assert (made.unknown_since(3), made.waits(3)) == (5.0, {1: Waits(8.0, 10, 20)})
    assert made.unknown_since(10) is None


def test_a_capture_is_behind_by_its_newest_transaction_until_nothing_more_comes() -> None:
    backlog = Backlog(began=10.0)
    assert backlog.age(12.0) == 2.0
    backlog.decoded(11_500_000)
    backlog.decoded(0)  # a record without a transaction
    assert backlog.age(12.0) == 0.5
    backlog.idle()
    assert backlog.age(500.0) == 0.0
    backlog.decoded(13_000_000)
    assert backlog.age(14.0) == 1.0


def table(number: int = 0, state: str = "loaded", **more: Any) -> TableProgress:
    return TableProgress.model_validate({"table": number, "name": f"public.t{number}", "state": state} | more)


LEFT = {"left_at": datetime.fromtimestamp(40, UTC), "left": "0/10"}


@pytest.mark.parametrize(
    ("given", "behind_s", "waits", "wanted"),
    [
        pytest.param(table(), 0.0, None, (0.0, 0), id="nothing waits"),
        pytest.param(table(), 0.0, Waits(93.0, 200, 300), (7.0, 800), id="a change waits"),
        pytest.param(table(), 2.5, None, (2.5, 400), id="the capture is behind"),
        pytest.param(table(), 9.0, Waits(93.0, 200, 300), (9.0, 800), id="both"),
        pytest.param(table(), 0.0, Waits(103.0, 200, 300), (0.0, 800), id="clocks that differ"),
        pytest.param(table(state="quarantined", **LEFT), 0.0, None, (60.0, 984), id="quarantined"),
        pytest.param(table(state="resync", **LEFT), 0.0, Waits(93.0, 200, 300), (60.0, 984), id="loaded again"),
        pytest.param(table(state="loading"), 0.0, Waits(93.0, 200, 300), None, id="not loaded yet"),
    ],
)
def test_how_far_a_table_is_behind(
    given: TableProgress, behind_s: float, waits: Waits | None, wanted: tuple[float, int] | None
) -> None:
    captured = Captured(100.0, 1000, 600, behind_s, {} if waits is None else {0: waits})
    assert lags_of([given], captured).get("public.t0") == wanted


def test_of_very_many_tables_the_worst_of_the_rest_is_told() -> None:
    tables = [table(n, estimated_rows=n) for n in range(TABLES_KEPT + 2)]
    waits = {0: Waits(90.0, 900, 950), 1: Waits(95.0, 100, 200), TABLES_KEPT: Waits(99.0, 990, 995)}
    told = lags_of(tables, Captured(100.0, 1000, 1000, 0.0, waits))
    assert len(told) == TABLES_KEPT + 1
    assert (told[REST], told[f"public.t{TABLES_KEPT}"]) == ((10.0, 900), (1.0, 10))
