"""500 tables with keys between them: a run of the drafted job works, in both regimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.databases import make_pair
from support.installation import Installation
from support.many_tables import DOMAINS, many_rows, many_tables
from support.nasty import JOINS, SECRET
from tailrace.app import create_app
from tailrace.embedded.postgres import EmbeddedPostgres

TABLES, ROWS = 500, 20
RUN_SECONDS = 600
"""A quiet machine takes half a minute."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.mark.parametrize("regime", ["bypass", "respect"])
def test_five_hundred_tables_arrive(
    install: Callable[..., Installation],
    source: EmbeddedPostgres,
    destination: EmbeddedPostgres,
    tmp_path: Path,
    regime: str,
) -> None:
    pair = make_pair(f"many_{regime}", source, destination, many_tables(TABLES), many_rows(TABLES, ROWS))
    if regime == "respect":  # tables that refer to themselves
        pair.grant("destination", "replica role")
    environment = {
        "TAILRACE_MASK_SECRET": SECRET,
        "SOURCE_URL": pair.source_url,
        "DESTINATION_URL": pair.destination_url,
    }
    job = tmp_path / "job.yaml"
    arguments = ["init", "--source", "SOURCE_URL", "--destination", "DESTINATION_URL", "-o", str(job)]
    drafted = CliRunner(env=environment).invoke(create_app(), arguments)
    assert drafted.exit_code == 0, drafted.output + drafted.stderr
    before = pair.catalogue()

    text = job.read_text().replace("constraints: bypass", f"constraints: {regime}")
    record = install(pair, mask_secret=SECRET, replicas={"generator": 2}).run(text, seconds=RUN_SECONDS)

    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert pair.catalogue() == before
    counts = {table: rows for table, (rows, _) in pair.digest().items()}
    assert len(counts) == TABLES
    assert set(counts.values()) == {ROWS}
    keys = pair.fetch("source", JOINS)
    assert len(keys) > 2 * TABLES
    for key in keys[::10]:
        assert pair.value("destination", key["joined"]) == pair.value("source", key["joined"]), key["key"]
    assert pair.contains("many.test") == []
    assert {table.split(".")[0] for table in counts} == set(DOMAINS)
