"""Stages scale while a run goes on; runs do not disturb each other; a dead destination stops the source read, not the source."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from support.databases import Pair
from support.installation import Installation, eventually
from tailrace.embedded.runtime import Runtime

CREDIT = 4 << 20
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
    installation = install(shop)
    assert installation.run(again).state == "done"
    expected = shop.digest()

    run = installation.submit(again)
    installation.wait(run, lambda r: r.state == "loading")
    threads = [
        threading.Thread(target=installation.scale, args=(stage, 3)) for stage in ("reader", "generator", "writer")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for stage in ("reader", "generator", "writer"):
        installation.scale(stage, 1)
    record = installation.wait(run)
    assert record.state == "done", record.failure
    assert shop.digest() == expected


def test_two_runs_at_once_one_with_a_dead_destination(
    runtime: Runtime, install: Callable[..., Installation], shop: Pair, new_shop: Callable[..., Pair], again: str
) -> None:
    installation = install(shop, start=False, extra={"DEAD_URL": "postgresql://nobody:x@127.0.0.1:9/none"})
    for service in ("reader", "generator", "writer"):
        installation.scale(service, 1)
    dead = installation.submit(again.replace("${DESTINATION_URL}", "${DEAD_URL}").replace("name: shop", "name: dead"))
    started = time.monotonic()
    record = installation.run(again)
    assert record.state == "done", record.failure
    assert time.monotonic() - started < 60
    assert dead != record.run


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
    installation = install(pair)
    run = installation.submit(again)
    installation.wait(run, lambda r: r.state == "loading" and r.credit_used > 0)
    seen = pause_and_watch(installation, seconds=seconds)
    assert seen["memory"] < MEMORY_LIMIT_BYTES, seen
    record = installation.wait(run)
    assert record.state == "done", record.failure
    used = [r.credit_used for r in installation.records(run)]
    assert 0 < max(used) <= CREDIT + (1 << 20), "estimates may be exceeded by what is read"
    for table in ("customer", "order_line"):
        rows = f"SELECT count(*) FROM {table}"
        assert pair.value("source", rows) == pair.value("destination", rows)


def pause_and_watch(installation: Installation, *, seconds: float) -> dict[str, float]:
    """Stop the destination's processes for a while; the highest resident memory of a service that was seen."""
    postmaster = psutil.Process(installation.pair.destination.pid)
    frozen = [postmaster, *postmaster.children(recursive=True)]
    for process in frozen:
        os.kill(process.pid, signal.SIGSTOP)
    seen = {"memory": 0.0}
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for replica in installation.group.all():
                seen["memory"] = max(seen["memory"], replica.resident_bytes)
            time.sleep(0.2)
    finally:
        for process in frozen:
            if process.is_running():
                os.kill(process.pid, signal.SIGCONT)
    return seen


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
