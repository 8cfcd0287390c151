"""Tables that are learned, end to end: sampled, taught, drawn, loaded; whoever dies on the way. Learning needs torch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from support.browser import Browser
from support.databases import Pair
from support.installation import Installation, eventually
from support.untrained import keep_model, make_artefact, make_subject
from tailrace.quality.model import QualityReport
from tailrace_shared.messages import RunRecord
from tailrace_shared.synthesis import Privacy
from tailrace_trainer.learning.table import learn_table

TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not TORCH, reason="torch is not in this environment: make test-synthesis has one")
pytestmark = pytest.mark.synthesis

SCHEMA = """
CREATE TABLE branch (branch_id int PRIMARY KEY, town text NOT NULL);
CREATE TABLE person (
    person_id bigint PRIMARY KEY, token uuid NOT NULL UNIQUE, branch_id int REFERENCES branch, sex text NOT NULL,
    age int, income numeric(10,2) NOT NULL, joined date, nothing text, always int NOT NULL, email text NOT NULL
);
CREATE TABLE visit (visit_id bigint PRIMARY KEY, person_id bigint NOT NULL REFERENCES person, minutes int NOT NULL);
"""
ROWS = """
INSERT INTO branch SELECT n, 'town ' || n FROM generate_series(1, 5) n;
INSERT INTO person SELECT n, gen_random_uuid(), 1 + n % 5, CASE WHEN n % 3 = 0 THEN 'F' ELSE 'M' END,
    CASE WHEN n % 20 > 0 THEN 20 + n % 50 END, round((CASE WHEN n % 3 = 0 THEN 4000 ELSE 2000 END + n % 700)::numeric, 2),
    date '2020-01-01' + (n % 900)::int, NULL, 7, 'person' || n || '@canary-mail.test' FROM generate_series(1, 3000) n;
UPDATE person SET income = 98765432.10, age = 119 WHERE person_id = 77;
INSERT INTO visit SELECT n, 1 + n % 3000, n % 90 FROM generate_series(1, 4000) n;
ANALYZE;
"""
JOB = """\
name: learned
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: mask
limits: {rows_per_batch: 1000, range_bytes: 65536, partitions: 6, credit_bytes: 1048576}
default_mode: exclude
tables:
  public.branch: {mode: duplicate}
  public.person:
    mode: synthesize
    rows: 5000
    train: {epochs: 80, k: 10}
    columns: {email: mock.email, branch_id: ai}
  public.visit:
    mode: synthesize
    rows: 7000
    train: {epochs: 3}
"""
OTHERS = {"public.branch": 5}


@dataclass
class Learned:
    """A pair, what one replica of each service has made of it, and the models' digests."""

    pair: Pair
    digest: dict[str, tuple[int, int]]
    models: dict[str, str]
    report: Path
    """A folder with the run's report."""


def digests(record: RunRecord) -> dict[str, str]:
    return {model.name: model.digest for model in record.models}


@pytest.fixture(scope="module")
def pair(new_pair: Callable[..., Pair]) -> Pair:
    return new_pair("learned", SCHEMA, ROWS)


@pytest.fixture(scope="module")
def learned(runtime: object, pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("report")
    with Installation(runtime, pair, replicas={"trainer": 1}) as installation:  # type: ignore[arg-type]
        record = installation.run(JOB, seconds=180)
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
        assert {model.state for model in record.models} == {"ready"}
        eventually(lambda: not installation.topics_left(), 60, "the run's topics are gone")
        reported(installation, pair, record.run, folder)
    return Learned(pair, pair.digest(), digests(record), folder)


def reported(installation: Installation, pair: Pair, run: str, folder: Path) -> None:
    """``tailrace report`` of the run, named by its end."""
    subprocess.run(
        [sys.executable, "-m", "tailrace", "report", run[-8:], "-o", str(folder)],
        env={
            **os.environ,
            **installation.runtime.kafka_settings,
            "TAILRACE_NAMESPACE": installation.namespace,
            "SOURCE_URL": pair.source_url,
            "DESTINATION_URL": pair.destination_url,
        },
        timeout=300,
        check=True,
    )


@needs_torch
def test_as_many_rows_as_asked_for_are_drawn_and_their_keys_hold(learned: Learned) -> None:
    ask = learned.pair.value
    assert ask("destination", "SELECT array[count(*), min(person_id), max(person_id)] FROM person") == [5000, 1, 5000]
    assert ask("destination", "SELECT count(*) FROM visit JOIN person USING (person_id)") == 7000
    assert ask("destination", "SELECT count(*) FROM person JOIN branch USING (branch_id)") == 5000


@needs_torch
def test_drawn_rows_have_the_dependence_of_the_source_and_none_of_its_people(learned: Learned) -> None:
    ask = learned.pair.value
    assert ask("destination", "SELECT avg((sex = 'F')::int)::float8 FROM person") == pytest.approx(1 / 3, abs=0.03)
    for sex, low in (("F", 4000), ("M", 2000)):
        inside = f"SELECT avg((income BETWEEN {low} AND {low + 700})::int)::float8 FROM person WHERE sex = '{sex}'"
        assert ask("destination", inside) > 0.9  # type: ignore[operator]
    assert ask("destination", "SELECT max(income)::float8 FROM person") < 10_000  # type: ignore[operator]
    assert ask("destination", "SELECT count(*) FROM person WHERE email LIKE '%canary-mail.test'") == 0
    assert ask("destination", "SELECT count(nothing) FROM person") == 0
    assert ask("destination", "SELECT array[min(always), max(always)] FROM person") == [7, 7]
    gaps = ask("destination", "SELECT avg((age IS NULL)::int)::float8 FROM person")
    assert gaps == pytest.approx(0.05, abs=0.02)


@needs_torch
def test_the_run_has_a_report_of_likeness_and_privacy(learned: Learned, tmp_path: Path) -> None:
    (html,), (told,), (figures,) = (list(learned.report.glob(f"tailrace-*.{end}")) for end in ("html", "json", "prom"))
    report = QualityReport.model_validate_json(told.read_text())
    tables = {table.name: table for table in report.tables}
    person = tables["public.person"]
    assert report.run is not None
    assert all(check.passed for check in report.run.checks)
    assert person.shape is not None
    assert person.shape < 0.1
    assert [gate.verdict for gate in person.gates if gate.name == "gap"] != ["unmeasured"], "the model tells its losses"
    assert {sequence.parent for sequence in tables["public.visit"].sequences} == {"public.person"}
    assert 'table="public.person",tailrace_job="learned"' in figures.read_text()
    assert "canary-mail.test" not in html.read_text() + told.read_text()
    browser = Browser.installed(tmp_path)
    if browser is not None:
        found = browser.measure(html.read_text(), 360)
        assert found["scroll"] == found["width"] == 360, str(found)
        assert (found["out"], found["cut"], found["over"]) == ([], [], []), found


@needs_torch
def test_replicas_draw_the_same_rows_from_a_saved_model_and_no_trainer_is_needed(
    install: Callable[..., Installation], learned: Learned
) -> None:
    installation = install(learned.pair, replicas={"generator": 3, "writer": 2})
    person, visit = learned.models["public.person"], learned.models["public.visit"]
    again = JOB.replace("{epochs: 80", f"{{model: '{person}', epochs: 80").replace(
        "{epochs: 3}", f"{{model: '{visit}'}}"
    )
    record = installation.run(again, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert learned.pair.digest() == learned.digest
    refused = installation.run(again.replace(visit, "0" * 64), seconds=60)
    assert refused.state == "failed"
    assert refused.failure is not None
    assert refused.failure.code == "model.unknown"


@needs_torch
@pytest.mark.parametrize("where", ["trainer.before-learning", "trainer.before-publishing", "trainer.after-publishing"])
def test_a_trainer_that_is_lost_costs_only_time(
    install: Callable[..., Installation], pair: Pair, tmp_path: Path, where: str
) -> None:
    installation = install(pair)
    crash = {"TAILRACE_CRASH_AT": where, "TAILRACE_CRASH_ONCE": str(tmp_path / "once")}
    (doomed,) = installation.scale("trainer", 1, **crash)
    run = installation.submit(JOB)
    eventually(lambda: (tmp_path / "once").exists(), 120, "a trainer was lost")
    eventually(lambda: not doomed.alive, 10, "it is dead")
    installation.scale("trainer", 2)
    record = installation.wait(run, seconds=180)
    assert record.state == "done", record.failure
    assert pair.value("destination", "SELECT count(*) FROM person") == 5000


@needs_torch
def test_cancelling_ends_learning(install: Callable[..., Installation], pair: Pair) -> None:
    installation = install(pair, replicas={"trainer": 1})
    run = installation.submit(JOB.replace("epochs: 80", "epochs: 10000"))
    installation.wait(run, lambda r: any(model.epoch > 0 for model in r.models), seconds=120)
    installation.cancel(run)
    record = installation.wait(run, seconds=60)
    assert record.state == "cancelled"
    assert pair.value("destination", "SELECT count(*) FROM branch") == 0


@needs_torch
def test_too_few_entities_fail_with_their_reason(install: Callable[..., Installation], pair: Pair) -> None:
    """Rows are counted by the plan; how many entities they stand for, the trainer finds."""
    job = JOB.replace("epochs: 80", "entity: sex, epochs: 80")
    record = install(pair, replicas={"trainer": 1}).run(job, seconds=120)
    assert record.state == "failed"
    assert record.failure is not None
    assert record.failure.code == "trainer.few-rows"


def test_without_a_trainer_the_other_tables_are_loaded_and_the_run_says_what_it_waits_for(
    install: Callable[..., Installation], pair: Pair
) -> None:
    installation = install(pair)
    run = installation.submit(JOB)

    def waits(record: RunRecord) -> bool:
        loaded = {t.name: t.rows_loaded for t in record.tables if t.state == "loaded"}
        return loaded == OTHERS and record.waiting_for == "a trainer replica"

    record = installation.wait(run, waits, seconds=90)
    assert {model.state for model in record.models} == {"waiting"}
    installation.cancel(run)
    assert installation.wait(run, seconds=60).state == "cancelled"


SAVED = """\
name: drawn
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: mask
limits: {rows_per_batch: 1000, range_bytes: 65536, partitions: 6}
default_mode: exclude
tables:
  public.branch: {mode: duplicate}
  public.person:
    mode: synthesize
    rows: 6000
    train: {model: "MODEL"}
    columns: {email: mock.email, joined: null, nothing: null, branch_id: ai, sex: {generator: ai, weights: {F: 3, M: 1}}}
  public.visit: {mode: generate, rows: 9000}
"""


def saved_model(pair: Pair) -> str:
    """A model of the table in the destination's schema, as a run would have left it; its network has learned nothing."""
    rng, text, whole = np.random.default_rng(1), "text", "int4"
    values = {
        "branch_id": (whole, pa.array(rng.integers(1, 6, 2000).astype(np.int32))),
        "sex": (text, pa.array(rng.choice(["F", "M"], 2000).tolist())),
        "age": (whole, pa.array(rng.integers(18, 90, 2000).astype(np.int32))),
        "income": (
            "numeric",
            pa.array([Decimal(int(n)) for n in rng.integers(1000, 5000, 2000)], pa.decimal128(10, 2)),
        ),
        "always": (whole, pa.array([7] * 2000, pa.int32())),
    }
    subjects = [
        make_subject(name, base, False, **({"precision": 10, "scale": 2} if base == "numeric" else {}))
        for name, (base, _) in values.items()
    ]
    table = pa.table({name: array for name, (_, array) in values.items()})
    artefact = make_artefact(learn_table(table, subjects, Privacy(), rng), Privacy())

    return keep_model(pair, "public.person", artefact)


def test_a_saved_model_is_drawn_from_without_torch_the_same_by_any_number_of_generators(
    install: Callable[..., Installation], pair: Pair
) -> None:
    job = SAVED.replace("MODEL", saved_model(pair))
    found = []
    installation = install(pair)
    for generators in (1, 3):
        installation.scale("generator", generators)
        record = installation.run(job, seconds=90)
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
        found.append(pair.digest())
    assert found[0] == found[1]
    ask = pair.value
    assert ask("destination", "SELECT array[count(*), max(person_id)] FROM person") == [6000, 6000]
    assert ask("destination", "SELECT count(*) FROM person JOIN branch USING (branch_id)") == 6000
    assert ask("destination", "SELECT count(DISTINCT sex) FROM person WHERE sex IN ('F', 'M')") == 2
    assert ask("destination", "SELECT count(*) FROM visit JOIN person USING (person_id)") == 9000
