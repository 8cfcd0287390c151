"""500 tables with keys between them: drafted and planned in seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.databases import make_pair
from support.many_tables import many_rows, many_tables
from tailrace.app import create_app
from tailrace.embedded.postgres import EmbeddedPostgres

TABLES = 500
PLAN_SECONDS = 10.0


@pytest.fixture(scope="module")
def environment(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> dict[str, str]:
    pair = make_pair("many_planned", source, destination, many_tables(TABLES), many_rows(TABLES, 20))
    return {
        "TAILRACE_MASK_SECRET": "a secret of more than sixteen characters",
        "SOURCE_URL": pair.source_url,
        "DESTINATION_URL": pair.destination_url,
    }


def test_five_hundred_tables_are_drafted_and_planned_in_seconds(environment: dict[str, str], tmp_path: Path) -> None:
    """By the processor's clock: what else runs on the machine does not count."""
    runner, job = CliRunner(env=environment), str(tmp_path / "job.yaml")
    arguments = ["init", "--source", "SOURCE_URL", "--destination", "DESTINATION_URL", "-o", job]
    started = time.process_time()
    drafted = runner.invoke(create_app(), arguments)
    assert drafted.exit_code == 0, drafted.output + drafted.stderr
    between = time.process_time()
    planned = runner.invoke(create_app(), ["plan", job, "--json"])
    ended = time.process_time()
    assert planned.exit_code == 0, planned.stdout[-2000:]
    assert ended - between < PLAN_SECONDS
    assert between - started < 2 * PLAN_SECONDS
