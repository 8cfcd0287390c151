"""A destination that follows equals a fresh masked snapshot of its source, whatever goes on in the source and whoever dies.

Seeds 1 to 3, or as many as ``TAILRACE_TEST_SEEDS`` says, from ``TAILRACE_TEST_SEED`` on.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from support.blows import Blows
from support.databases import DATABASES, Pair
from support.following import caught_up, let_follow, slots, streaming
from support.hammer import Hammer
from support.installation import Installation
from support.wholeness import seen_wrong
from tailrace.embedded.runtime import Runtime
from tailrace_shared.messages import StopRequested

pytestmark = [pytest.mark.timeout(400), pytest.mark.crash]
REPLICAS = {"reader": 2, "generator": 2, "writer": 2}
POINTS = {
    "reader": ("reader.before-changes", "reader.after-changes-before-confirm"),
    "generator": ("generator.after-changes-before-commit",),
    "writer": ("writer.after-changes-before-commit", "writer.after-changes"),
}
BLOWS = 4
FIRST = int(os.environ.get("TAILRACE_TEST_SEED", "1"))
LONG_SEEDS = int(os.environ.get("TAILRACE_TEST_SEEDS", "50"))
ROWS = (DATABASES / "hammer_rows.sql").read_text()
JOB = (DATABASES / "hammer_job.yaml").read_text()


@dataclass
class World:
    """A pair and its services, for many seeds."""

    pair: Pair
    installation: Installation
    catalogue: list[tuple[str, ...]]

    def reset(self) -> None:
        """The source as it was first."""
        tables = ", ".join(self.pair.tables("source"))
        self.pair.source.run_sql(f"TRUNCATE {tables};\n{ROWS}", self.pair.name)


@pytest.fixture(scope="module")
def world(runtime: Runtime, new_pair: Callable[..., Pair]) -> Iterator[World]:
    pair = new_pair("hammered", (DATABASES / "hammer.sql").read_text())
    let_follow(pair)
    with Installation(runtime, pair, replicas=REPLICAS, canaries="canary-mail.test") as installation:
        yield World(pair, installation, pair.catalogue())


def followed_under_blows(world: World, seed: int, blows: int) -> None:
    pair, installation, dice = world.pair, world.installation, random.Random(seed)
    world.reset()
    with Hammer(pair, seed) as hammer:
        run = installation.submit(JOB)
        attempt = streaming(installation, run, 120).attempt
        hammer.may_empty.set()
        dealt = under_blows(pair, installation, dice, blows)
        hammer.quiet.set()
        caught_up(pair, 90)
    print(f"seed {seed}: {dict(hammer.done)}; {dealt}")
    assert seen_wrong(pair) == {}
    followed = pair.digest()
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=90)
    assert record.state == "done", record.failure or record.checks
    assert record.attempt == attempt, "the lane was thought to be broken"
    assert pair.catalogue() == world.catalogue
    assert pair.digest() == followed
    assert slots(pair) == []
    fresh = installation.run(JOB.replace("mode: continuous\n", ""))
    assert fresh.state == "done", fresh.failure or fresh.problems
    assert pair.digest() == followed


def under_blows(pair: Pair, installation: Installation, dice: random.Random, count: int) -> dict[str, int]:
    """Meanwhile nobody who looks into the destination sees anything that was never in the source."""
    blows, over = Blows(installation, dice, REPLICAS, count, points=POINTS), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        beating = pool.submit(blows.rain, over)
        try:
            while not beating.done():
                assert seen_wrong(pair) == {}
                time.sleep(random.uniform(0.0, 0.5))
        finally:
            over.set()
        beating.result()
    assert not blows.surprises
    return dict(blows.dealt)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 3))
def test_what_is_followed_under_blows_equals_a_fresh_snapshot(world: World, seed: int) -> None:
    followed_under_blows(world, seed, BLOWS)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(FIRST + 3, FIRST + 3 + LONG_SEEDS))
def test_whatever_the_seed_it_equals_a_fresh_snapshot(world: World, seed: int) -> None:
    followed_under_blows(world, seed, 3 * BLOWS)
