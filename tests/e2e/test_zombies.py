"""Whoever is in charge of a lane is stopped until another has taken over, and wakes in the middle of its work: nothing comes
twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import pytest

from support.databases import Pair
from support.followed import SCHEMA, Followed
from support.following import let_follow
from support.installation import Installation, eventually
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime
from tailrace_writer.lock_keys import lock_key

pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.crash]
REPLICAS = {"reader": 2, "generator": 2, "writer": 2}
TAKEN_OVER_S = 60
_OWNER = """
SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32 | l.objid::bigint) = {key}
"""


@pytest.fixture(scope="module")
def world(runtime: Runtime, new_pair: Callable[..., Pair]) -> Iterator[Followed]:
    pair = new_pair("zombies", SCHEMA)
    let_follow(pair)
    with Installation(runtime, pair, replicas=REPLICAS, canaries="canary-mail.test") as installation:
        yield Followed(pair, installation)


def test_whoever_wakes_after_another_has_taken_over_changes_nothing(world: Followed) -> None:
    world.reset()
    run = world.submit()
    with world.hammered(51) as hammer:
        for who in (capturing, masking, applying):
            first = eventually(lambda: who(world, run), 30, f"somebody is {who.__name__}")  # noqa: B023
            assert isinstance(first, ServiceProcess)
            first.suspend()
            try:
                eventually(
                    lambda: who(world, run) not in (None, first),  # noqa: B023
                    TAKEN_OVER_S, f"another is {who.__name__}",
                )  # fmt: skip
                moved(world)
            finally:
                first.resume()
            moved(world)
        hammer.quiet.set()
        world.is_equal(run)


def moved(world: Followed) -> None:
    """The destination takes what comes now."""
    position = "SELECT position FROM tailrace.lane"
    before = world.pair.value("destination", position)
    eventually(lambda: world.pair.value("destination", position) != before, TAKEN_OVER_S, "the lane goes on")


def capturing(world: Followed, run: str) -> ServiceProcess | None:
    """Its session streams from the slot, or has just begun to."""
    (row,) = world.pair.fetch(
        "source",
        "SELECT a.application_name FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid "
        "WHERE s.database = current_database()",
    )
    return replica(world, "reader", row["application_name"] or "")


def masking(world: Followed, run: str) -> ServiceProcess | None:
    """Its count of changes grows."""
    before = {process: changes(process, run) for process in running(world, "generator")}
    time.sleep(1)
    return next((process for process, count in before.items() if changes(process, run) > count), None)


def applying(world: Followed, run: str) -> ServiceProcess | None:
    """Its session has the lane's lock."""
    rows = world.pair.fetch("destination", _OWNER.format(key=lock_key("lane", run, 0)))
    return replica(world, "writer", rows[0]["application_name"]) if rows else None


def replica(world: Followed, service: str, application: str) -> ServiceProcess | None:
    name = application.removeprefix("tailrace/")
    found = [p for p in world.installation.group.replicas(service) if name and name in p.log.read_text()]
    return found[0] if found else None


def running(world: Followed, service: str) -> list[ServiceProcess]:
    return [p for p in world.installation.group.replicas(service) if p.is_ready()]


def changes(process: ServiceProcess, run: str) -> float:
    with urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    mine = [line for line in lines if line.startswith("tailrace_changes_total{") and f'run="{run}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in mine)
