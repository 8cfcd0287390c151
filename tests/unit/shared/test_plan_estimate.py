"""The estimate of a plan: sizes add up, and what is rebuilt or kept makes it longer."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.estimate import BYTES_PER_S, FIXED_S, ROWS_PER_S, estimate
from tailrace_shared.plan.model import DataKey, DdlStep, Fingerprints, Plan, PlannedRange, PlannedTable


def name(of: str) -> TableName:
    return TableName(schema_name="public", name=of)


def table(number: int, rows: float, *sizes: int, mode: str = "carry") -> PlannedTable:
    ranges = [PlannedRange(number=n, leaf=0, low=0, high=None, estimated_bytes=s) for n, s in enumerate(sizes)]
    given = {"number": number, "name": name(f"t{number}"), "mode": mode, "estimated_rows": rows, "ranges": ranges}
    return PlannedTable.model_validate(given)


def plan(*tables: PlannedTable, **changes: Any) -> Plan:
    given = {
        "release": "0", "run": "01J", "attempt": 1, "job_digest": "", "source_system": "1", "destination_system": "2",
        "regime": "bypass", "tables": tables, "key": DataKey(id="", wrapped=""),
        "fingerprints": Fingerprints(mask_secret="", catalogue="", pools=""),
    }  # fmt: skip
    return Plan.model_validate(given | changes)


INDEX = DdlStep(number=0, kind="index", table=name("t0"), name="i", drop="", rebuild=())


def test_many_small_rows_are_bound_by_rows_and_few_large_ones_by_bytes() -> None:
    small = estimate(plan(table(0, 10 * ROWS_PER_S, 1000)))
    large = estimate(plan(table(0, 10, BYTES_PER_S * 4, BYTES_PER_S)))
    assert small.seconds_low == pytest.approx(FIXED_S + 10)
    assert large.seconds_low == pytest.approx(FIXED_S + 5)
    assert large.bytes == 5 * BYTES_PER_S


def test_a_table_without_statistics_is_estimated_by_its_bytes_and_an_emptied_one_counts_nothing() -> None:
    found = estimate(plan(table(0, -1, BYTES_PER_S), table(1, 99, 99, mode="truncate")))
    assert found.rows == ROWS_PER_S
    assert [(t.table, t.rows) for t in found.tables] == [("public.t0", None)]


def test_rebuilding_and_above_all_keeping_constraints_takes_longer() -> None:
    bare, rebuilt = estimate(plan(table(0, ROWS_PER_S))), estimate(plan(table(0, ROWS_PER_S), ddl=(INDEX,)))
    kept = estimate(plan(table(0, ROWS_PER_S), regime="respect"))
    assert bare.seconds_high == bare.seconds_low
    assert bare.seconds_high < rebuilt.seconds_high < kept.seconds_high
