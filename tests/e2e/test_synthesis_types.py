"""Odd tables that are learned, end to end: every kind of type, infinities, nothing but NULL, one value, partitions, one row."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from support.databases import Pair
from support.installation import Installation

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not in this environment: make test-synthesis has one"
)
pytestmark = [pytest.mark.synthesis, needs_torch]

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
CREATE TABLE odd (
    id int PRIMARY KEY, flag boolean NOT NULL, small int2, big int8, exact numeric(12,4), loose numeric, single float4,
    double float8, born date, at timestamp,
    "at zone" timestamptz, clock time, span interval, mood mood, tags text[], doc jsonb, addr inet,
    code varchar(8) NOT NULL, letter char(2), latitude float8, longitude float8, token uuid, prose text, void text, raw bytea
);
CREATE TABLE part (id int, kind text NOT NULL, amount int NOT NULL, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
CREATE TABLE part_low PARTITION OF part FOR VALUES IN ('k0', 'k1');
CREATE TABLE part_high PARTITION OF part FOR VALUES IN ('k2', 'k3');
CREATE TABLE lonely (id int PRIMARY KEY, name text);
"""
ROWS = """
INSERT INTO odd SELECT n, n % 3 = 0, n % 7, 5000000000 + n % 400, (n % 1000) / 8.0, (n % 90) * 1.5, n / 7.0, sqrt(n),
    CASE WHEN n % 50 = 0 THEN 'infinity' ELSE date '1950-01-01' + n % 20000 END,
    timestamp '2020-01-01 08:00' + n * interval '7 min',
    CASE WHEN n % 60 = 0 THEN '-infinity' ELSE timestamptz '2021-03-01' + n * interval '11 min' END,
    time '06:00' + (n % 700) * interval '1 min', (n % 30) * interval '1 day', (ARRAY['sad', 'so so', 'happy'])[1 + n % 3]::mood,
    CASE n % 3 WHEN 0 THEN ARRAY['a', 'b'] WHEN 1 THEN ARRAY['c'] ELSE '{}' END, jsonb_build_object('k', n % 4),
    ('10.0.0.' || n % 5)::inet, 'AB-' || lpad((n % 997)::text, 4, '0'), (ARRAY['xx', 'yy'])[1 + n % 2],
    47 + (n % 100) / 50.0, 8 + (n % 77) / 40.0, gen_random_uuid(), repeat('word ', 1 + n % 20), NULL, decode('0' || n % 4, 'hex')
    FROM generate_series(1, 2500) n;
UPDATE odd SET double = 'NaN' WHERE id % 40 = 0;
UPDATE odd SET loose = 'NaN', single = 'Infinity' WHERE id % 45 = 0;
INSERT INTO part SELECT n, 'k' || n % 4, n % 60 FROM generate_series(1, 2500) n;
INSERT INTO lonely VALUES (1, 'me');
ANALYZE;
"""
JOB = """\
name: odd
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: halt
default_mode: exclude
limits: {partitions: 4}
tables:
  public.odd: {mode: synthesize, rows: 3000, train: {epochs: 4, ordered: [[small, big]], together: [[flag, mood]]}}
  public.part: {mode: synthesize, rows: 4000, train: {epochs: 4, sample: first, rows: 900},
    columns: {id: key, kind: {generator: make.choice, values: [k0, k1, k2, k3]}}}
"""


@pytest.fixture(scope="module")
def pair(new_pair: Callable[..., Pair]) -> Pair:
    return new_pair("odd", SCHEMA, ROWS)


def test_every_kind_of_type_is_learned_and_loaded(install: Callable[..., Installation], pair: Pair) -> None:
    installation = install(pair, replicas={"trainer": 1})
    record = installation.run(JOB, seconds=150)
    assert record.state == "done", record.failure or record.problems
    ask = pair.value
    assert ask("destination", "SELECT count(*) FROM odd") == 3000
    assert ask("destination", "SELECT count(*) FROM part WHERE amount BETWEEN 0 AND 59") == 4000
    assert ask("destination", "SELECT count(void) FROM odd") == 0
    assert ask("destination", "SELECT count(*) FROM odd WHERE exact * 8 <> round(exact * 8)") == 0
    assert ask("destination", "SELECT count(DISTINCT token) FROM odd") == 3000
    assert ask("destination", "SELECT count(*) FROM odd o WHERE NOT EXISTS (SELECT FROM odd WHERE tags = o.tags)") == 0
    assert ask("destination", "SELECT count(*) FROM odd WHERE latitude NOT BETWEEN 47 AND 49") == 0
    assert ask("destination", "SELECT count(*) FROM odd WHERE code !~ '^[A-Z]{2}-[0-9]{4}$'") == 0
    assert ask("destination", "SELECT count(DISTINCT doc) FROM odd") == 4
    assert ask("destination", "SELECT count(*) FROM odd WHERE small > big") == 0
    pairs = "SELECT count(DISTINCT (flag, mood)) FROM odd"
    assert ask("destination", pairs) == ask("source", pairs) == 3
    lonely = installation.run(JOB + "  public.lonely: {mode: synthesize, rows: 5}\n", seconds=100)
    assert lonely.state == "failed"
    assert lonely.failure is not None
    assert lonely.failure.code == "plan.refused"
    assert "plan.learn-too-few" in {problem.code for problem in lonely.problems}
    assert pair.value("destination", "SELECT count(*) FROM odd") == 3000, "nothing was changed"
