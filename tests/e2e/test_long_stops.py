"""SIGSTOP at every crash point: another replica takes over, the first one wakes during the run and after it, nothing changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest

from support.databases import Pair
from support.installation import Installation, eventually
from support.undisturbed import Undisturbed
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime
from tailrace_shared.errors import TransientError

pytestmark = [pytest.mark.long, pytest.mark.crash]

WRITER = (
    "writer.after-copy-before-commit:1",
    "writer.after-copy-before-commit:7",
    "writer.after-commit-before-offset:1",
    "writer.after-commit-before-offset:7",
    "leader.after-truncate",
    "leader.in-submitted",
    "leader.in-planned",
    "leader.in-preparing",
    "leader.in-loading:1",
    "leader.in-loading:3",
    "leader.in-finishing",
    "leader.in-verifying:1",
    "leader.in-verifying:2",
    "leader.in-done",
    "leader.mid-rebuild:1",
    "leader.mid-rebuild:4",
    "leader.before-finishing",
    "leader.after-ledger-gone",
)


@pytest.fixture(scope="module")
def shop(runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str) -> Undisturbed:
    return Undisturbed.by_running(runtime, new_shop("stops", 2000), shop_job)


def stopped(process: ServiceProcess) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def doomed_at(installation: Installation, service: str, point: str, **more: str) -> ServiceProcess:
    (doomed,) = installation.scale(service, 1, TAILRACE_CRASH_AT=point, TAILRACE_CRASH_SIGNAL="STOP", **more)
    return doomed


@pytest.mark.parametrize("point", WRITER)
def test_a_writer_that_wakes_after_the_run_changes_nothing(
    install: Callable[..., Installation], shop: Undisturbed, point: str
) -> None:
    installation = install(shop.pair, replicas={"writer": 0}, extra={"TAILRACE_LOCK_TIMEOUT_S": "1"})
    doomed = doomed_at(installation, "writer", point)
    run = installation.submit(shop.job)
    eventually(lambda: stopped(doomed), 60, f"{point} was reached")
    installation.scale("writer", 2)
    record = shop.is_what_came_of(installation, run)
    doomed.resume()
    # It has caught up once it has taken part in another run and ended that alone.
    for replica in installation.group.replicas("writer")[1:]:
        replica.kill()
    again = installation.submit(shop.job)
    shop.is_what_came_of(installation, again)
    assert installation.wait(run).version >= record.version
    assert installation.wait(run).state == "done"


@pytest.mark.parametrize("point", WRITER)
def test_a_writer_that_wakes_during_the_run_changes_nothing(
    install: Callable[..., Installation], shop: Undisturbed, point: str
) -> None:
    """The one that takes over is stopped in its turn, at the same point, while the first one wakes."""
    installation = install(shop.pair, replicas={"writer": 0}, extra={"TAILRACE_LOCK_TIMEOUT_S": "1"})
    first = doomed_at(installation, "writer", point)
    run = installation.submit(shop.job)
    eventually(lambda: stopped(first), 60, f"{point} was reached")
    again = {"TAILRACE_CRASH_AT": point, "TAILRACE_CRASH_SIGNAL": "STOP"}
    with suppress(TransientError):  # it may stop itself before it has told that it is ready
        installation.group.scale("writer", 2, environment=again, deadline_seconds=5)
    second = installation.group.replicas("writer")[1]
    eventually(lambda: stopped(second) or shop.is_over(run), 60, f"{point} was reached again")
    first.resume()
    installation.wait(run)
    second.resume()
    shop.is_what_came_of(installation, run)


@pytest.mark.parametrize("point", ["reader.mid-range:1", "reader.mid-range:5"])
@pytest.mark.parametrize("others", [0, 1], ids=["the last with the snapshot", "one of two"])
def test_a_reader_that_wakes_during_the_run_or_after_it_changes_nothing(
    install: Callable[..., Installation], shop: Undisturbed, point: str, others: int
) -> None:
    installation = install(shop.pair, replicas={"reader": 0}, extra={"TAILRACE_RERELEASE_S": "8"})
    doomed = doomed_at(installation, "reader", point)
    if others:
        installation.scale("reader", 2)
    run = installation.submit(shop.job)
    eventually(lambda: stopped(doomed) or shop.is_over(run), 60, f"{point} was reached")
    installation.scale("reader", 2)
    shop.is_what_came_of(installation, run)
    doomed.resume()
    again = installation.submit(shop.job)
    shop.is_what_came_of(installation, again)
    assert installation.wait(run).state == "done"


@pytest.mark.parametrize("service", ["reader", "generator", "writer"])
def test_a_replica_that_is_stopped_for_a_while_again_and_again(
    install: Callable[..., Installation], shop: Undisturbed, service: str
) -> None:
    """Shorter and longer than a replica takes to be stale, alone and with a second one."""
    installation = install(shop.pair)
    for count in (1, 2):
        installation.scale(service, count)
        run = installation.submit(shop.job)
        installation.wait(run, lambda r: r.state in ("loading", "finishing", "verifying"))
        for seconds in (1.0, 5.0):
            replica = installation.group.replicas(service)[0]
            replica.suspend()
            time.sleep(seconds)  # how long it is stopped is what is tested
            replica.resume()
        shop.is_what_came_of(installation, run)


def test_everything_is_said_twice_while_writers_are_stopped_in_turn(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    installation = install(shop.pair, replicas={"writer": 3}, extra={"TAILRACE_LOCK_TIMEOUT_S": "1"})
    run = installation.submit(shop.job)
    with installation.saying_everything_twice():
        for turn in range(6):
            replica = installation.group.replicas("writer")[turn % 3]
            replica.suspend()
            time.sleep(3.5)
            replica.resume()
        shop.is_what_came_of(installation, run)
