"""What a job asks of learned rows, through the services: differential privacy, seeds of the source, rules, context. Takes torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from support.databases import Pair
from support.installation import Installation
from tailrace_shared.messages import RunRecord
from tailrace_shared.synthesis import Artefact

pytestmark = [
    pytest.mark.synthesis,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("torch", "opacus")),
        reason="torch and opacus are not in this environment: make test-synthesis has them",
    ),
]

SCHEMA = """
CREATE TABLE town (town_id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE wanted (town text NOT NULL, fare numeric(8,2) NOT NULL);
CREATE TABLE trip (trip_id bigint PRIMARY KEY, town text NOT NULL, fare numeric(8,2) NOT NULL, tip numeric(8,2) NOT NULL,
    paid boolean NOT NULL);
CREATE TABLE ride (LIKE trip INCLUDING ALL);
CREATE TABLE guest (guest_id bigint PRIMARY KEY, sex text NOT NULL, age int, income float8 NOT NULL, note text NOT NULL);
"""
ROWS = """
INSERT INTO town SELECT n, 'Canaryville ' || chr(64 + n) FROM generate_series(1, 4) n;
INSERT INTO wanted VALUES ('Canaryville A', 12.50), ('Canaryville C', 30.00), ('Canaryville C', 7.00);
INSERT INTO trip SELECT n, 'Canaryville ' || chr(65 + n % 4), 5 + n % 40, (n * 7 % 60) / 4.0, (n % 4) < 2
    FROM generate_series(1, 3000) n;
INSERT INTO ride SELECT * FROM trip;
INSERT INTO guest SELECT n, CASE WHEN n % 3 = 0 THEN 'F' ELSE 'M' END, 20 + n % 50,
    CASE WHEN n % 3 = 0 THEN 4000 ELSE 2000 END + n % 700, CASE WHEN n = 77 THEN 'canary-mail.test' ELSE 'none' END
    FROM generate_series(1, 24000) n;
ANALYZE;
"""
JOB = """\
name: asked
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: mask
limits: {rows_per_batch: 1000, partitions: 6}
default_mode: exclude
tables:
  public.town: {columns: {town_id: duplicate, name: mask.text}}
  public.trip:
    mode: synthesize
    rows: 5000
    train: {epochs: 4}
    draw:
      seeds: {table: public.wanted, columns: [town, fare]}
      ordered: [[tip, fare]]
  public.ride:
    mode: synthesize
    rows: 4000
    train: {epochs: 40, context: [town, paid]}
    columns: {town: mask.text, paid: duplicate}
    draw: {below: [[tip, fare]]}
  public.guest:
    mode: synthesize
    rows: 6000
    train: {epsilon: 3, delta: 1.0e-6}
    columns: {income: {generator: ai, low: 2000}, sex: {generator: ai, weights: {F: 2, M: 1}}}
"""


@dataclass
class Drawn:
    pair: Pair
    record: RunRecord

    def ask(self, question: str) -> object:
        return self.pair.value("destination", question)


@pytest.fixture(scope="module")
def drawn(runtime: object, new_pair: Callable[..., Pair]) -> Drawn:
    pair = new_pair("asked", SCHEMA, ROWS)
    with Installation(runtime, pair, replicas={"trainer": 1, "generator": 2}) as installation:  # type: ignore[arg-type]
        record = installation.run(JOB, seconds=420)
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
    return Drawn(pair, record)


def test_a_private_model_keeps_shares_tells_its_guarantee_and_no_rare_value(drawn: Drawn) -> None:
    told = next(model for model in drawn.record.models if model.name == "public.guest")
    assert (told.state, told.loss) == ("ready", 0.0)
    (saved,) = drawn.pair.fetch("destination", f"SELECT data FROM tailrace.saved_model WHERE digest = '{told.digest}'")
    header = Artefact.load(saved["data"]).header
    assert (header.privacy.epsilon, header.privacy.delta) == (3.0, 1e-6)
    assert header.training.account is not None
    assert 0 < header.training.account.sampling_rate < 0.1
    assert b"canary-mail" not in saved["data"]
    assert drawn.ask("SELECT count(*) FROM guest WHERE note = 'canary-mail.test'") == 0
    assert drawn.ask("SELECT min(income) >= 2000 FROM guest") is True
    # a third of the rows is F: twice the weight makes it half
    assert drawn.ask("SELECT avg((sex = 'F')::int)::float8 FROM guest") == pytest.approx(0.5, abs=0.12)
    # what follows from sex is learned through the noise: without that it would be 0.33
    assert drawn.ask("SELECT avg((income >= 3900)::int)::float8 FROM guest WHERE sex = 'F'") > 0.45  # type: ignore[operator]


def test_seeds_of_the_source_are_used_in_turn(drawn: Drawn) -> None:
    pairs = drawn.pair.fetch("destination", "SELECT town, fare::float8 AS fare FROM trip ORDER BY trip_id")
    seeds = [("Canaryville A", 12.5), ("Canaryville C", 30.0), ("Canaryville C", 7.0)]
    assert [(row["town"], row["fare"]) for row in pairs] == (seeds * 1667)[:5000]
    assert drawn.ask("SELECT count(DISTINCT tip) > 10 FROM trip") is True


def test_rules_hold_and_how_many_rows_broke_them_is_in_the_record(drawn: Drawn) -> None:
    assert drawn.ask("SELECT count(*) FROM trip WHERE tip > fare") == 0
    assert drawn.ask("SELECT count(*) FROM ride WHERE tip >= fare") == 0
    rates = {model.name: model.rejected for model in drawn.record.models}
    assert rates["public.guest"] == 0
    assert 0 < rates["public.trip"] < 1
    assert 0 < rates["public.ride"] < 1


def test_masked_context_agrees_with_carried_tables_and_with_its_row(drawn: Drawn) -> None:
    assert drawn.ask("SELECT count(*) FROM ride JOIN town ON town.name = ride.town") == 4000
    assert drawn.ask("SELECT count(*) FROM ride WHERE town LIKE 'Canaryville%'") == 0
    # in the source, paid follows from the town
    right = drawn.ask(
        "SELECT avg((paid = (town_id IN (1, 2)))::int)::float8 FROM ride JOIN town ON town.name = ride.town"
    )
    assert right > 0.8  # type: ignore[operator]
