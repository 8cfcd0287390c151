"""Replicas of all services die and stop at random, replaced at once, run after run. ``TAILRACE_TEST_CHAOS_S`` says how long.

The seed is printed and may be given as ``TAILRACE_TEST_SEED``: it fixes who is hit how and when, not how the processes race.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.blows import Blows
from support.databases import Pair
from support.installation import Installation
from support.undisturbed import Undisturbed, slowly
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime

pytestmark = [pytest.mark.long, pytest.mark.crash]

CHAOS_S = float(os.environ.get("TAILRACE_TEST_CHAOS_S", "600"))
SEED = int(os.environ.get("TAILRACE_TEST_SEED", str(random.SystemRandom().randrange(1 << 32))))
REPLICAS = {"reader": 2, "generator": 2, "writer": 3}
BLOWS_PER_RUN = 8
"""More, and no attempt would have the quiet to end; a run that is left alone afterwards must."""


@pytest.fixture(scope="module")
def shop(runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str) -> Undisturbed:
    return Undisturbed.by_running(runtime, new_shop("kills", 20_000), f"{slowly(shop_job)}  restarts: 20\n")


def disturbed(
    installation: Installation, shop: Undisturbed, chance: random.Random, services: tuple[str, ...]
) -> Counter[str]:
    """One run under blows, with everything said twice, and its proof."""
    blows, over = Blows(installation, chance, REPLICAS, BLOWS_PER_RUN, services=services), threading.Event()
    run = installation.submit(shop.job)
    with installation.saying_everything_twice(), ThreadPoolExecutor(1) as pool:
        beating = pool.submit(blows.rain, over)
        try:
            installation.wait(run, seconds=240)
        finally:
            over.set()
        beating.result()
    assert not blows.surprises
    shop.is_what_came_of(installation, run)
    return blows.dealt


@pytest.mark.timeout(CHAOS_S + 600)
def test_replicas_that_die_and_stop_at_random_cost_nothing(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    print(f"TAILRACE_TEST_SEED={SEED}")
    chance, dealt, runs = random.Random(SEED), Counter[str](), 0
    installation = install(shop.pair, replicas=REPLICAS)
    end = time.monotonic() + CHAOS_S
    while time.monotonic() < end:
        dealt += disturbed(installation, shop, chance, ("reader", "generator", "writer"))
        runs += 1
    print(f"{runs} runs: {dict(dealt)}")
    assert len(dealt) == 6 or CHAOS_S < 300, "every service was killed and stopped"


@pytest.mark.timeout(CHAOS_S + 600)
def test_the_lead_goes_round_three_writers_as_leaders_die(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    """Only the leader is hit, as soon as there is one."""
    installation = install(shop.pair, replicas={"writer": 3}, extra={"TAILRACE_LOCK_TIMEOUT_S": "1"})
    for turn in range(4):
        run, fallen = installation.submit(shop.job), set[int]()
        end = time.monotonic() + 120
        while len(fallen) < 4 and time.monotonic() < end and not shop.is_over(run):
            leader = leading(installation, shop, run)
            if leader is None or leader.pid in fallen:
                time.sleep(0.1)
                continue
            fallen.add(leader.pid)
            leader.kill()
            installation.scale("writer", 3)
        shop.is_what_came_of(installation, run, seconds=180)
        assert fallen, f"run {turn} was led by nobody"


def leading(installation: Installation, shop: Undisturbed, run: str) -> ServiceProcess | None:
    """The writer whose name is in the run's row: its log tells the name."""
    rows = shop.pair.fetch("destination", f"SELECT leader FROM tailrace.run WHERE run = '{run}'")
    if not rows or not rows[0]["leader"]:
        return None
    return next((w for w in installation.group.replicas("writer") if rows[0]["leader"] in w.log.read_text()), None)
