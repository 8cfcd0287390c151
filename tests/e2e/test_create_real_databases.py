"""Databases that nobody of this project made, into destinations that hold nothing: structure and rows equal to the source's."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from conftest import shared_databases
from support.databases import make_pair
from support.installation import Installation
from support.structure import structure
from tailrace.demo.dump import pagila
from tailrace.embedded.postgres import EmbeddedPostgres

FOLDER = shared_databases()
JOB = """\
name: real
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: create}
policy: pass
limits: {range_bytes: 262144, partitions: 3}
"""


def elsewhere(name: str) -> object:
    marks = (pytest.mark.long, pytest.mark.skipif(FOLDER is None, reason="no dumps: set TAILRACE_TEST_DATA"))
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", ["pagila", *map(elsewhere, ("northwind", "chinook", "synthea_small"))])
def test_structure_and_rows_are_the_sources(
    install: Callable[..., Installation], source: EmbeddedPostgres, destination: EmbeddedPostgres, name: str
) -> None:
    dump = pagila() if FOLDER is None else gzip.decompress((FOLDER / f"{name}.sql.gz").read_bytes()).decode()
    pair = make_pair(f"new_{name}", source, destination, dump, "ANALYZE;", structure="")
    record = install(pair).run(JOB, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert structure(pair, "destination") == structure(pair, "source")
    assert pair.digest() == pair.digest("source")
    assert sum(rows for rows, _ in pair.digest().values()) > 3000
