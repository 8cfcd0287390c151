"""A job drafted from two databases plans as it is, and a preview shows what a run writes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.testing import CliRunner

from conftest import shared_databases
from support.databases import Pair
from tailrace.app import create_app
from tailrace.demo.dump import pagila, structure_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace.init_rules import Preset

DUMPS = shared_databases()
CORNERS = Path(__file__).parent.parent / "integration" / "catalogue_corner_cases.sql"
SECRET = "a secret of more than sixteen characters"
RUN_SECONDS = 120


class Bench:
    """A source and a destination by name, and the command over them."""

    def __init__(self, source: EmbeddedPostgres, destination: EmbeddedPostgres, folder: Path) -> None:
        self.servers = {"source": source, "destination": destination}
        self.job = str(folder / "job.yaml")
        self.environment = {"TAILRACE_MASK_SECRET": SECRET}

    def fill(self, name: str, dump: str, structure: str) -> None:
        """The databases of that name, from now on the ones that the command sees."""
        for side, script in (("source", dump + "\nANALYZE;"), ("destination", structure)):
            server = self.servers[side]
            server.create_database(name)
            server.run_sql(script, name)
            self.environment[f"{side.upper()}_URL"] = server.url(name)

    def tailrace(self, *arguments: str) -> Any:
        return CliRunner(env=self.environment).invoke(create_app(), list(arguments))

    def init(self, *options: str) -> str:
        """The drafted job."""
        ends = ("--source", "SOURCE_URL", "--destination", "${DESTINATION_URL}", "-o", self.job, "--force")
        result = self.tailrace("init", *ends, *options)
        assert result.exit_code == 0, result.output + result.stderr
        return Path(self.job).read_text()

    def plan(self) -> tuple[int, list[dict[str, str]]]:
        """Exit code and the errors."""
        result = self.tailrace("plan", self.job, "--json")
        return result.exit_code, [p for p in json.loads(result.stdout)["problems"] if p["severity"] == "error"]

    def preview(self, *options: str) -> dict[str, dict[str, Any]]:
        """Previews by table."""
        result = self.tailrace("preview", self.job, "--json", *options)
        assert result.exit_code == 0, result.output + result.stderr
        return {one["table"]: one for one in json.loads(result.stdout)["tables"]}


@pytest.fixture
def bench(source: EmbeddedPostgres, destination: EmbeddedPostgres, tmp_path: Path) -> Bench:
    return Bench(source, destination, tmp_path)


@pytest.fixture(scope="module")
def pagila_bench(
    source: EmbeddedPostgres, destination: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    bench = Bench(source, destination, tmp_path_factory.mktemp("init"))
    bench.fill("drafted_pagila", pagila(), structure_of(pagila()))
    return bench


@pytest.mark.parametrize("preset", get_args(Preset))
def test_a_drafted_job_plans_as_it_is(pagila_bench: Bench, preset: str) -> None:
    text = pagila_bench.init("--preset", preset)
    assert pagila_bench.plan() == (0, [])
    assert "public.customer_list" in text  # a view, said to be passed over
    assert "follows public.customer.customer_id" in text


def test_without_a_destination_the_sources_structure_is_assumed(pagila_bench: Bench) -> None:
    result = pagila_bench.tailrace("init", "--source", "SOURCE_URL", "--schema", "public")
    assert result.exit_code == 0
    assert "No destination was read" in result.stdout
    Path(pagila_bench.job).write_text(result.stdout)
    assert pagila_bench.plan() == (0, [])


def test_one_database_for_both_is_refused(pagila_bench: Bench) -> None:
    result = pagila_bench.tailrace("init", "--source", "SOURCE_URL", "--destination", "SOURCE_URL")
    assert result.exit_code == 2
    assert "the same database" in result.stderr


def test_a_schema_that_is_not_there_is_refused(pagila_bench: Bench) -> None:
    result = pagila_bench.tailrace("init", "--source", "SOURCE_URL", "--schema", "nowhere")
    assert result.exit_code == 2
    assert "no table in nowhere" in result.stderr


def test_a_preview_shows_rows_before_and_after_and_keys_still_join(pagila_bench: Bench) -> None:
    pagila_bench.init()
    found = pagila_bench.preview("--rows", "1000", "--table", "customer", "--table", "public.address")
    assert set(found) == {"public.customer", "public.address"}
    customers, addresses = (found[t]["rows"] for t in ("public.customer", "public.address"))
    assert len(customers) == 599
    assert customers[0]["before"]["email"].endswith("@sakilacustomer.org")
    assert not any(row["after"]["email"].endswith("@sakilacustomer.org") for row in customers)
    assert all(row["before"]["create_date"] == row["after"]["create_date"] for row in customers)
    known = {row["after"]["address_id"] for row in addresses}
    assert all(row["after"]["address_id"] in known for row in customers)
    assert found == pagila_bench.preview("--rows", "1000", "--table", "customer", "--table", "public.address")


def test_a_preview_of_the_after_alone_holds_no_original_value(pagila_bench: Bench) -> None:
    pagila_bench.init()
    options = ("--rows", "5", "--table", "customer", "--table", "address")
    whole = pagila_bench.tailrace("preview", pagila_bench.job, *options).stdout
    shown = pagila_bench.tailrace("preview", pagila_bench.job, *options, "--after-only")
    assert shown.exit_code == 0
    assert "mock.email" in shown.stdout
    for original in ("sakilacustomer", "MARY", "47 MySakila Drive"):
        assert original in whole
        assert original not in shown.stdout


def test_another_secret_previews_another_result(pagila_bench: Bench) -> None:
    pagila_bench.init()
    own = pagila_bench.preview("--table", "public.actor")
    pagila_bench.environment["TAILRACE_MASK_SECRET"] = SECRET[::-1]
    try:
        assert pagila_bench.preview("--table", "public.actor") != own
    finally:
        pagila_bench.environment["TAILRACE_MASK_SECRET"] = SECRET


def test_a_schema_of_corner_cases_is_drafted_and_what_it_cannot_carry_is_said(bench: Bench) -> None:
    bench.fill("drafted_corners", CORNERS.read_text(), CORNERS.read_text().partition("INSERT INTO")[0])
    text = bench.init()
    assert bench.plan() == (0, [])
    assert "public.base: {mode: exclude}" in text
    assert "other tables inherit from it" in text
    assert "doubled" in text
    assert "generated by the destination itself" in text
    assert len(bench.preview()) > 3


@pytest.mark.skipif(DUMPS is None, reason="no dumps: set TAILRACE_TEST_DATA")
@pytest.mark.parametrize("database", ["chinook", "northwind", "synthea_small"])
def test_well_known_databases_are_drafted_and_planned(bench: Bench, database: str) -> None:
    assert DUMPS is not None
    dump = gzip.decompress((DUMPS / f"{database}.sql.gz").read_bytes()).decode()
    bench.fill(f"drafted_{database}", dump, structure_of(dump))
    bench.init()
    assert bench.plan() == (0, [])
    assert all(len(one["rows"]) <= 2 for one in bench.preview("--rows", "2").values())


def test_a_run_of_a_drafted_job_writes_what_the_preview_showed(
    runtime: Runtime,
    new_shop: Callable[..., Pair],
    tmp_path: Path,
    source: EmbeddedPostgres,
    destination: EmbeddedPostgres,
) -> None:
    pair = new_shop("drafted_shop", 200)
    bench = Bench(source, destination, tmp_path)
    bench.environment |= {"SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url}
    bench.init()
    shown = bench.preview("--rows", "1000", "--table", "customer")["public.customer"]
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", "run", bench.job, "--embedded"],
        env=os.environ | bench.environment | runtime.kafka_settings,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    columns = [
        c["name"] for c in shown["columns"] if c["name"] != "created"
    ]  # a moment: its text follows the session's zone
    written = {
        tuple(row)
        for row in pair.fetch("destination", f"SELECT {', '.join(f'{c}::text' for c in columns)} FROM customer")
    }
    assert len(written) == 200
    assert written == {tuple(row["after"][c] for c in columns) for row in shown["rows"]}
