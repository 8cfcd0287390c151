"""Constraints that stay in force: a role that is only granted, with and without the right to the replica role."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.databases import DATABASES, Pair, make_pair
from support.installation import Installation, eventually
from tailrace.embedded.postgres import EmbeddedPostgres

DEPOT = ("region", "depot", "season", "sale", "refund")
OWNED = (
    "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = '{role}' AND relnamespace = 'public'::regnamespace"
)


@pytest.fixture(scope="module")
def new_depot(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> Callable[..., Pair]:
    """Makes a depot. ``replica``: the destination's role may use the replica role; else its triggers are disabled."""

    def make(name: str, *, replica: bool) -> Pair:
        schema, rows = (DATABASES / "depot.sql").read_text(), (DATABASES / "depot_rows.sql").read_text()
        off = "" if replica else "ALTER TABLE region DISABLE TRIGGER USER; ALTER TABLE sale DISABLE TRIGGER USER;"
        pair = make_pair(name, source, destination, schema, rows, owner=False, structure=schema + off)
        if replica:
            grant_replica_role(pair)
        assert pair.value("destination", OWNED.format(role=f"{name}_loader")) == 0
        return pair

    return make


@pytest.fixture(scope="module")
def depot_job() -> str:
    return (DATABASES / "depot_job.yaml").read_text()


def grant_replica_role(pair: Pair) -> None:
    pair.grant("destination", "replica role")


def orphan(pair: Pair) -> None:
    """A row of the source that points nowhere, behind the back of its foreign key."""
    pair.source.run_sql(
        "SET session_replication_role = replica; INSERT INTO refund VALUES (999999, 888888, 'canary orphan')", pair.name
    )


def arrived(pair: Pair) -> None:
    for table in DEPOT:
        count = f"SELECT count(*) FROM {table}"
        assert pair.value("source", count) == pair.value("destination", count), table
    joins = (
        "SELECT count(*) FROM refund f JOIN sale s ON f.sale = s.document "
        "JOIN depot USING (depot_id) JOIN region USING (region_id)"
    )
    assert pair.value("source", joins) == pair.value("destination", joins) == 1500
    assert pair.value("destination", "SELECT count(*) FROM fired") == 0, "no trigger has fired"
    assert pair.contains("CanaryManager") == pair.contains("CanaryBuyer") == []


def empty(pair: Pair) -> bool:
    return not any(pair.value("destination", f"SELECT count(*) FROM {table}") for table in DEPOT)


@pytest.mark.parametrize("replica", [False, True], ids=["constraints checked row by row", "under the replica role"])
def test_parents_come_before_children_and_no_trigger_fires(
    install: Callable[..., Installation], new_depot: Callable[..., Pair], depot_job: str, replica: bool
) -> None:
    pair = new_depot(f"depot_{'granted' if replica else 'plain'}", replica=replica)
    before = pair.catalogue()
    installation = install(pair, replicas={"generator": 2})

    record = installation.run(depot_job)

    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    keys = {check.name for check in record.checks if check.name.startswith("foreign key")}
    assert len(keys) == 4, "every foreign key was looked at row by row"
    arrived(pair)
    assert pair.catalogue() == before
    largest = "SELECT max(d) FROM (SELECT max(document) FROM sale UNION ALL SELECT max(document) FROM refund) m(d)"
    following = pair.value("destination", "SELECT nextval('document_number')")
    assert following > pair.value("destination", largest), "above both tables that share it"  # type: ignore[operator]


def test_a_cancelled_run_empties_the_tables_without_firing_a_trigger(
    install: Callable[..., Installation], new_depot: Callable[..., Pair], depot_job: str
) -> None:
    pair = new_depot("depot_cancelled", replica=True)
    installation = install(pair)
    run = installation.submit(depot_job)
    installation.wait(run, lambda r: r.terminal or r.state == "loading")
    for generator in installation.group.replicas("generator"):
        generator.kill()
    installation.cancel(run)
    assert installation.wait(run).state == "cancelled"
    assert empty(pair)
    assert pair.value("destination", "SELECT count(*) FROM fired") == 0


@pytest.mark.parametrize(
    "replica",
    [
        pytest.param(False, id="constraints checked row by row", marks=pytest.mark.long),
        pytest.param(True, id="under the replica role"),
    ],
)
def test_a_row_that_points_nowhere_fails_the_run_nothing_stays_and_without_it_a_re_run_just_works(
    install: Callable[..., Installation], new_depot: Callable[..., Pair], depot_job: str, replica: bool
) -> None:
    pair = new_depot(f"depot_orphan_{'granted' if replica else 'plain'}", replica=replica)
    before = pair.catalogue()
    orphan(pair)
    installation = install(pair)
    record = installation.run(depot_job)
    assert record.state == "failed"
    assert record.failure is not None
    assert record.failure.code == ("verify.failed" if replica else "postgres.foreign-key-violation")
    assert "refund_sale_fkey" in record.failure.message
    assert "888888" not in record.failure.message + installation.logs()
    assert empty(pair)
    assert pair.value("destination", "SELECT count(*) FROM fired") == 0

    pair.source.run_sql("DELETE FROM refund WHERE reason = 'canary orphan'", pair.name)
    again = installation.run(depot_job)
    assert again.state == "done", again.failure or again.problems
    arrived(pair)
    assert pair.catalogue() == before


def test_a_cycle_is_refused_without_the_right_to_the_replica_role_and_loaded_with_it(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("shop_respected", 400, owner=False)
    before = pair.catalogue()
    job = shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", constraints: respect')
    installation = install(pair)
    refused = installation.run(job)
    assert refused.state == "failed"
    cycles = [problem for problem in refused.problems if problem.code == "plan.cycle"]
    assert len(cycles) == 1
    assert "customer_referred_by_fkey" in cycles[0].where
    assert "GRANT SET ON PARAMETER" in cycles[0].remedy.upper()

    grant_replica_role(pair)
    record = installation.run(job)

    assert record.state == "done", record.failure or record.problems
    referred = "SELECT count(*) FROM customer a JOIN customer b ON a.referred_by = b.customer_id"
    assert pair.value("source", referred) == pair.value("destination", referred)
    assert pair.value("destination", "SELECT count(*) FROM shipment WHERE carrier = 'TRIGGERED'") == 0
    assert pair.value("destination", "SELECT count(*) FROM shipment") == 400
    assert pair.catalogue() == before
    eventually(lambda: not installation.topics_left(), 30, "the runs' topics are gone")
