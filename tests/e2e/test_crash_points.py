"""Named crash points: whoever dies there by kill -9, the run ends, the destination is the same, nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.databases import Pair
from support.installation import Installation, eventually

WRITER = (
    "leader.in-submitted",
    "leader.in-planned",
    "leader.after-truncate",
    "leader.in-preparing",
    "leader.in-loading",
    "writer.after-copy-before-commit:3",
    "writer.after-commit-before-offset:3",
    "leader.before-finishing",
    "leader.in-finishing",
    "leader.mid-rebuild",
    "leader.in-verifying",
    "leader.after-ledger-gone",
)
"""In the order in which one run comes by them."""


@dataclass
class Reference:
    """A pair of databases, the job, and what an undisturbed run makes of them."""

    pair: Pair
    job: str
    digest: dict[str, tuple[int, int]]
    catalogue: list[tuple[str, ...]]

    def state(self, run: str) -> str:
        """Of the run's row, at this moment."""
        return str(self.pair.value("destination", f"SELECT state FROM tailrace.run WHERE run = '{run}'"))


@pytest.fixture(scope="module")
def reference(runtime: object, new_shop: Callable[..., Pair], shop_job: str) -> Iterator[Reference]:
    pair = new_shop("crash", 800)
    catalogue = pair.catalogue()
    job = shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate')
    with Installation(runtime, pair) as installation:  # type: ignore[arg-type]
        assert installation.run(job).state == "done"
    return Reference(pair, job, pair.digest(), catalogue)


def finished_as_if_nothing_had_happened(installation: Installation, reference: Reference, run: str) -> None:
    record = installation.wait(run, seconds=90)
    assert record.state == "done", record.failure
    assert all(check.passed for check in record.checks)
    assert reference.pair.digest() == reference.digest
    assert reference.pair.catalogue() == reference.catalogue
    eventually(lambda: not installation.topics_left(), 60, "the run's topics are gone")
    for table in ("ledger", "range", '"table"', "ddl", "claim"):
        count = f"SELECT count(*) FROM tailrace.{table} WHERE run = '{run}'"
        eventually(
            lambda query=count: reference.pair.value("destination", query) == 0, 30, f"{table} of the run is empty"
        )
    canary = "CanaryFirst"
    assert canary not in installation.logs()


@pytest.mark.crash
def test_writers_that_die_one_after_the_other_at_every_point_cost_nothing(
    install: Callable[..., Installation], reference: Reference
) -> None:
    """One run, in which every successor goes on where the last one died, until it dies itself at the next point."""
    installation = install(reference.pair, replicas={"writer": 0})
    run = installation.submit(reference.job)
    for point in WRITER:
        (doomed,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=point)
        eventually(lambda one=doomed: not one.alive, 60, f"{point} was reached")  # type: ignore[misc]
    installation.scale("writer", 1)
    finished_as_if_nothing_had_happened(installation, reference, run)


@pytest.mark.crash
@pytest.mark.long
@pytest.mark.parametrize("point", WRITER)
def test_a_writer_that_dies_there_costs_nothing(
    install: Callable[..., Installation], reference: Reference, point: str
) -> None:
    installation = install(reference.pair, replicas={"writer": 0})
    (doomed,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=point)
    run = installation.submit(reference.job)
    eventually(lambda: not doomed.alive, 60, f"{point} was reached")
    installation.scale("writer", 1)
    finished_as_if_nothing_had_happened(installation, reference, run)


@pytest.mark.crash
def test_a_generator_that_dies_between_its_sends_and_its_commit_costs_nothing(
    install: Callable[..., Installation], reference: Reference
) -> None:
    installation = install(reference.pair, replicas={"generator": 0})
    (doomed,) = installation.scale("generator", 1, TAILRACE_CRASH_AT="generator.after-send-before-commit:3")
    run = installation.submit(reference.job)
    eventually(lambda: not doomed.alive, 60, "three batches were masked")
    assert reference.state(run) == "loading", "there was something to lose"
    installation.scale("generator", 1)
    finished_as_if_nothing_had_happened(installation, reference, run)


@pytest.mark.crash
def test_the_last_reader_with_the_snapshot_that_dies_half_way_through_a_range_costs_nothing(
    install: Callable[..., Installation], reference: Reference
) -> None:
    installation = install(reference.pair, replicas={"reader": 0})
    (doomed,) = installation.scale("reader", 1, TAILRACE_CRASH_AT="reader.mid-range:2")
    run = installation.submit(reference.job)
    eventually(lambda: not doomed.alive, 60, "a range was half read")
    assert reference.state(run) == "loading", "there was something to lose"
    installation.scale("reader", 1)
    finished_as_if_nothing_had_happened(installation, reference, run)
    assert installation.wait(run).attempt == 2


@pytest.mark.crash
@pytest.mark.long
def test_one_of_two_readers_that_dies_half_way_through_a_range_costs_nothing(
    install: Callable[..., Installation], reference: Reference, tmp_path: Path
) -> None:
    """Whichever is the first to send two batches dies: which of them gets the ranges is chance."""
    installation = install(reference.pair, replicas={"reader": 0})
    once = str(tmp_path / "one has died")
    doomed = installation.scale("reader", 2, TAILRACE_CRASH_AT="reader.mid-range:2", TAILRACE_CRASH_ONCE=once)
    run = installation.submit(reference.job)
    eventually(lambda: any(not reader.alive for reader in doomed), 60, "a range was half read")
    assert reference.state(run) == "loading", "there was something to lose"
    finished_as_if_nothing_had_happened(installation, reference, run)
    assert sum(not reader.alive for reader in doomed) == 1
