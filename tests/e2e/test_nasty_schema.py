"""A schema that holds everything tools trip over: init, plan, run and verify by the command, untouched by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.doomed import SMALL_BATCHES, three_of_which_one_dies
from support.installation import Installation
from support.nasty import SECRET, TABLES, Nasty, differences, joined, make_nasty, multisets
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_shared.plan.model import Plan

WAYS = ["bypass", *(pytest.param(regime, marks=pytest.mark.long) for regime in ("create", "respect"))]
"""Those of the real databases that everybody runs are the other two."""


@pytest.fixture(scope="module", params=WAYS)
def nasty(
    request: pytest.FixtureRequest,
    source: EmbeddedPostgres,
    destination: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Nasty:
    made = make_nasty(f"nasty_{request.param}", request.param, source, destination, tmp_path_factory.mktemp("nasty"))
    made.draft()
    return made


@pytest.fixture(scope="module")
def ran(nasty: Nasty, runtime: Runtime) -> Iterator[tuple[Nasty, Installation, Plan, Sequence[object]]]:
    """After a first run, with one replica of each service; and the catalogue from before it."""
    before = nasty.expected()
    with Installation(runtime, nasty.pair, mask_secret=SECRET) as installation:
        record = installation.run(nasty.job, seconds=120)
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
        yield nasty, installation, nasty.plan(), before


Ran = tuple[Nasty, Installation, Plan, Sequence[object]]


def test_init_leaves_nothing_to_decide_and_carries_every_table(nasty: Nasty) -> None:
    planned = nasty.tailrace("plan", str(nasty.job_file), "--json")
    assert planned.exit_code == 0, planned.stdout
    names = [t["name"] for t in json.loads(planned.stdout)["plan"]["tables"]]
    carried = [row[0] for row in nasty.pair.fetch("source", TABLES)]
    assert sorted(f"{n['schema_name']}.{n['name']}" for n in names) == sorted(carried)


def test_the_catalogue_is_as_it_was(ran: Ran) -> None:
    nasty, _, _, before = ran
    after = nasty.as_is()
    assert [row for row in before if row not in after] == []
    assert [row for row in after if row not in before] == []


def test_unmasked_columns_hold_the_same_rows_and_masked_ones_do_not(ran: Ran) -> None:
    nasty, _, plan, _ = ran
    assert differences(nasty, plan) == []
    assert sum(count for count, _ in nasty.pair.digest().values()) > 5000
    assert nasty.pair.contains("Nasty-Mail") == nasty.pair.contains("REWRITTEN") == []


def test_every_foreign_key_joins_as_many_rows_as_in_the_source(ran: Ran) -> None:
    nasty, _, plan, _ = ran
    tables = {str(table.name) for table in plan.tables}
    joins = joined(nasty.pair, "source", tables)
    assert len(joins) > 18
    assert joined(nasty.pair, "destination", tables) == joins


def test_three_replicas_of_each_service_of_which_one_each_is_killed_make_the_same(ran: Ran, tmp_path: Path) -> None:
    nasty, installation, plan, before = ran
    digest = multisets(nasty, plan)
    nasty.empty(plan)
    with three_of_which_one_dies(installation, tmp_path):
        record = installation.run(nasty.job + SMALL_BATCHES, seconds=120)
    assert record.state == "done", record.failure
    assert multisets(nasty, plan) == digest
    assert nasty.as_is() == before


def test_verify_holds_and_inserts_through_sequences_work(ran: Ran) -> None:
    nasty, _, _, _ = ran
    verified = nasty.tailrace("verify", str(nasty.job_file), "--json")
    assert verified.exit_code == 0, [c for c in json.loads(verified.stdout)["checks"] if not c["passed"]]
    new = (
        "INSERT INTO paragraph (book, chapter, words) SELECT book, number, 'new' FROM chapter LIMIT 1 RETURNING paragraph_id",
        "INSERT INTO only_generated DEFAULT VALUES RETURNING id",
        "INSERT INTO receipt SELECT gen_random_uuid(), region, booked, booking_id FROM booking LIMIT 1 RETURNING number",
    )
    for statement in new:
        assert isinstance(nasty.pair.value("destination", f"WITH made AS ({statement}) SELECT * FROM made"), int)
