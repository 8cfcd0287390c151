"""The instruments of continuous runs exist from the beginning, where somebody could know them, and go with the run."""

from __future__ import annotations

from math import inf

import pytest

from tailrace_shared.freshness import TableLag
from tailrace_shared.messages import ServiceName
from tailrace_shared.service.metrics import Metrics

LANE = {"run": "R", "lane": "0"}
EVERYWHERE = {"tailrace_changes_total": 0.0}
LAG = {"tailrace_lane_lag_seconds": 0.0, "tailrace_lane_lag_bytes": 0.0}
SLOT = {"tailrace_slot_retained_bytes": 0.0, "tailrace_slot_safe_bytes": inf, "tailrace_changes_held_bytes": 0.0}


@pytest.mark.parametrize(
    ("service", "told"),
    [("reader", EVERYWHERE | LAG | SLOT), ("generator", EVERYWHERE), ("writer", EVERYWHERE | LAG)],
)
def test_a_continuous_run_has_its_series_before_anything_happens(service: ServiceName, told: dict[str, float]) -> None:
    metrics = Metrics(service)
    metrics.join("R", continuous=True)
    value = metrics.registry.get_sample_value
    assert {name: value(name, LANE) for name in told} == told
    assert value("tailrace_quarantined_tables", {"run": "R"}) == (0.0 if service == "writer" else None)
    if service == "reader":
        metrics.lane.held.labels("R", 0).set(7)
        metrics.lane.rest("R")
        assert value("tailrace_changes_held_bytes", LANE) == 0
    metrics.leave("R")
    assert {value(name, LANE) for name in told} == {None}


def test_a_run_that_carries_its_source_once_has_none_of_them() -> None:
    metrics = Metrics("reader")
    metrics.join("R")
    assert metrics.registry.get_sample_value("tailrace_lane_lag_seconds", LANE) is None


def test_tables_are_told_by_whoever_captures_and_no_longer_than_that() -> None:
    metrics = Metrics("reader")
    metrics.join("R", continuous=True)

    def told(table: str) -> tuple[float | None, float | None]:
        value = metrics.registry.get_sample_value
        labels = LANE | {"table": table}
        return value("tailrace_table_lag_seconds", labels), value("tailrace_table_lag_bytes", labels)

    metrics.lane.tell_tables("R", {"public.a": TableLag(1.5, 7), "public.b": TableLag(0.0, 0)})
    assert [told(t) for t in ("public.a", "public.b")] == [(1.5, 7), (0, 0)]
    metrics.lane.tell_tables("R", {"public.a": TableLag(2.5, 9)})
    assert [told(t) for t in ("public.a", "public.b")] == [(2.5, 9), (None, None)]
    metrics.lane.rest("R")
    assert told("public.a") == (None, None)
    metrics.lane.tell_tables("R", {"public.a": TableLag(2.5, 9)})
    metrics.leave("R")
    assert told("public.a") == (None, None)
