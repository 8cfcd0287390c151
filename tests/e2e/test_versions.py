"""Source and destination of every supported version, equal and unequal: all types, the nasty schema, pagila."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance import database as made
from conformance.pair import JOB, make_conformance_pair, unequal_masks
from support.databases import make_pair
from support.installation import Installation
from support.nasty import SECRET, differences, joined, make_nasty
from support.old_servers import available, start_server
from tailrace.demo.dump import pagila, structure_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime

PAIRS = ((14, 14), (15, 15), (16, 16), (17, 17), (14, 18), (18, 16), (16, 17), (17, 15))
"""Every version as source and destination of its own, then upwards and downwards."""
PAGILA = """\
name: pagila
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
default_mode: duplicate
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not available(), reason="no programs of older servers are pinned for this machine"),
]


@dataclass(frozen=True)
class Servers:
    source: EmbeddedPostgres
    destination: EmbeddedPostgres
    label: str


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}-to-{pair[1]}")
def servers(request: pytest.FixtureRequest, runtime: Runtime) -> Servers:
    one, other = request.param
    return Servers(
        start_server(runtime, one, "source"), start_server(runtime, other, "destination"), f"from_{one}_to_{other}"
    )


def test_every_type_arrives_byte_equal(install: Callable[..., Installation], servers: Servers) -> None:
    pair, cases = make_conformance_pair(f"types_{servers.label}", servers.source, servers.destination)
    record = install(pair).run(JOB, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert len(cases) > 200
    urls = (pair.source.url(pair.name), pair.destination.url(pair.name))
    assert asyncio.run(made.differing(*urls, cases)) == []
    assert unequal_masks(pair) == []


def test_the_nasty_schema_runs_untouched(
    install: Callable[..., Installation], servers: Servers, tmp_path: Path
) -> None:
    nasty = make_nasty(f"nasty_{servers.label}", "bypass", servers.source, servers.destination, tmp_path)
    nasty.draft()
    before, plan = nasty.catalogue(), nasty.plan()
    record = install(nasty.pair, mask_secret=SECRET).run(nasty.job, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert nasty.catalogue() == before
    assert differences(nasty, plan) == []
    tables = {str(table.name) for table in plan.tables}
    assert joined(nasty.pair, "destination", tables) == joined(nasty.pair, "source", tables) != {}
    verified = nasty.tailrace("verify", str(nasty.job_file))
    assert verified.exit_code == 0, verified.stdout


def test_pagila_arrives_row_by_row(install: Callable[..., Installation], servers: Servers) -> None:
    name = f"pagila_{servers.label}"
    pair = make_pair(name, servers.source, servers.destination, pagila(), structure=structure_of(pagila()))
    before = pair.catalogue()
    record = install(pair).run(PAGILA, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert pair.digest() == pair.digest("source")
    assert pair.catalogue() == before
