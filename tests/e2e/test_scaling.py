"""Stages scale while a run goes on; runs do not disturb each other; a dead destination stops the source read, not the source."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import psutil
import pytest

from support.databases import DATABASES, Pair, make_pair
from support.installation import Installation, eventually
from support.undisturbed import slowly
from support.wiretap import Wiretap
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_shared.batch import head_of

STAGES = ("reader", "generator", "writer")
SCHEMA, ROWS = DATABASES / "shop.sql", DATABASES / "shop_rows.sql"
CREDIT = 1 << 20
"""Of a slow job."""
MEMORY_LIMIT_BYTES = 300 << 20


@pytest.fixture(scope="module")
def shop(new_shop: Callable[..., Pair]) -> Pair:
    return new_shop("scaling", 6000)


@pytest.fixture(scope="module")
def again(shop_job: str) -> str:
    return shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate')


def test_one_to_three_to_one_replicas_per_stage_during_a_run(
    install: Callable[..., Installation], shop: Pair, again: str
) -> None:
    """The only generator stops after its first batch until three replicas of every stage are there; with little credit nearly
    all rows are still to come then. It is scaled down once three of every stage are told of, still loading."""
    small = slowly(again).replace("rows_per_batch: 500", "rows_per_batch: 20")
    assert small != slowly(again)
    installation = install(shop)
    assert installation.run(again).state == "done"
    expected = shop.digest()

    installation.scale("generator", 0)
    held = {"TAILRACE_CRASH_AT": "generator.after-send-before-commit:1", "TAILRACE_CRASH_SIGNAL": "STOP"}
    (generator,) = installation.scale("generator", 1, **held)
    run = installation.submit(small)
    eventually(lambda: psutil.Process(generator.pid).status() == psutil.STATUS_STOPPED, 60, "a batch was masked")
    in_parallel(*(partial(installation.scale, stage, 3) for stage in STAGES))
    generator.resume()
    installation.wait(run, lambda r: r.state == "loading" and all(r.stages[stage].replicas == 3 for stage in STAGES))
    in_parallel(*(partial(installation.scale, stage, 1) for stage in STAGES))
    record = installation.wait(run)
    assert record.state == "done", record.failure
    assert shop.digest() == expected


def in_parallel(*actions: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()


def test_a_run_whose_destination_dies_does_not_slow_another(
    runtime: Runtime,
    install: Callable[..., Installation],
    shop: Pair,
    source: EmbeddedPostgres,
    again: str,
) -> None:
    """Its destination is a server of its own, killed in the middle of its load; once back, it goes on."""
    mortal = runtime.start_postgres("mortal", fsync=False)
    other = make_pair("mortal", source, mortal, SCHEMA.read_text(), f"\\set customers 6000\n{ROWS.read_text()}")
    dead = slowly(again)
    for mine, theirs in (
        ("${SOURCE_URL}", "${OTHER_SOURCE_URL}"),
        ("${DESTINATION_URL}", "${MORTAL_URL}"),
        ("name: shop", "name: mortal"),
    ):
        assert mine in dead
        dead = dead.replace(mine, theirs)
    installation = install(shop, extra={"OTHER_SOURCE_URL": other.source_url, "MORTAL_URL": other.destination_url})
    assert installation.run(again).state == "done", "whatever is slow once is no part of the comparison"
    alone = seconds_of(installation, again)

    run = installation.submit(dead)
    installation.wait(run, lambda r: r.state == "loading" and any(t.rows_loaded for t in r.tables))
    mortal.kill()
    try:
        beside = seconds_of(installation, again)
        assert installation.records(run)[-1].state == "loading", "it was in the middle of its load"
    finally:
        mortal.start()
    assert beside <= 2.5 * alone + 5, f"{beside:.1f} s beside a dead destination, {alone:.1f} s alone"
    record = installation.wait(run)
    assert record.state == "done", record.failure
    for table in ("customer", "order_line"):
        rows = f"SELECT count(*) FROM {table}"
        assert other.value("source", rows) == other.value("destination", rows)


def seconds_of(installation: Installation, job: str) -> float:
    """How long a run takes that must go well."""
    started = time.monotonic()
    record = installation.run(job)
    assert record.state == "done", record.failure
    return time.monotonic() - started


def test_a_second_run_on_the_same_tables_is_refused_and_names_the_first(
    install: Callable[..., Installation], shop: Pair, again: str
) -> None:
    installation = install(shop)
    first = installation.submit(again)
    installation.wait(first, lambda r: r.state in ("preparing", "loading"))
    second = installation.run(again)
    assert second.state == "failed"
    assert second.failure is not None
    assert first in second.failure.message
    assert installation.wait(first).state == "done"


@pytest.mark.parametrize("seconds", [8, pytest.param(120, marks=pytest.mark.long)])
def test_a_paused_destination_stops_the_read_within_the_credit_and_it_resumes(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], again: str, seconds: int
) -> None:
    pair = new_shop(f"paused_{seconds}", 12000)
    total = sum(rows for table, (rows, _) in pair.digest("source").items() if table != "public.audit")
    installation = install(pair)
    with Wiretap(installation.kafka, installation.namespace) as wiretap:
        run = installation.submit(slowly(again))
        installation.wait(run, lambda r: r.state == "loading" and r.credit_used > 0)
        seen = pause_and_watch(installation, wiretap, seconds=seconds)
    assert seen.memory < MEMORY_LIMIT_BYTES, seen
    for kind in ("raw", "masked"):
        grown = seen.after[kind].bytes - seen.before[kind].bytes
        assert grown <= CREDIT, f"{grown} bytes more on {kind}"
        assert seen.half_way[kind] == seen.after[kind], f"{kind} still grew after half of the pause"
    assert 0 < seen.after["raw"].rows < total, "the source was not read to its end"
    record = installation.wait(run)
    assert record.state == "done", record.failure
    used = [r.credit_used for r in installation.records(run)]
    assert 0 < max(used) <= CREDIT + (1 << 20), "estimates may be exceeded by what is read"
    for table in ("customer", "order_line"):
        rows = f"SELECT count(*) FROM {table}"
        assert pair.value("source", rows) == pair.value("destination", rows)


@dataclass(frozen=True)
class Sent:
    """What a topic has been sent."""

    bytes: int
    rows: int


@dataclass(frozen=True)
class Pause:
    """What was sent before a pause, half way through it and at its end; the highest resident memory of a service."""

    before: dict[str, Sent]
    half_way: dict[str, Sent]
    after: dict[str, Sent]
    memory: int


def pause_and_watch(installation: Installation, wiretap: Wiretap, *, seconds: float) -> Pause:
    """Stop the destination's processes for a while."""
    postmaster = psutil.Process(installation.pair.destination.pid)
    frozen = [postmaster, *postmaster.children(recursive=True)]
    for process in frozen:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        before = sent(wiretap)
        first = highest_memory(installation, seconds / 2)
        half_way = sent(wiretap)
        second = highest_memory(installation, seconds / 2)
        return Pause(before, half_way, sent(wiretap), max(first, second))
    finally:
        for process in frozen:
            if process.is_running():
                os.kill(process.pid, signal.SIGCONT)


def sent(wiretap: Wiretap) -> dict[str, Sent]:
    heard = {kind: wiretap.records(kind) for kind in ("raw", "masked")}
    return {
        kind: Sent(sum(len(r.value) for r in records), sum(head_of(r.headers).rows for r in records))
        for kind, records in heard.items()
    }


def highest_memory(installation: Installation, seconds: float) -> int:
    highest = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        highest = max(highest, *(replica.resident_bytes for replica in installation.group.all()))
        time.sleep(0.2)
    return highest


def test_every_control_message_twice_and_late(install: Callable[..., Installation], shop: Pair, again: str) -> None:
    """Everything that was said on ``facts`` and ``tasks`` is said again, in reverse order, while the run goes on and after it."""
    installation = install(shop)
    assert installation.run(again).state == "done"
    expected = shop.digest()
    run = installation.submit(again)
    with installation.saying_everything_twice():
        record = installation.wait(run)
    assert record.state == "done", record.failure
    installation.repeat_control(None)
    eventually(lambda: shop.digest() == expected, 10, "redelivered messages of the past change nothing")
    assert installation.wait(run).state == "done"
