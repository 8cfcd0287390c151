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
from dataclasses import dataclass, field

import pytest

from support.blows import Blows
from support.databases import Pair
from support.followed import SCHEMA, Followed
from support.following import let_follow, streaming
from support.hammer import Hammer
from support.installation import Installation
from support.wholeness import seen_wrong
from tailrace.embedded.runtime import Runtime

pytestmark = [pytest.mark.timeout(400), pytest.mark.crash]
REPLICAS = {"reader": 2, "generator": 2, "writer": 2}
POINTS = {
    "reader": ("reader.before-changes", "reader.after-changes-before-confirm"),
    "generator": ("generator.after-changes-before-commit",),
    "writer": ("writer.after-changes-before-commit", "writer.after-changes"),
}
BLOWS = 3
FIRST = int(os.environ.get("TAILRACE_TEST_SEED", "1"))
LONG_SEEDS = int(os.environ.get("TAILRACE_TEST_SEEDS", "50"))


@dataclass
class World(Followed):
    """A followed pair, and how its destination's catalogue is before."""

    catalogue: list[tuple[str, ...]] = field(default_factory=list)


@pytest.fixture(scope="module")
def world(runtime: Runtime, new_pair: Callable[..., Pair]) -> Iterator[World]:
    pair = new_pair("hammered", SCHEMA)
    let_follow(pair)
    with Installation(runtime, pair, replicas=REPLICAS, canaries="canary-mail.test") as installation:
        yield World(pair, installation, catalogue=pair.catalogue())


def followed_under_blows(world: World, seed: int, blows: int) -> None:
    pair, installation, dice = world.pair, world.installation, random.Random(seed)
    world.reset()
    with Hammer(pair, seed) as hammer:
        run = installation.submit(world.job)
        attempt = streaming(installation, run, 150).attempt
        hammer.may_empty.set()
        dealt = under_blows(pair, installation, dice, blows)
        hammer.quiet.set()
        print(f"seed {seed}: {dict(hammer.done)}; {dealt}")
        world.is_equal(run, attempt)
    assert pair.catalogue() == world.catalogue


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
