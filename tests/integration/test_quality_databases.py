"""A quality report of two real databases: masked rows, synthetic rows, what is read and what is not said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from support.databases import Pair
from support.untrained import make_artefact, make_subject
from tailrace.app import create_app
from tailrace.quality.losses import losses_of
from tailrace.quality.privacy import Losses
from tailrace.quality.sampling import held_out_of
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.job.load import parse_job
from tailrace_shared.messages import Check, Failure
from tailrace_shared.plan.model import Leaf, Learning, PlannedTable
from tailrace_shared.synthesis import Artefact, Privacy
from tailrace_trainer.learning.table import learn_table
from tailrace_writer.state.schema import ensure_schema

SCHEMA = """
CREATE TABLE customer (
    id int PRIMARY KEY, name text, city text, born date, income numeric(12, 2), since timestamptz, odd numeric, gone text
);
CREATE TABLE visit (
    id int PRIMARY KEY, customer int REFERENCES customer, at timestamptz, kind text, spent float8, how interval
);
CREATE TABLE made (id int PRIMARY KEY, size float8, colour text, weight int);
CREATE TABLE bare (id int PRIMARY KEY, note text);
"""
SOURCE = """
SELECT setseed(0.5);
INSERT INTO customer SELECT n, 'Jürgen Geheim ' || n, (ARRAY['Wien', 'Graz', 'Linz', 'Graz', 'Wien', 'Wien'])[1 + n % 6],
  date '1940-01-01' + (random() * 20000)::int, round((exp(random() * 3) * 10000)::numeric, 2),
  timestamptz '2020-01-01' + random() * interval '900 days',
  CASE WHEN n % 97 = 0 THEN 'NaN' WHEN n % 89 = 0 THEN 'Infinity' WHEN n % 83 = 0 THEN 1e200::numeric * 1e200 ELSE n END,
  CASE WHEN n % 3 = 0 THEN 'x' END
  FROM generate_series(1, 3000) n;
INSERT INTO visit SELECT n, 1 + floor(random() ^ 2 * 2999), timestamptz '2021-01-01' + random() * interval '500 days',
  (ARRAY['web', 'shop'])[1 + (random() > 0.7)::int], random() * 100, random() * interval '3 hours'
  FROM generate_series(1, 6000) n;
INSERT INTO made SELECT n, random() + (n % 2), (ARRAY['red', 'green', 'blue'])[1 + n % 3], (random() * 1000)::int
  FROM generate_series(1, 4000) n;
"""
JOB = """
version: 1
name: likeness
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
tables:
  public.customer:
    columns:
      {id: key, name: mock.full_name, city: duplicate, born: {generator: mask.date, days: 30}, income: mask.number,
       since: duplicate, odd: duplicate, gone: "null"}
  public.visit:
    columns: {id: key, customer: key, at: duplicate, kind: duplicate, spent: duplicate, how: duplicate}
  public.made:
    mode: generate
    rows: 2000
    columns:
      id: key
      size: {generator: make.number, low: 0, high: 2}
      colour: {generator: make.choice, values: [red, green, blue]}
      weight: {generator: make.number, low: 0, high: 1000}
  public.bare: {columns: {id: key, note: duplicate}}
"""


@pytest.fixture(scope="module")
def pair(new_pair: Callable[..., Pair]) -> Pair:
    """A destination as a run would have left it: names renamed, dates moved, made rows that are copies of every other row."""
    made: Pair = new_pair("likeness", SCHEMA, SOURCE)
    rows = made.fetch("source", "SELECT row_to_json(t)::text FROM customer t")
    visits = made.fetch("source", "SELECT row_to_json(t)::text FROM visit t")
    copied = made.fetch("source", "SELECT row_to_json(t)::text FROM made t WHERE id % 2 = 0")
    made.fetch(
        "destination",
        f"""
        INSERT INTO customer SELECT id * 7 % 3001, 'Someone ' || id * 7 % 1000, city, born + 5, income * 1.01, since, odd, NULL
        FROM json_populate_recordset(NULL::customer, $${_array(rows)}$$)""",
    )
    made.fetch(
        "destination",
        f"""
        INSERT INTO visit SELECT id, customer * 7 % 3001, at, kind, spent, how
        FROM json_populate_recordset(NULL::visit, $${_array(visits)}$$)""",
    )
    made.fetch(
        "destination", f"INSERT INTO made SELECT * FROM json_populate_recordset(NULL::made, $${_array(copied)}$$)"
    )
    return made  # fmt: skip


def _array(rows: list[Any]) -> str:
    return f"[{','.join(row[0] for row in rows)}]"


@pytest.fixture
def ask(pair: Pair, tmp_path: Path) -> Callable[..., Result]:
    """Runs ``tailrace quality`` on the pair."""
    job = tmp_path / "job.yaml"
    job.write_text(JOB)

    def run(*options: str) -> Result:
        environ = {"SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url}
        return CliRunner().invoke(create_app(), ["quality", str(job), *options], env=environ)

    return run


def report(result: Result) -> dict[str, Any]:
    assert result.stdout.startswith("{"), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_masked_rows_are_compared_and_nothing_of_a_row_is_said(ask: Callable[..., Result], tmp_path: Path) -> None:
    page, metrics = tmp_path / "q.html", tmp_path / "q.prom"
    result = ask("--rows", "1500", "--json", "-o", str(page), "--metrics", str(metrics))
    found = report(result)
    tables = {table["name"]: table for table in found["tables"]}
    assert found["left_out"] == {"public.bare": "the source has no row that is carried"}
    columns = {column["name"]: column for column in tables["public.customer"]["columns"]}
    assert columns["id"]["compared"] == columns["name"]["compared"] == columns["gone"]["compared"] == "counts"
    assert columns["city"]["error"] < 0.05
    assert columns["born"]["error"] < 0.06
    assert columns["gone"]["before"]["nulls"] == pytest.approx(2 / 3, abs=0.05)
    assert columns["gone"]["after"]["nulls"] == 1
    assert columns["odd"]["error"] < 0.06, "infinities and NaN are read as what they are"
    gate = tables["public.customer"]["gates"][0]
    assert (gate["name"], gate["verdict"]) == ("linkage", "warn"), "an exact moment singles everybody out"
    assert "since alone singles out" in gate["detail"]
    (sequence,) = tables["public.visit"]["sequences"]
    statistics = {one["name"]: one for one in sequence["statistics"]}
    assert (sequence["parent"], sequence["order"]) == ("public.customer", "at")
    assert sequence["parents"] == [3000, 3000], "small tables are looked at whole"
    assert {name for name, one in statistics.items() if one["error"] > 0.02} == set(), (
        "keys are renamed, sequences stay"
    )
    assert statistics["parents without a row"]["before"] > 0.1
    assert statistics["gap"]["before"] == pytest.approx(statistics["gap"]["after"], rel=0.01)
    written = result.stdout + page.read_text() + metrics.read_text()
    assert "Geheim" not in written
    assert 'tailrace_quality_shape_error_ratio{table="public.visit",tailrace_job="likeness"}' in metrics.read_text()


def test_the_same_seed_gives_the_same_figures(ask: Callable[..., Result]) -> None:
    first, second, other = (
        report(ask("--rows", "500", "--table", "customer", "--json", "--seed", seed))["tables"] for seed in "445"
    )
    assert first == second
    assert first != other


def test_copied_rows_fail_where_held_out_rows_are_named(ask: Callable[..., Result]) -> None:
    result = ask("--table", "made", "--held-out", "public.made=id % 2 = 1", "--json")
    gates = {gate["name"]: gate for gate in report(result)["tables"][0]["gates"]}
    assert result.exit_code == 1
    assert {gates[name]["verdict"] for name in ("copies", "nearest", "ratio", "membership", "singling-out")} == {"fail"}
    assert gates["gap"]["verdict"] == "unmeasured"


def test_without_held_out_rows_the_gates_say_what_they_need(ask: Callable[..., Result]) -> None:
    result = ask("--table", "made", "--json")
    gates = report(result)["tables"][0]["gates"]
    assert result.exit_code == 0
    assert {gate["verdict"] for gate in gates} == {"unmeasured"}
    assert "--held-out" in gates[0]["detail"]


def test_rows_that_a_sample_left_out_are_held_out(pair: Pair) -> None:
    name = TableName(schema_name="public", name="made")
    table = PlannedTable(number=0, name=name, mode="carry", leaves=(Leaf(name=name, oid=1, filenode=1),))
    learning = Learning(source=table, columns=(), sample="random", rows=1600, percent=44.0, seed=3)
    sampled = {row[0] for row in pair.fetch("source", "SELECT id FROM made TABLESAMPLE BERNOULLI (44) REPEATABLE (3)")}
    left = {row[0] for row in pair.fetch("source", f"SELECT id FROM made t WHERE {held_out_of(learning)}")}
    assert len(sampled) > 1500
    assert (sampled | left, sampled & left) == (set(range(1, 4001)), set())
    assert held_out_of(learning.model_copy(update={"percent": 100.0})) == "", "all rows were learned from"
    assert held_out_of(None) == ""


def test_the_newest_model_of_the_run_tells_what_it_has_memorised(pair: Pair) -> None:
    rows = pa.table({"colour": ["red", "blue"] * 50})
    coded = learn_table(rows, [make_subject("colour", "text")], Privacy(k=10), np.random.default_rng(0))
    made = make_artefact(coded, Privacy(k=10))

    def model(loss: float) -> Artefact:
        training = made.header.training.model_copy(update={"loss": loss, "held_out_loss": loss + 1})
        return Artefact(made.header.model_copy(update={"training": training}), made.tensors)

    name = TableName(schema_name="public", name="made")
    learning = Learning(source=PlannedTable(number=0, name=name, mode="carry"), columns=(), sample="all", rows=0)
    table = PlannedTable(number=0, name=name, mode="generate", learning=learning)

    async def ask() -> list[dict[str, Losses]]:
        session = await asyncpg.connect(pair.destination.url(pair.name))
        try:
            before = await losses_of(session, [table], "R1")
            await session.execute(
                "CREATE SCHEMA tailrace; CREATE TABLE tailrace.saved_model (digest text PRIMARY KEY, table_name text, job text, "
                "run text, made_at timestamptz DEFAULT clock_timestamp(), data bytea)"
            )
            for run, loss in (("R1", 3.0), ("R2", 5.0)):
                one = model(loss)
                await session.execute(
                    "INSERT INTO tailrace.saved_model (digest, table_name, job, run, data) VALUES ($1, $2, 'j', $3, $4)",
                    one.digest, str(name), run, one.data,
                )  # fmt: skip
            return [before, *[await losses_of(session, [table], run) for run in ("R1", "R2", "R3")]]
        finally:
            await session.execute("DROP SCHEMA IF EXISTS tailrace CASCADE")
            await session.close()

    before, *found = asyncio.run(ask())
    assert before == {}
    assert [one[str(name)] for one in found] == [(3.0, 4.0), (5.0, 6.0), (5.0, 6.0)]


RUNS = (
    "01JD0000000000000000000DNE",
    "01JD0000000000000000000FLD",
    "01JD0000000000000000000LDG",
    "01JD0000000000000000000LTR",
)


@pytest.fixture
def runs(pair: Pair) -> Iterator[tuple[str, ...]]:
    """Four runs in the destination's state tables: done, failed, still loading, and a later one that is done."""
    checks = [
        Check(name="rows public.customer", passed=True),
        Check(name="leak customer.name", passed=False, detail="3 [b]"),
    ]
    failure = Failure(code="generator.failed", message="a generator gave up")

    async def fill() -> None:
        session = await asyncpg.connect(pair.destination.url(pair.name))
        await ensure_schema(session)
        for run, state in zip(RUNS, ("done", "failed", "loading", "done"), strict=True):
            await session.execute(
                "INSERT INTO tailrace.run (run, state, job, submitted_at, finished_at, checks, failure) "
                "VALUES ($1, $2, $3, now(), CASE WHEN $2 <> 'loading' THEN now() END, $4, "
                "CASE WHEN $2 = 'failed' THEN $5::jsonb END)",
                run, state, parse_job(JOB, "job.yaml").model_dump_json(),
                json.dumps([check.model_dump(mode="json") for check in checks]), failure.model_dump_json(),
            )  # fmt: skip
        role = pair.destination_url.split("//")[1].split(":")[0]
        await session.execute(
            f'GRANT USAGE ON SCHEMA tailrace TO "{role}"; GRANT SELECT ON ALL TABLES IN SCHEMA tailrace TO "{role}"'
        )
        await session.close()

    asyncio.run(fill())
    yield RUNS
    pair.fetch("destination", "DROP SCHEMA tailrace CASCADE")


def test_a_run_has_a_report_of_its_own(pair: Pair, runs: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    done, failed, loading, later = runs

    def made(run: str) -> Result:
        environ = {"SOURCE_URL": pair.source_url, "DESTINATION_URL": pair.destination_url}
        options = ["--job", str(tmp_path / "job.yaml"), "-o", str(tmp_path)]
        return CliRunner().invoke(create_app(), ["report", run, *options], env=environ)

    def file(run: str, ending: str) -> str:
        return (tmp_path / f"tailrace-{run}.{ending}").read_text()

    result = made("DNE")
    assert result.exit_code == 0, result.output
    assert "1 of 2 checks hold" in result.output
    assert f"run {later} has loaded this destination since" in result.output
    assert "leak customer.name" in file(done, "html")
    assert later in file(done, "html")
    told = json.loads(file(done, "json"))
    assert (told["run"]["run"], told["run"]["same_job"], len(told["tables"])) == (done, True, 3)
    assert 'tailrace_job="likeness"' in file(done, "prom")

    result = made(failed)
    assert result.exit_code == 1
    assert "a generator gave up (generator.failed)" in result.output
    assert "The run failed" in file(failed, "html")
    assert json.loads(file(failed, "json"))["tables"] == [], "nothing that it loaded is there"

    result = made(loading)
    assert (result.exit_code, "report.not-done" in result.output) == (2, True)
    assert made("NOBODY").exit_code == 2


def test_a_condition_for_a_table_that_is_not_compared_is_refused(ask: Callable[..., Result]) -> None:
    result = ask("--held-out", "public.nowhere=true")
    assert result.exit_code == 2
    assert "quality.option" in result.output
