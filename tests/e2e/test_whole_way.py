"""init → plan → run → verify, untouched by hand: real databases, made and found destinations, one and three replicas, kills."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from conftest import shared_databases
from support.doomed import KILLED, SMALL_BATCHES, three_of_which_one_dies
from support.installation import Installation, eventually
from support.journey import make_journey, unlike
from support.nasty import SECRET, Nasty, Regime, joined, multisets
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_shared.job.load import parse_job
from tailrace_shared.messages import RunRecord
from tailrace_shared.plan.model import Plan
from tailrace_shared.types import quote_ident

DUMPS = shared_databases()


def ways() -> Iterator[object]:
    for database in ("pagila", "chinook", "northwind", "synthea_small"):
        elsewhere = [pytest.mark.skipif(DUMPS is None, reason="no dumps: set TAILRACE_TEST_DATA"), pytest.mark.long]
        for regime in get_args(Regime):
            # The nasty schema goes the third way, bypass; this one with the rest.
            marks = elsewhere if database != "pagila" else [pytest.mark.long] if regime == "bypass" else []
            yield pytest.param((database, regime), id=f"{database}-{regime}", marks=marks)


PEOPLE = {
    "pagila": "public.customer", "chinook": "public.customer", "northwind": "public.customers", "synthea_small": "public.patients"
}  # fmt: skip
"""Per database a table with personal data."""


@dataclass
class Arrived:
    """After a first run by one replica of each service."""

    journey: Nasty
    plan: Plan
    installation: Installation
    expected: object
    """The destination's structure."""
    rows: dict[str, tuple[int, int]]
    people: dict[str, Any]
    """What ``tailrace preview`` showed, before the run, of a table with personal data."""


@pytest.fixture(scope="module", params=ways())
def arrived(
    request: pytest.FixtureRequest,
    runtime: Runtime,
    source: EmbeddedPostgres,
    destination: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Arrived]:
    database, regime = request.param
    journey = make_journey(database, regime, source, destination, tmp_path_factory.mktemp("way"), DUMPS)
    journey.draft()
    planned = journey.tailrace("plan", str(journey.job_file), "--json")
    assert planned.exit_code == 0, planned.stdout
    shown = journey.tailrace("preview", str(journey.job_file), "--json", "--rows", "1000", "--table", PEOPLE[database])
    assert shown.exit_code == 0, shown.stdout
    (people,) = json.loads(shown.stdout)["tables"]
    expected = journey.expected()
    with Installation(runtime, journey.pair, mask_secret=SECRET) as installation:
        assert_done(installation.run(journey.job, seconds=120))
        plan = journey.plan()
        yield Arrived(journey, plan, installation, expected, multisets(journey, plan), people)


def assert_done(record: RunRecord) -> None:
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []


def assert_the_same(arrived: Arrived) -> None:
    assert multisets(arrived.journey, arrived.plan) == arrived.rows
    assert arrived.journey.as_is() == arrived.expected


def test_the_draft_carries_every_table_in_the_way_that_the_destination_allows(arrived: Arrived) -> None:
    carried = {str(table.name) for table in arrived.plan.tables if table.mode != "exclude"}
    assert carried == set(arrived.journey.pair.tables("source")), "as they are named here, none needs quotes"
    into = parse_job(arrived.journey.job).destination
    assert (into.mode, into.constraints) == {
        "create": ("create", "bypass"), "bypass": ("existing", "bypass"), "respect": ("existing", "respect")
    }[arrived.journey.regime]  # fmt: skip


def test_unmasked_columns_hold_the_same_rows_and_masked_ones_do_not(arrived: Arrived) -> None:
    masked, found = unlike(arrived.journey, arrived.plan)
    assert found == []
    assert masked > 8
    assert sum(count for count, _ in arrived.rows.values()) > 3000


def test_a_table_holds_what_the_preview_showed(arrived: Arrived) -> None:
    """But for moments, whose text follows the session's zone."""
    table = next(table for table in arrived.plan.tables if str(table.name) == arrived.people["table"])
    names = [c.name for c in table.columns if not c.type.family.startswith("timestamp")]
    query = f"SELECT {', '.join(f'{quote_ident(name)}::text' for name in names)} FROM {table.name}"
    written = Counter(tuple(row) for row in arrived.journey.pair.fetch("destination", query))
    shown = Counter(tuple(row["after"][name] for name in names) for row in arrived.people["rows"])
    assert len(shown) > 20
    assert written == shown
    assert any(row["before"] != row["after"] for row in arrived.people["rows"])


def test_every_foreign_key_joins_as_many_rows_as_in_the_source(arrived: Arrived) -> None:
    pair, tables = arrived.journey.pair, {str(table.name) for table in arrived.plan.tables}
    joins = joined(pair, "source", tables)
    assert len(joins) > 8
    assert joined(pair, "destination", tables) == joins


def test_the_structure_is_as_it_was_or_as_the_source_has_it(arrived: Arrived) -> None:
    assert arrived.journey.as_is() == arrived.expected


def test_verify_agrees_afterwards(arrived: Arrived) -> None:
    verified = arrived.journey.tailrace("verify", str(arrived.journey.job_file), "--json")
    assert verified.exit_code == 0, [c for c in json.loads(verified.stdout)["checks"] if not c["passed"]]


def test_three_replicas_of_each_service_of_which_one_each_is_killed_make_the_same(
    arrived: Arrived, tmp_path: Path
) -> None:
    arrived.journey.empty(arrived.plan)
    with three_of_which_one_dies(arrived.installation, tmp_path):
        assert_done(arrived.installation.run(arrived.journey.job + SMALL_BATCHES, seconds=120))
    assert_the_same(arrived)


@pytest.mark.long
@pytest.mark.parametrize("service", KILLED)
def test_the_only_replica_of_a_service_is_killed_and_another_comes(
    arrived: Arrived, runtime: Runtime, service: str
) -> None:
    """With its only reader the snapshot is gone: everything is undone, and a second attempt does it anew."""
    arrived.journey.empty(arrived.plan)
    with Installation(runtime, arrived.journey.pair, mask_secret=SECRET, replicas={service: 0}) as installation:
        (doomed,) = installation.scale(service, 1, TAILRACE_CRASH_AT=KILLED[service])
        run = installation.submit(arrived.journey.job + SMALL_BATCHES)
        eventually(lambda: not doomed.alive, 60, f"{KILLED[service]} was reached")
        installation.scale(service, 1)
        record = installation.wait(run, seconds=120)
    assert_done(record)
    assert record.attempt == (2 if service == "reader" else 1)
    assert_the_same(arrived)
