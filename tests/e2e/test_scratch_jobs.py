"""Preset scratch: a job that makes a whole schema from nothing is drafted, planned, previewed, run and verified by itself."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from conftest import shared_databases
from support.drafts import Bench
from tailrace.demo.dump import pagila, structure_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime

FOLDER = shared_databases()
CORNERS = Path(__file__).parent.parent / "integration" / "catalogue_corner_cases.sql"


def dump_of(name: str) -> str:
    if FOLDER is None:
        return pagila()
    return gzip.decompress((FOLDER / f"{name}.sql.gz").read_bytes()).decode()


def database(name: str, *marks: pytest.MarkDecorator) -> object:
    if name != "pagila":  # pagila comes with the demo
        marks = (*marks, pytest.mark.skipif(FOLDER is None, reason="no dumps: set TAILRACE_TEST_DATA"))
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize(
    "name",
    [
        database("pagila"),
        database("northwind", pytest.mark.long),
        database("chinook", pytest.mark.long),
        database("synthea_small", pytest.mark.long),
    ],
)
def test_a_schema_is_made_from_nothing_untouched_by_hand(
    runtime: Runtime, source: EmbeddedPostgres, destination: EmbeddedPostgres, tmp_path: Path, name: str
) -> None:
    bench = Bench(source, destination, tmp_path)
    structure = structure_of(dump_of(name))
    bench.fill(f"scratch_{name}", structure, structure)

    text = bench.init("--preset", "scratch", "--rows", "120")

    assert "mode: generate" in text
    assert "TODO" not in text
    assert bench.plan() == (0, [])
    shown = bench.preview("--rows", "3")
    assert len(shown) > 10 or name == "synthea_small"
    assert all(set(row) == {"after"} for table in shown.values() for row in table["rows"])
    done = bench.run("run", "--embedded", **runtime.kafka_settings)
    assert done.returncode == 0, done.stdout + done.stderr
    verified = bench.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.long
def test_a_schema_of_corner_cases_is_made_from_nothing(
    runtime: Runtime, source: EmbeddedPostgres, destination: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Tables that others inherit from among them: each has the rows that it was told to have, not its heirs' as well."""
    bench = Bench(source, destination, tmp_path)
    structure = CORNERS.read_text().partition("INSERT INTO")[0]
    bench.fill("scratch_corners", structure, structure)
    assert "public.base:\n    mode: generate\n    rows: 60" in bench.init("--preset", "scratch", "--rows", "60")
    assert bench.plan()[0] == 0
    done = bench.run("run", "--embedded", **runtime.kafka_settings)
    assert done.returncode == 0, done.stdout + done.stderr
    verified = bench.run("verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
