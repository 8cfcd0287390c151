"""A run that is cancelled or fails at any moment, and whose leader dies while it undoes it: nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from support.databases import Pair
from support.installation import Installation, eventually
from support.undisturbed import Undisturbed
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime

HELD = {"TAILRACE_CRASH_AT": "generator.after-send-before-commit:1", "TAILRACE_CRASH_SIGNAL": "STOP"}
"""A generator that stops after its first batch holds the run in its load for as long as it takes."""


@pytest.fixture(scope="module")
def shop(runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str) -> Undisturbed:
    return Undisturbed.by_running(runtime, new_shop("undone", 800), shop_job)


def stopped(process: ServiceProcess) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def nothing_came_of(shop: Undisturbed, installation: Installation, run: str, catalogue: list[tuple[str, ...]]) -> None:
    """Empty tables, the catalogue as it was, no topics, no working rows."""
    assert {table: rows for table, (rows, _) in shop.pair.digest().items() if rows} == {}
    assert shop.pair.catalogue() == catalogue
    shop.nothing_is_left(installation, run)


def a_re_run_just_works(shop: Undisturbed, installation: Installation) -> None:
    record = installation.run(shop.job)
    assert record.state == "done", record.failure
    assert shop.pair.digest() == shop.digest
    assert shop.pair.catalogue() == shop.catalogue


def test_a_run_that_waits_for_a_generator_is_cancelled(install: Callable[..., Installation], shop: Undisturbed) -> None:
    installation = install(shop.pair, replicas={"generator": 0})
    run = installation.submit(shop.job)
    installation.wait(run, lambda r: "generator" in r.waiting_for)
    before = shop.pair.digest()
    installation.cancel(run)
    assert installation.wait(run, seconds=30).state == "cancelled"
    assert shop.pair.digest() == before, "it had not begun to empty anything"
    assert shop.pair.catalogue() == shop.catalogue
    shop.nothing_is_left(installation, run)
    installation.scale("generator", 1)
    a_re_run_just_works(shop, installation)


@pytest.mark.parametrize(
    "state",
    [
        *(pytest.param(state, marks=pytest.mark.long) for state in ("submitted", "planned", "preparing", "loading")),
        "finishing",
        pytest.param("verifying", marks=pytest.mark.long),
    ],
)
def test_a_run_is_cancelled_in_every_state(install: Callable[..., Installation], shop: Undisturbed, state: str) -> None:
    """The only writer is stopped in that state until the cancellation is on the topic. Nobody else could move the run on."""
    installation = install(shop.pair, replicas={"writer": 0})
    point = {"TAILRACE_CRASH_AT": f"leader.in-{state}", "TAILRACE_CRASH_SIGNAL": "STOP"}
    (writer,) = installation.scale("writer", 1, **point)
    before = shop.pair.digest()
    run = installation.submit(shop.job)
    eventually(lambda: stopped(writer), 60, f"{state} was reached")
    assert shop.state(run) == state
    installation.cancel(run)
    writer.resume()
    record = installation.wait(run)
    assert record.cancel_requested
    if record.state == "done":
        assert state == "verifying", "only there it may be too late"
        assert shop.pair.digest() == shop.digest
        assert shop.pair.catalogue() == shop.catalogue
    else:
        assert record.state == "cancelled", record.failure
        if shop.pair.digest() == before:
            assert state in ("submitted", "planned", "preparing"), "it may have ended before it emptied anything"
            assert shop.pair.catalogue() == shop.catalogue
            shop.nothing_is_left(installation, run)
        else:
            nothing_came_of(shop, installation, run, shop.catalogue)
    a_re_run_just_works(shop, installation)


@pytest.mark.crash
@pytest.mark.parametrize("point", [pytest.param("leader.in-stopping", marks=pytest.mark.long), "leader.mid-rebuild"])
def test_a_leader_that_dies_while_it_undoes_a_cancelled_run(
    install: Callable[..., Installation], shop: Undisturbed, point: str
) -> None:
    installation = install(shop.pair, replicas={"writer": 0, "generator": 0})
    (generator,) = installation.scale("generator", 1, **HELD)
    (doomed,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=point)
    run = installation.submit(shop.job)
    eventually(lambda: stopped(generator), 60, "a batch was masked")
    assert shop.state(run) == "loading"
    installation.cancel(run)
    eventually(lambda: not doomed.alive, 60, f"{point} was reached")
    generator.resume()
    assert shop.state(run) == "stopping"
    installation.scale("writer", 1)
    assert installation.wait(run).state == "cancelled"
    nothing_came_of(shop, installation, run, shop.catalogue)
    a_re_run_just_works(shop, installation)


@pytest.mark.crash
@pytest.mark.parametrize("point", [pytest.param("leader.in-stopping", marks=pytest.mark.long), "leader.mid-rebuild"])
def test_a_leader_that_dies_while_it_undoes_a_failed_run(
    install: Callable[..., Installation], shop: Undisturbed, point: str
) -> None:
    installation = install(shop.pair, replicas={"writer": 0})
    (doomed,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=point)
    # By a function of the destination's own: what rests on it cannot be counted in the source, so the plan lets it pass.
    shop.pair.destination.run_sql(
        "CREATE FUNCTION same(boolean) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT $1'; "
        "TRUNCATE orders CASCADE; CREATE UNIQUE INDEX only_here ON orders (same(paid))",
        shop.pair.name,
    )
    try:
        catalogue = shop.pair.catalogue()
        run = installation.submit(shop.job)
        eventually(lambda: not doomed.alive, 60, f"{point} was reached")
        assert shop.state(run) == "stopping"
        installation.scale("writer", 1)
        record = installation.wait(run)
        assert record.state == "failed"
        assert record.failure is not None
        assert record.failure.code == "postgres.unique-violation"
        nothing_came_of(shop, installation, run, catalogue)
    finally:
        shop.pair.destination.run_sql("DROP INDEX only_here; DROP FUNCTION same", shop.pair.name)
    a_re_run_just_works(shop, installation)
