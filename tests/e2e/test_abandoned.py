"""Runs whose installation is gone for good: a later run on the same tables ends them, and never one that may come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from support.databases import Pair
from support.installation import Installation, eventually

SOON = {"TAILRACE_ABANDONED_S": "2", "TAILRACE_HOUSEKEEPING_S": "0.3", "TAILRACE_STALE_S": "2"}


@dataclass
class Reference:
    """A pair of databases, the job, and what an undisturbed run makes of them."""

    pair: Pair
    job: str
    digest: dict[str, tuple[int, int]]
    catalogue: list[tuple[str, ...]]


@pytest.fixture(scope="module")
def reference(runtime: object, new_shop: Callable[..., Pair], shop_job: str) -> Iterator[Reference]:
    pair = new_shop("abandoned", 800)
    catalogue = pair.catalogue()
    job = shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate')
    with Installation(runtime, pair) as installation:  # type: ignore[arg-type]
        assert installation.run(job).state == "done"
    return Reference(pair, job, pair.digest(), catalogue)


def half_loaded(installation: Installation, reference: Reference) -> str:
    """A run that has dropped things and loaded rows, and gets no further: nothing masks the rest."""
    (doomed,) = installation.scale("generator", 1)
    run = installation.submit(reference.job.replace("rows_per_batch: 500", "rows_per_batch: 50"))
    installation.wait(run, lambda r: r.terminal or r.state == "loading")
    eventually(lambda: rows_loaded(reference.pair, run), 30, "rows are loaded")
    doomed.kill()
    assert row_of(reference.pair, run) == ("loading", "")
    assert reference.pair.catalogue() != reference.catalogue, "foreign keys and indexes are gone while it loads"
    return run


def rows_loaded(pair: Pair, run: str) -> object:
    return pair.value("destination", f"SELECT coalesce(sum(rows), 0) FROM tailrace.ledger WHERE run = '{run}'")


def kill(installation: Installation, *services: str) -> None:
    for service in services:
        for replica in installation.group.replicas(service):
            replica.kill()


def delete_topics(installation: Installation) -> None:
    """As if the broker were gone: every topic of the namespace, control topics included."""

    async def delete() -> None:
        async with installation.kafka.admin() as admin:
            await admin.delete_topics([t for t in await admin.topics() if t.startswith(f"{installation.namespace}.")])

    asyncio.run(delete())


def row_of(pair: Pair, run: str) -> tuple[str, str]:
    """State of a run and why it failed, from the state tables."""
    row = pair.fetch("destination", f"SELECT state, failure FROM tailrace.run WHERE run = '{run}'")[0]
    return row["state"], json.loads(row["failure"] or "{}").get("message", "")


def rows_about(pair: Pair, run: str) -> dict[str, object]:
    """Working rows that the state tables still have of a run."""
    tables = ("claim", "ddl", "ledger", "range", '"table"', "leak", "replica")
    counts = {t: pair.value("destination", f"SELECT count(*) FROM tailrace.{t} WHERE run = '{run}'") for t in tables}
    return {table: count for table, count in counts.items() if count}


def test_a_run_whose_installation_and_topics_are_gone_is_ended_by_the_next_one(
    install: Callable[..., Installation], reference: Reference
) -> None:
    gone = install(reference.pair, replicas={"writer": 0})
    (doomed,) = gone.scale("writer", 1, TAILRACE_CRASH_AT="writer.after-commit-before-offset:3")
    abandoned = gone.submit(reference.job)
    eventually(lambda: not doomed.alive, 60, "the only writer has loaded rows and died")
    kill(gone, "reader", "generator")
    delete_topics(gone)
    assert row_of(reference.pair, abandoned) == ("loading", "")
    assert rows_loaded(reference.pair, abandoned)
    assert reference.pair.catalogue() != reference.catalogue, "foreign keys and indexes are gone while it loads"

    installation = install(reference.pair, extra=SOON)
    run = installation.submit(reference.job)
    waiting = installation.wait(run, lambda r: r.terminal or abandoned in r.waiting_for, seconds=60)
    assert waiting.state == "submitted", "it is planned when what the other has dropped is back"
    record = installation.wait(run, seconds=120)

    assert record.state == "done", record.failure or record.problems
    state, why = row_of(reference.pair, abandoned)
    assert state == "failed"
    assert why.startswith("abandoned: ")
    assert rows_about(reference.pair, abandoned) == {}
    assert reference.pair.digest() == reference.digest
    assert reference.pair.catalogue() == reference.catalogue


@pytest.mark.long
def test_a_run_that_is_led_is_not_touched_and_refuses_the_other(
    install: Callable[..., Installation], reference: Reference
) -> None:
    first = install(reference.pair, replicas={"generator": 0})
    led = half_loaded(first, reference)
    second = install(reference.pair, extra=SOON)
    refused = second.run(reference.job)
    assert refused.failure is not None
    assert refused.failure.code == "claim.taken"
    assert led in refused.failure.message
    first.scale("generator", 1)
    assert first.wait(led).state == "done"
    assert reference.pair.digest() == reference.digest


@pytest.mark.long
def test_a_silent_run_whose_topics_exist_is_not_touched_and_goes_on_when_its_writers_are_back(
    install: Callable[..., Installation], reference: Reference
) -> None:
    first = install(reference.pair, replicas={"generator": 0})
    silent = half_loaded(first, reference)
    kill(first, "writer")
    second = install(reference.pair, extra=SOON)
    refused = second.run(reference.job, seconds=90)
    assert refused.failure is not None
    assert refused.failure.code == "claim.taken"
    assert silent in refused.failure.message
    assert row_of(reference.pair, silent) == ("loading", "")
    first.scale("writer", 1)
    first.scale("generator", 1)
    assert first.wait(silent).state == "done"
    assert reference.pair.digest() == reference.digest
    assert reference.pair.catalogue() == reference.catalogue
