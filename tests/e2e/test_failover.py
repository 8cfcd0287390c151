"""A source that fails over: where the standby has all that the lane has, the lane goes on; else everything is loaded anew."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.databases import make_pair
from support.followed import SCHEMA, Followed
from support.following import let_follow
from support.installation import Installation
from support.standby import Twins, twins
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def followed(
    runtime: Runtime, destination: EmbeddedPostgres, request: pytest.FixtureRequest
) -> Iterator[tuple[Followed, Twins]]:
    name = f"failover_{request.param}"
    primary = runtime.start_postgres(f"{name}-primary", fsync=False)
    pair = make_pair(name, primary, destination, SCHEMA)
    let_follow(pair)
    with twins(runtime, pair) as both, Installation(runtime, both.pair, canaries="canary-mail.test") as installation:
        yield Followed(both.pair, installation), both


@pytest.mark.parametrize("followed", ["kept"], indirect=True)
def test_the_lane_goes_on_from_a_promoted_standby_that_has_its_slot(followed: tuple[Followed, Twins]) -> None:
    world, both = followed
    both.wait_for()
    world.reset()
    run = world.submit()
    with world.hammered(31) as hammer:
        both.synced()
        time.sleep(1)
        both.fail_over()
        time.sleep(3)
        hammer.quiet.set()
        world.is_equal(run)


@pytest.mark.long
@pytest.mark.parametrize("followed", ["behind"], indirect=True)
def test_a_standby_that_lacks_what_the_lane_has_told_is_loaded_anew(followed: tuple[Followed, Twins]) -> None:
    """Its WAL positions stand for something else from the switch on."""
    world, both = followed
    world.reset()
    run = world.submit()
    with world.hammered(32) as hammer:
        both.synced()
        both.replication.cut()
        time.sleep(3)
        both.fail_over()
        world.again(run)
        time.sleep(1)
        hammer.quiet.set()
        world.is_equal(run, 2)
