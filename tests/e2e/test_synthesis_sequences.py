"""Entities and their events, end to end: sampled whole, learned as one, drawn by any number of generators, whoever dies."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from support.databases import Pair
from support.installation import Installation, eventually
from support.untrained import keep_model, make_pair, make_subject
from tailrace_shared.synthesis import Privacy
from tailrace_trainer.learning.sequence import Ties, learn_sequence

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="torch is not in this environment: make test-synthesis has one",
)
pytestmark = pytest.mark.synthesis

PLAYERS = 3_000
SCHEMA = """
CREATE TABLE player (player_id int PRIMARY KEY, bats text NOT NULL, weight int, name text NOT NULL);
CREATE TABLE season (
    season_id bigint PRIMARY KEY, player_id int NOT NULL REFERENCES player, year int NOT NULL, team text NOT NULL,
    games int NOT NULL, remark text, UNIQUE (player_id, year)
);
"""
ROWS = f"""
INSERT INTO player SELECT n, CASE WHEN n % 4 = 0 THEN 'L' ELSE 'R' END, 60 + n % 40, 'player' || n || '@canary-mail.test'
FROM generate_series(1, {PLAYERS}) n;
INSERT INTO season SELECT row_number() OVER (ORDER BY random()), n, 1950 + n % 50 + place + (place / 3),
    'team ' || (CASE WHEN place < 4 THEN n % 6 ELSE (n + 1) % 6 END), 20 + 10 * place + (n * 7 + place) % 9, NULL
FROM generate_series(1, {PLAYERS}) n, generate_series(0, CASE WHEN n % 4 = 0 THEN 7 ELSE n % 5 END) place;
INSERT INTO season SELECT 1000000 + y, 77, 2100 + y, 'nowhere', 999, 'x' FROM generate_series(1, 150) y;
ANALYZE;
"""
JOB = """\
name: career
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
limits: {rows_per_batch: 1000, partitions: 6}
policy: halt
tables:
  public.player:
    mode: synthesize
    rows: 9000
    train: {TRAIN}
    columns: {name: mock.full_name}
  public.season:
    mode: synthesize
    sequence: {entity: public.player, order: year}
    columns: {remark: null}
"""
LEARNED = JOB.replace("{TRAIN}", "{epochs: 25}")
FIGURES = """
SELECT json_build_object(
    'seasons', (SELECT count(*) FROM season),
    'mean', (SELECT count(*) FROM season) / (SELECT count(*) FROM player)::float8,
    'left', (SELECT avg(n)::float8 FROM (SELECT count(year) AS n FROM player LEFT JOIN season USING (player_id)
             WHERE bats = 'L' GROUP BY player_id) AS careers),
    'right', (SELECT avg(n)::float8 FROM (SELECT count(year) AS n FROM player LEFT JOIN season USING (player_id)
              WHERE bats = 'R' GROUP BY player_id) AS careers),
    'longest', (SELECT max(n) FROM (SELECT count(*) AS n FROM season GROUP BY player_id) AS careers),
    'gap', (SELECT avg(gap)::float8 FROM (SELECT year - lag(year) OVER career AS gap FROM season
            WINDOW career AS (PARTITION BY player_id ORDER BY year)) AS g),
    'same', (SELECT avg((team = before)::int)::float8 FROM (SELECT team, lag(team) OVER career AS before FROM season
             WINDOW career AS (PARTITION BY player_id ORDER BY year)) AS t WHERE before IS NOT NULL),
    'late', (SELECT avg(games)::float8 FROM (SELECT games, row_number() OVER (PARTITION BY player_id ORDER BY year) AS place
             FROM season) AS p WHERE place > 5),
    'early', (SELECT avg(games)::float8 FROM (SELECT games, row_number() OVER (PARTITION BY player_id ORDER BY year) AS place
              FROM season) AS p WHERE place < 3),
    'last_year', (SELECT max(year) FROM season)
)::text
"""


@pytest.fixture(scope="module")
def pair(new_pair: Callable[..., Pair]) -> Pair:
    return new_pair("career", SCHEMA, ROWS)


def figures(pair: Pair, side: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(str(pair.value(side, FIGURES)))
    return found


def saved_model(pair: Pair) -> str:
    """A model of both tables in the destination's schema, as a run would have left it; its networks have learned nothing."""
    rng, people = np.random.default_rng(1), 2000
    owners = np.repeat(np.arange(people), rng.poisson(3, people))
    players = pa.table(
        {"player_id": np.arange(people), "bats": rng.choice(["L", "R"], people), "weight": rng.integers(60, 99, people)}
    )
    seasons = pa.table(
        {
            "player_id": owners,
            "year": rng.integers(1950, 1990, len(owners)).astype(np.int32),
            "team": rng.choice(["A", "B", "C"], len(owners)),
            "games": rng.integers(1, 160, len(owners)).astype(np.int32),
        }
    )
    coded = learn_sequence(
        players, seasons, [make_subject("bats", "text", False), make_subject("weight", "int4", False)],
        [make_subject("year", "int4", False), make_subject("team", "text", False), make_subject("games", "int4", False)],
        Ties("player_id", "player_id", "year"), Privacy(), rng,
    )  # fmt: skip
    artefact = make_pair(coded, Privacy())

    return keep_model(pair, "public.player", artefact)


def test_a_saved_model_is_drawn_from_without_torch_the_same_by_any_number_of_generators(
    install: Callable[..., Installation], pair: Pair, tmp_path: Path
) -> None:
    job = JOB.replace("{TRAIN}", f"{{model: '{saved_model(pair)}'}}")
    found = []
    installation = install(pair)
    for generators, crash in ((1, {}), (3, {"TAILRACE_CRASH_AT": "generator.in-order"})):
        more = {"TAILRACE_CRASH_ONCE": str(tmp_path / "once")} if crash else {}
        installation.scale("generator", generators, **crash, **more)
        record = installation.run(job, seconds=90)
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
        found.append(pair.digest())
    assert found[0] == found[1]
    assert (tmp_path / "once").exists(), "one of them died"
    ask = pair.value
    assert ask("destination", "SELECT array[count(*), max(player_id)] FROM player") == [9000, 9000]
    count = ask("destination", "SELECT count(*) FROM season")
    assert ask("destination", "SELECT max(season_id) FROM season") == count
    assert ask("destination", "SELECT count(*) FROM season JOIN player USING (player_id)") == count
    job = job.replace("    sequence: {entity: public.player, order: year}\n", "    rows: 5\n    train: {epochs: 1}\n")
    apart = installation.run(job, seconds=60)
    assert apart.failure is not None
    assert (apart.failure.code, "entities and their events" in apart.failure.message) == ("model.columns", True)


@needs_torch
def test_careers_are_drawn_with_their_players_and_a_lost_generator_or_trainer_changes_nothing(
    install: Callable[..., Installation], pair: Pair, tmp_path: Path
) -> None:
    installation = install(pair, replicas={"generator": 1})
    (doomed,) = installation.scale(
        "trainer", 1, TAILRACE_CRASH_AT="trainer.before-publishing", TAILRACE_CRASH_ONCE=str(tmp_path / "trainer")
    )
    run = installation.submit(LEARNED)
    eventually(lambda: (tmp_path / "trainer").exists(), 180, "the trainer was lost")
    eventually(lambda: not doomed.alive, 10, "it is dead")
    installation.scale("trainer", 2)
    installation.scale(
        "generator", 2, TAILRACE_CRASH_AT="generator.in-order", TAILRACE_CRASH_ONCE=str(tmp_path / "generator")
    )
    record = installation.wait(run, seconds=240)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    (model,) = record.models
    assert (model.name, model.state) == ("public.player", "ready")
    assert (tmp_path / "generator").exists(), "a generator died"
    ours, theirs = figures(pair, "source"), figures(pair, "destination")
    ask = pair.value
    assert ask("destination", "SELECT array[count(*), min(player_id), max(player_id)] FROM player") == [9000, 1, 9000]
    assert ask("destination", "SELECT array[min(season_id), max(season_id)] FROM season") == [1, theirs["seasons"]]
    assert ask("destination", "SELECT count(*) FROM season JOIN player USING (player_id)") == theirs["seasons"]
    assert ask("destination", "SELECT count(*) FROM player WHERE name LIKE '%canary-mail.test'") == 0
    assert theirs["mean"] == pytest.approx(ours["mean"], rel=0.07)
    assert theirs["left"] == pytest.approx(8, rel=0.1), "how many follows from who it is"
    assert theirs["right"] == pytest.approx(ours["right"], rel=0.12)
    assert theirs["gap"] == pytest.approx(1.3, rel=0.15)
    assert theirs["same"] == pytest.approx(ours["same"], abs=0.08), "an event sees those before"
    assert theirs["late"] - theirs["early"] > 25
    assert (theirs["longest"] <= 12, theirs["last_year"] < 2100) == (True, True), "the longest career is nobody's"
    assert ask("destination", "SELECT count(*) FROM season WHERE team = 'nowhere'") == 0

    digest = pair.digest()
    again = installation.run(JOB.replace("{TRAIN}", f"{{model: '{model.digest}'}}"), seconds=120)
    assert again.state == "done", again.failure or again.problems
    assert pair.digest() == digest, "from the saved model, by other replicas"
