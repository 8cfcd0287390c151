"""Two trainers and three generators that die and stop at random while tables are learned and drawn: the same rows, once each.

The seed is printed and may be given as ``TAILRACE_TEST_SEED``: it fixes who is hit how and when, not how the processes race.
"""

from __future__ import annotations

import importlib.util
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from support.blows import Blows
from support.databases import Pair
from support.installation import Installation, eventually

pytestmark = [
    pytest.mark.synthesis,
    pytest.mark.crash,
    pytest.mark.skipif(
        importlib.util.find_spec("torch") is None,
        reason="torch is not in this environment: make test-synthesis has one",
    ),
]

SEED = int(os.environ.get("TAILRACE_TEST_SEED", str(random.SystemRandom().randrange(1 << 32))))
REPLICAS = {"trainer": 2, "generator": 3}
BLOWS = 8
SCHEMA = """
CREATE TABLE place (place_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE north (north_id bigint PRIMARY KEY, place_id int REFERENCES place, kind text NOT NULL, price numeric(8,2) NOT NULL);
CREATE TABLE south (south_id bigint PRIMARY KEY, north_id bigint NOT NULL REFERENCES north, low int NOT NULL, high int NOT NULL);
CREATE TABLE west (west_id bigint PRIMARY KEY, kind text NOT NULL, day date);
"""
ROWS = """
INSERT INTO place SELECT n, 'place ' || n FROM generate_series(1, 5) n;
INSERT INTO north SELECT n, 1 + n % 5, chr(65 + n % 3), 10 * (1 + n % 3) + n % 7 FROM generate_series(1, 2500) n;
INSERT INTO south SELECT n, 1 + n % 2500, n % 40, n % 40 + n % 11 FROM generate_series(1, 2500) n;
INSERT INTO west SELECT n, chr(65 + n % 3), CASE WHEN n % 9 > 0 THEN date '2020-01-01' + (n % 300)::int END
    FROM generate_series(1, 2500) n;
ANALYZE;
"""
JOB = """\
name: kills
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: mask
limits: {rows_per_batch: 1000, partitions: 6, credit_bytes: 1048576}
default_mode: exclude
tables:
  public.place: {mode: duplicate}
  public.north: {mode: synthesize, rows: 40000, train: {epochs: 8}, columns: {place_id: ai}}
  public.south: {mode: synthesize, rows: 30000, train: {epochs: 8}, draw: {ordered: [[low, high]]}}
  public.west: {mode: synthesize, rows: 20000, train: {epochs: 8}}
"""


@dataclass
class Undisturbed:
    pair: Pair
    digest: object
    models: dict[str, str]


@pytest.fixture(scope="module")
def calm(runtime: object, new_pair: Callable[..., Pair]) -> Undisturbed:
    """What one replica of each service makes of it."""
    pair = new_pair("kills", SCHEMA, ROWS)
    with Installation(runtime, pair, replicas={"trainer": 1}) as installation:  # type: ignore[arg-type]
        record = installation.run(JOB, seconds=180)
        assert record.state == "done", record.failure or record.problems
        eventually(lambda: not installation.topics_left(), 60, "the run's topics are gone")
    return Undisturbed(pair, pair.digest(), {model.name: model.digest for model in record.models})


def test_trainers_and_generators_that_die_at_random_cost_only_time(
    install: Callable[..., Installation], calm: Undisturbed
) -> None:
    print(f"TAILRACE_TEST_SEED={SEED}")
    installation, over = install(calm.pair, replicas=REPLICAS), threading.Event()
    blows = Blows(installation, random.Random(SEED), REPLICAS, BLOWS)
    run = installation.submit(JOB)
    installation.wait(run, lambda record: any(model.trainer for model in record.models), seconds=120)
    with ThreadPoolExecutor(1) as pool:
        beating = pool.submit(blows.rain, over)
        try:
            record = installation.wait(run, seconds=300)
        finally:
            over.set()
        beating.result()
    assert record.state == "done", (record.failure, dict(blows.dealt))
    assert not blows.surprises
    assert [check for check in record.checks if not check.passed] == []
    assert {model.name: model.digest for model in record.models} == calm.models, "whoever learned it, it is the same"
    assert calm.pair.digest() == calm.digest
    assert sum(blows.dealt.values()) >= 3, dict(blows.dealt)
