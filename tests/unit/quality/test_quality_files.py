"""Two Parquet files are compared as two tables are."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tailrace.app import create_app
from tailrace.quality import learners

ROWS = 90
"""Below what a classifier is trained with: that takes seconds."""


def table(seed: int, rows: int = ROWS) -> pa.Table:
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 400, rows).tolist()
    return pa.table(
        {
            "amount": rng.normal(50, 9, rows),
            "price": pa.array([Decimal(int(n)) / 100 for n in rng.integers(0, 999, rows)], pa.decimal128(9, 2)),
            "plan": pa.array(rng.choice(["basic", "family"], rows).tolist()).dictionary_encode(),
            "day": [date(2020, 1, 1) + timedelta(days=n) for n in days],
            "at": pa.array([datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in days], pa.timestamp("ns", "UTC")),
            "clock": pa.array([time(n % 24, 5) for n in days], pa.time32("s")),
            "took": pa.array([timedelta(minutes=n) for n in days], pa.duration("s")),
            "ok": rng.random(rows) < 0.5,
            "tags": [["a", "b"][: n % 3] for n in days],
            "nothing": pa.nulls(rows, pa.int32()),
        }
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for place, name in enumerate(("real", "made", "out"), 1):
        found[name] = tmp_path / f"{name}.parquet"
        pq.write_table(table(place), found[name])
    return found


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(create_app(), ["quality", *map(str, arguments)])


def told(result: Result) -> dict[str, Any]:
    assert result.stdout.startswith("{"), result.output
    (found,) = json.loads(result.stdout)["tables"]
    return found  # type: ignore[no-any-return]


def test_all_kinds_of_columns_are_compared(files: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "q.html"
    found = told(ask(files["real"], files["made"], "--json", "-o", page))
    compared = {column["name"]: (column["kind"], column["error"]) for column in found["columns"]}
    kinds = {name: kind for name, (kind, _) in compared.items()}
    assert kinds["amount"] == kinds["price"] == "number"
    assert kinds["day"] == kinds["at"] == kinds["clock"] == kinds["took"] == "moment"
    assert kinds["tags"] == "opaque"
    assert all(error < 0.35 for _, error in compared.values() if error is not None)
    assert {gate["verdict"] for gate in found["gates"]} == {"unmeasured"}
    assert page.read_text().startswith("<!doctype html>")


def test_copies_are_seen_beside_rows_that_were_held_out(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learners, "available", lambda: False)  # seconds, and not what is asked here
    for place, name in enumerate(("real", "out"), 1):
        pq.write_table(table(place, 800), files[name])
    result = ask(files["real"], files["real"], "--held-out", files["out"], "--json")
    gates = {gate["name"]: gate["verdict"] for gate in told(result)["gates"]}
    assert gates["copies"] == "fail"
    assert result.exit_code == 1


def test_what_cannot_be_compared_is_said(files: dict[str, Path], tmp_path: Path) -> None:
    other, text = tmp_path / "other.parquet", tmp_path / "text.parquet"
    pq.write_table(pa.table({"else": [1, 2]}), other)
    text.write_text("no table")
    for wrong in (other, text, tmp_path / "nowhere.parquet"):
        result = ask(files["real"], wrong)
        assert (result.exit_code, "quality.files" in result.output) == (2, True), result.output
    pq.write_table(table(2).drop_columns(["tags"]).set_column(0, "amount", pa.array(["x"] * ROWS)), other)
    (note,) = [n for n in told(ask(files["real"], other, "--json"))["notes"] if n.startswith("Not compared")]
    assert note == "Not compared, since the files differ in them: amount, tags."
