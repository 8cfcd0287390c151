"""Published records as metrics: bounded labels, ended runs for a while, nothing of a value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from support.writing import job
from tailrace_shared.freshness import REST, TABLES_KEPT
from tailrace_shared.messages import (
    Check,
    LaneProgress,
    ReplicaLost,
    RunRecord,
    SlotState,
    TableProgress,
)
from tailrace_shared.service.metrics import Metrics
from tailrace_writer.board import ENDED_KEPT, FAMILIES, KINDS, RunBoard, kind_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def record(run: str = "R", state: str = "loading", **more: Any) -> RunRecord:
    given: dict[str, Any] = {
        "run": run,
        "version": 1,
        "state": state,
        "job": job(),
        "submitted_at": NOW,
        "updated_at": NOW,
    }
    if state in ("done", "failed", "cancelled"):
        given["finished_at"] = NOW
    return RunRecord.model_validate(given | more)


def board(*records: RunRecord, replica: str = "writer-1", at: datetime = NOW) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(RunBoard(lambda: records, replica, 3600.0, lambda: at))
    return registry


def test_checks_are_counted_by_kind_and_all_kinds_are_there() -> None:
    checks = (
        Check(name="rows public.a", passed=True),
        Check(name="foreign key public.a a_b_fkey", passed=False),
        Check(name="leak public.a.email", passed=False),
    )
    registry = board(record(state="failed", checks=checks))

    def count(kind: str, result: str) -> float | None:
        return registry.get_sample_value("tailrace_run_checks", {"run": "R", "kind": kind, "result": result})

    assert [count("rows", "passed"), count("foreign key", "failed"), count("leak", "failed")] == [1, 1, 1]
    assert all(count(kind, result) is not None for kind in (*KINDS, "other") for result in ("passed", "failed"))
    outcome = {
        o: registry.get_sample_value("tailrace_run_outcome", {"run": "R", "outcome": o}) for o in ("done", "failed")
    }
    assert outcome == {"done": 0, "failed": 1}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("not null public.a", "not null"), ("structure", "structure"), ("canaries public.a", "canaries"),
        ("live public.a", "live"), ("something new", "other"), ("checks", "other"),
    ],
)  # fmt: skip
def test_the_kind_of_a_check(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_an_ended_run_is_told_for_its_time_and_only_the_latest_of_many() -> None:
    def there(registry: CollectorRegistry, run: str) -> bool:
        return registry.get_sample_value("tailrace_run_attempt", {"run": run}) is not None

    assert there(board(record(state="done"), at=NOW + timedelta(minutes=59)), "R")
    assert not there(board(record(state="done"), at=NOW + timedelta(minutes=61)), "R")
    many = [record(f"R{n}", "done", finished_at=NOW + timedelta(seconds=n)) for n in range(ENDED_KEPT + 1)]
    registry = board(*many, record("U", updated_at=NOW - timedelta(days=9)))
    assert [there(registry, run) for run in ("R0", "R1", f"R{ENDED_KEPT}", "U")] == [False, True, True, True]


def test_progress_per_table_comes_from_the_leader_alone_and_is_bounded() -> None:
    tables = tuple(
        TableProgress(table=n, name=f"public.t{n}", estimated_rows=n, rows_loaded=1) for n in range(TABLES_KEPT + 50)
    )
    led = board(record(leader="writer-1", tables=tables))

    def loaded(registry: CollectorRegistry, table: str) -> float | None:
        return registry.get_sample_value("tailrace_run_table_rows", {"run": "R", "table": table, "rows": "loaded"})

    assert (loaded(led, f"public.t{TABLES_KEPT + 49}"), loaded(led, "public.t0"), loaded(led, REST)) == (1, None, 50)
    assert loaded(board(record(leader="writer-2", tables=tables)), REST) is None
    assert led.get_sample_value("tailrace_run_tables", {"run": "R", "state": "waiting"}) == TABLES_KEPT + 50


def test_freshness_per_table_comes_from_the_leader_and_grows_for_a_table_that_has_left() -> None:
    tables = (
        TableProgress(table=0, name="public.a", state="loaded", lag_s=1.5, lag_bytes=7),
        TableProgress(table=1, name="public.b", state="quarantined", left_at=NOW - timedelta(minutes=1), lag_bytes=9),
        TableProgress(table=2, name="public.c", state="loading"),
    )
    lane = LaneProgress(lane=0, position="0/1")
    led = board(record(state="streaming", leader="writer-1", tables=tables, lanes=(lane,)))

    def told(registry: CollectorRegistry, unit: str, table: str) -> float | None:
        labels = {"run": "R", "lane": "0", "table": table}
        return registry.get_sample_value(f"tailrace_table_lag_{unit}", labels)

    assert [told(led, "seconds", f"public.{t}") for t in "abc"] == [1.5, 60, None]
    assert [told(led, "bytes", f"public.{t}") for t in "abc"] == [7, 9, None]
    other = board(record(state="streaming", leader="writer-2", tables=tables, lanes=(lane,)))
    assert told(other, "seconds", "public.a") is None


def test_losses_protection_and_the_slot_are_told() -> None:
    lost = ReplicaLost(service="generator", replica="generator-1", at=NOW, cause="memory")
    lane = LaneProgress(lane=0, position="0/1", slot=SlotState(name="s", status="extended"))
    registry = board(record(lost=(lost,), protection={"masked": 3, "duplicated": 2}, unprotected=1, lanes=(lane,)))
    value = registry.get_sample_value
    last = "tailrace_run_replica_lost_timestamp_seconds"
    assert value(last, {"run": "R", "stage": "generator", "cause": "memory"}) == NOW.timestamp()
    assert value(last, {"run": "R", "stage": "generator", "cause": "unknown"}) == 0
    assert value("tailrace_run_columns", {"run": "R", "protection": "masked"}) == 3
    assert value("tailrace_run_columns", {"run": "R", "protection": "mocked"}) == 0
    assert value("tailrace_run_unprotected_columns", {"run": "R"}) == 1
    assert value("tailrace_slot_status", {"run": "R", "lane": "0", "status": "extended"}) == 1


def test_the_board_has_no_name_that_an_instrument_of_the_writer_has() -> None:
    metrics = Metrics("writer")
    metrics.registry.register(RunBoard(lambda: (), "writer-1", 3600.0))


def test_every_sample_belongs_to_a_declared_family_with_its_labels() -> None:
    lane = LaneProgress(lane=0, position="0/1")
    tables = (TableProgress(table=0, name="public.a", lag_s=0.0),)
    declared = {f.name: set(f.labels) for f in FAMILIES}
    seen = {
        sample.name: set(sample.labels)
        for r in (record(leader="writer-1", lanes=(lane,), tables=tables), record("E", "done"))
        for family in board(r).collect()
        for sample in family.samples
    }
    assert seen == declared, "and no family is never told"
