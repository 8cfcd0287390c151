"""Made rows that refer to masked ones, end to end: pools of keys, as many rows for each as in the source, a generator that dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import Pair
from support.installation import Installation, eventually

STRUCTURE = """
CREATE TABLE person (
  id bigint PRIMARY KEY, region smallint NOT NULL, code text NOT NULL, name text NOT NULL, UNIQUE (region, code)
);
CREATE TABLE badge (id integer PRIMARY KEY, person_id bigint NOT NULL UNIQUE REFERENCES person);
CREATE TABLE visit (
  id uuid PRIMARY KEY, person_id bigint REFERENCES person, region smallint, code text, day date NOT NULL,
  FOREIGN KEY (region, code) REFERENCES person (region, code)
);
CREATE TABLE remark (id integer PRIMARY KEY, visit_id uuid NOT NULL REFERENCES visit, said text);
"""
ROWS = """
INSERT INTO person SELECT n, n % 7, 'C-' || 1000 + n, 'Person ' || n FROM generate_series(1, 900) n;
INSERT INTO visit SELECT gen_random_uuid(), n, n % 7, 'C-' || 1000 + n, '2024-01-01'
FROM generate_series(1, 600) n, generate_series(1, CASE WHEN n <= 100 THEN 11 ELSE 1 END);
INSERT INTO visit SELECT gen_random_uuid(), NULL, NULL, NULL, '2024-01-01' FROM generate_series(1, 400);
ANALYZE;
"""
JOB = """\
name: pooled
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate, constraints: REGIME}
policy: mask
limits: {rows_per_batch: 500, range_bytes: 65536, partitions: 6}
tables:
  public.person: {where: "region <> 3", columns: {id: key, region: duplicate, code: key, name: mock.full_name}}
  public.badge: {mode: generate, rows: 700}
  public.visit: {mode: synthesize, rows: 4000, columns: {day: make.date}}
  public.remark: {mode: generate, rows: 1000}
"""
CARRIED = 771


def test_made_rows_refer_to_masked_ones_whoever_masks_the_keys_and_however_often(
    install: Callable[..., Installation], new_pair: Callable[..., Pair], tmp_path: Path
) -> None:
    pair = new_pair("pooled", STRUCTURE, ROWS)
    installation = install(pair, replicas={"generator": 0})
    crash = {"TAILRACE_CRASH_AT": "generator.pool-sent:1", "TAILRACE_CRASH_ONCE": str(tmp_path / "once")}
    installation.scale("generator", 1, **crash)
    run = installation.submit(JOB.replace("REGIME", "respect"))
    eventually(lambda: (tmp_path / "once").exists(), 60, "a generator died when the keys were out and nobody knew")
    installation.scale("generator", 2)
    record = installation.wait(run, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    ask = pair.value
    assert ask("destination", "SELECT count(*) FROM person") == CARRIED
    assert ask("destination", "SELECT count(*) FROM badge JOIN person ON person.id = person_id") == 700
    both = (
        "SELECT count(*) FROM visit v JOIN person p ON p.id = v.person_id AND (p.region, p.code) = (v.region, v.code)"
    )
    joined = ask("destination", both.replace("AND (p.region, p.code) = (v.region, v.code)", ""))
    nulls = ask("destination", "SELECT count(*) FROM visit WHERE person_id IS NULL")
    assert joined == 4000 - nulls  # type: ignore[operator]
    assert 650 < nulls < 850, "400 of 2,000 in the source"  # type: ignore[operator]
    of_each = "SELECT count(*) AS n FROM visit WHERE person_id IS NOT NULL GROUP BY person_id ORDER BY 1 DESC LIMIT 86"
    busiest = ask("destination", f"SELECT sum(n) FROM ({of_each}) AS busiest")
    assert 0.64 < busiest / joined < 0.73, "1,100 of 1,600 belong to a ninth"  # type: ignore[operator]
    without = "SELECT count(*) FROM person WHERE id NOT IN (SELECT person_id FROM visit WHERE person_id IS NOT NULL)"
    assert 250 <= ask("destination", without) <= 330, "a third has none"  # type: ignore[operator]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_same_keys_are_drawn_with_any_replicas_and_in_both_regimes(
    install: Callable[..., Installation], new_pair: Callable[..., Pair]
) -> None:
    pair = new_pair("pooled_twice", STRUCTURE, ROWS)
    installation = install(pair)
    digests = []
    for regime in ("bypass", "respect"):
        record = installation.run(JOB.replace("REGIME", regime))
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
        digests.append(pair.digest())
        installation.scale("generator", 3)
    assert digests[0] == digests[1]
