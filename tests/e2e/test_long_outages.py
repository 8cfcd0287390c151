"""Broker, destination and source go away and come back, in every state of a run."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from support.databases import Pair
from support.installation import Installation, eventually
from support.undisturbed import Undisturbed, slowly
from tailrace.embedded.kafka import EmbeddedKafka
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime

pytestmark = pytest.mark.long

STATES = ("submitted", "planned", "preparing", "loading", "finishing", "verifying")
Part = EmbeddedKafka | EmbeddedPostgres


@pytest.fixture(scope="module")
def broker(runtime: Runtime) -> EmbeddedKafka:
    if runtime.kafka is None:
        pytest.skip("TAILRACE_KAFKA names brokers that are not ours to kill")
    return runtime.kafka


@pytest.fixture(scope="module")
def shop(runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str) -> Undisturbed:
    return Undisturbed.by_running(runtime, new_shop("outages", 20_000), slowly(shop_job))


@pytest.fixture(scope="module")
def small(runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str) -> Undisturbed:
    return Undisturbed.by_running(runtime, new_shop("outages_small", 800), shop_job)


def killed_and_back(part: Part, away_s: float = 1.0) -> None:
    part.kill()
    time.sleep(away_s)  # how long it is away is what is tested
    part.start()


def held_in(installation: Installation, state: str) -> ServiceProcess:
    """A writer that leads and stops itself as soon as it has seen the run in that state."""
    (held,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=f"leader.in-{state}", TAILRACE_CRASH_SIGNAL="STOP")
    return held


def stopped(process: ServiceProcess) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("part", ["broker", "destination"])
def test_a_part_that_is_killed_while_the_leader_looks_the_other_way(
    install: Callable[..., Installation],
    broker: EmbeddedKafka,
    small: Undisturbed,
    state: str,
    part: str,
) -> None:
    installation = install(small.pair, replicas={"writer": 0})
    held = held_in(installation, state)
    run = installation.submit(small.job)
    eventually(lambda: stopped(held), 60, f"the run is {state}")
    killed_and_back(broker if part == "broker" else small.pair.destination)
    held.resume()
    small.is_what_came_of(installation, run)


@pytest.mark.parametrize("state", STATES)
def test_a_source_that_is_killed_costs_an_attempt_at_most(
    install: Callable[..., Installation], small: Undisturbed, state: str
) -> None:
    installation = install(small.pair, replicas={"writer": 0})
    held = held_in(installation, state)
    run = installation.submit(small.job)
    eventually(lambda: stopped(held), 60, f"the run is {state}")
    killed_and_back(small.pair.source)
    held.resume()
    record = small.is_what_came_of(installation, run)
    assert record.attempt <= 2


@pytest.mark.parametrize("way", ["killed", "restarted", "paused"])
@pytest.mark.parametrize("part", ["broker", "destination", "source"])
def test_a_part_that_goes_away_twice_during_the_load(
    install: Callable[..., Installation], broker: EmbeddedKafka, shop: Undisturbed, part: str, way: str
) -> None:
    installation = install(shop.pair, replicas={"writer": 2})
    run = installation.submit(shop.job)
    installation.wait(run, lambda r: r.state == "loading" and r.credit_used > 0)
    assert shop.state(run) == "loading"
    which: Part = {"broker": broker, "destination": shop.pair.destination, "source": shop.pair.source}[part]
    for _ in range(2):
        if way == "killed":
            killed_and_back(which)
        elif way == "restarted":
            which.restart()
        else:
            which.suspend()
            time.sleep(6)  # twice as long as a replica takes to be stale
            which.resume()
        time.sleep(1.5)
    record = shop.is_what_came_of(installation, run, seconds=180)
    assert record.attempt == 1 or part == "source"


def test_everything_goes_away_while_everything_is_said_twice(
    install: Callable[..., Installation], broker: EmbeddedKafka, shop: Undisturbed
) -> None:
    installation = install(shop.pair, replicas={"reader": 2, "generator": 2, "writer": 2})
    run = installation.submit(shop.job)
    installation.wait(run, lambda r: r.state == "loading" and r.credit_used > 0)
    with installation.saying_everything_twice():
        for part in (shop.pair.destination, broker, shop.pair.source):
            killed_and_back(part)
            time.sleep(1)
        shop.is_what_came_of(installation, run, seconds=180)


@pytest.mark.parametrize("table", ["customer", "order_line", "shipment"])
def test_a_source_table_that_is_rewritten_during_the_load_costs_an_attempt(
    install: Callable[..., Installation], shop: Undisturbed, table: str
) -> None:
    installation = install(shop.pair)
    run = installation.submit(shop.job)
    installation.wait(run, lambda r: r.state == "loading" and r.credit_used > 0)
    shop.pair.source.run_sql(f"VACUUM FULL {table}", shop.pair.name)
    record = shop.is_what_came_of(installation, run)
    assert record.attempt == 2 or (record.attempt == 1 and table == "customer"), "the first table may be read already"


def test_rewrites_without_end_fail_the_run_and_leave_the_destination_as_it_was(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    installation = install(shop.pair)
    run = installation.submit(shop.job + "  restarts: 1\n")
    for attempt in (1, 2):
        installation.wait(run, lambda r, n=attempt: r.attempt == n and r.state == "loading" and r.credit_used > 0)  # type: ignore[misc]
        shop.pair.source.run_sql("VACUUM FULL shipment", shop.pair.name)
    record = installation.wait(run)
    assert record.state == "failed"
    assert record.failure is not None
    assert record.failure.code == "run.snapshot-lost"
    assert "VACUUM FULL" in record.failure.remedy or "rewritten" in record.failure.remedy
    assert shop.pair.catalogue() == shop.catalogue
    assert all(rows == 0 for table, (rows, _) in shop.pair.digest().items() if table != "public.audit")
    shop.nothing_is_left(installation, run)
    again = installation.submit(shop.job)
    shop.is_what_came_of(installation, again)


@pytest.mark.parametrize("refilled", [False, True], ids=["emptied", "emptied and filled anew"])
def test_a_source_table_that_is_truncated_during_the_load_arrives_as_it_is_then(
    runtime: Runtime, install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str, refilled: bool
) -> None:
    pair = new_shop(f"truncated_{refilled}".lower(), 20_000)
    shop = Undisturbed.by_running(runtime, pair, slowly(shop_job))
    installation = install(pair)
    run = installation.submit(shop.job)
    installation.wait(run, lambda r: r.state == "loading" and r.credit_used > 0)
    refill = (
        "INSERT INTO shipment SELECT 7 * i, md5('order' || i)::uuid, 2, 'another', '2022-02-02' "
        "FROM generate_series(1, 5000) i;"
    )
    script = (
        f"BEGIN; ALTER TABLE shipment DISABLE TRIGGER USER; TRUNCATE shipment; {refill if refilled else ''} COMMIT;"
    )
    pair.source.run_sql(script, pair.name)
    record = installation.wait(run, seconds=120)
    assert record.state == "done", record.failure
    assert record.attempt == 2
    found = pair.digest()
    assert found["public.shipment"][0] == (5000 if refilled else 0)
    assert {t: d for t, d in found.items() if t != "public.shipment"} == {
        t: d for t, d in shop.digest.items() if t != "public.shipment"
    }
    shop.nothing_is_left(installation, run)
    with Installation(runtime, pair) as undisturbed:
        assert undisturbed.run(shop.job).state == "done"
    assert pair.digest() == found, "an undisturbed run from the truncated source makes the same"
