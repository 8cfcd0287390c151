"""Job files: what they accept, and errors that name file, line, path and remedy, all at once and without a value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.generators import Constant, MockPhone, Null
from tailrace_shared.job import reference, schema
from tailrace_shared.job.load import load_job, parse_job

DOCS = Path(__file__).parents[3] / "docs"
HEAD = 'name: a\nsource: {url: "${A}"}\ndestination: {url: "${B}"}\n'


def refused(text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        parse_job(text, "job.yaml")
    assert caught.value.exit_code == ExitCode.USAGE
    return caught.value.message.splitlines()


def test_a_rule_is_a_name_or_a_mapping_and_a_bare_null_is_the_generator() -> None:
    job = parse_job(
        HEAD + "tables:\n  public.t:\n    columns:\n"
        "      a: null\n      b: {generator: mock.phone, unique: true}\n      c: {generator: constant, value: 2024-01-31}\n"
    )
    columns = job.tables["public.t"].columns
    assert columns["a"] == Null()
    assert columns["b"] == MockPhone(unique=True)
    assert columns["c"] == Constant(value="2024-01-31"), "a date stays the text that PostgreSQL reads"


def test_names_that_yaml_reads_as_truth_values_stay_names() -> None:
    job = parse_job(HEAD + "tables: {public.t: {columns: {on: duplicate, no: key, null: duplicate, 1: key}}}")
    assert list(job.tables["public.t"].columns) == ["on", "no", "null", "1"]


def test_all_errors_come_at_once_in_the_order_of_lines() -> None:
    lines = refused(
        "name: Shop\nnmae: x\nsource: {url: '${A}'}\ndestination: {url: '${B}', mode: truncat}\n"
        "limits:\n  partitions: 0\n  batch_bytes: many\n"
    )
    assert [line.split(":")[1] for line in lines] == ["1", "2", "4", "6", "7"]
    assert lines[1].startswith("job.yaml:2: nmae: there is no such field — did you mean name?")
    assert lines[2] == "job.yaml:4: destination.mode: must be 'existing', 'create', 'truncate' or 'append'"


@pytest.mark.parametrize("url", ["postgresql://me:hunter2@host/db", "$A", "${a}", "hunter2"])
def test_a_literal_where_a_variable_belongs_is_refused_without_repeating_it(url: str) -> None:
    (line,) = refused(HEAD.replace("${A}", url))
    assert line.startswith(
        "job.yaml:2: source.url: holds a literal where the name of a variable belongs: write ${NAME}"
    )
    assert "hunter2" not in line


def test_a_canary_written_out_is_refused_without_repeating_it() -> None:
    (line,) = refused(HEAD + "verify: {canaries: ['${A}', hunter2@example.org]}\n")
    assert "verify.canaries.1: holds a literal where the name of a variable belongs: write ${NAME}" in line
    assert "hunter2" not in line


def test_an_unknown_generator_and_option_are_met_with_the_closest() -> None:
    lines = refused(
        HEAD
        + "tables:\n  public.t:\n    columns:\n      e: mock.emial\n      p: {generator: mock.phone, uniqe: true}\n"
        "      n: {generator: mask.number, relative: 7}\n      z: {locale: de_DE}\n      y: 3\n"
    )
    assert "did you mean mock.email?" in lines[0]
    assert 'tables."public.t".columns.p.uniqe: there is no such field — did you mean unique?' in lines[1]
    assert lines[2].endswith("relative: must be less than 1.0")
    assert lines[3].endswith("columns.z: names no generator")
    assert lines[4].endswith("must be a generator's name or a mapping with `generator`")


def test_a_key_given_twice_is_refused() -> None:
    assert refused(HEAD + "policy: mask\npolicy: pass\n") == ["job.yaml:5: policy: is given twice; keep one"]


def test_aliases_are_followed_and_those_without_end_are_refused() -> None:
    job = parse_job(
        HEAD + "tables:\n  public.a: &t {mode: exclude}\n  public.b: *t\n  public.c: {<<: *t, policy: mask}\n"
    )
    assert {t.mode for t in job.tables.values()} == {"exclude"}
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n"
        for a, b in zip("abcdef", "bcdefg", strict=True)
    )
    assert "aliases expand without end" in refused(bomb)[0]
    assert "aliases expand without end" in refused("a: &a [*a]")[0]


@pytest.mark.parametrize(
    "text", ["", "- a", "just text", "a: [", "a: b: c", "\x00", "? [a]\n: b", "!!python/object:os.system {}"]
)
def test_what_is_no_job_is_named_by_line(text: str) -> None:
    assert all(line.startswith("job.yaml:") for line in refused(text))


def test_a_missing_file_a_binary_file_and_a_folder_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.yaml", tmp_path / "binary", tmp_path):
        with pytest.raises(UsageError):
            load_job(path)


@given(st.text(max_size=200))
def test_any_text_is_a_job_or_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_job(text)


def test_the_published_schema_and_reference_are_those_of_the_models() -> None:
    told = "run `python -m tailrace_shared.job.{schema,reference}` and commit what it prints"
    assert (DOCS / "job.schema.json").read_text() == schema.rendered(), told
    assert (DOCS / "job-reference.md").read_text() == reference.rendered(), told


def test_the_schema_asks_for_the_generator_and_knows_every_field() -> None:
    found = json.loads(schema.rendered())
    assert set(found["required"]) == {"name", "source", "destination"}
    assert found["$defs"]["MockEmail"]["required"] == ["generator"]
    assert all(d["additionalProperties"] is False for d in found["$defs"].values())


def test_the_example_of_the_reference_is_a_job() -> None:
    example = reference.EXAMPLE.strip().removeprefix("```yaml\n").removesuffix("```")
    assert parse_job(example).name == "shop-to-staging"


@pytest.mark.parametrize(
    ("canary", "field"),
    [
        ("${A}", "source.url"),
        ("${B}", "destination.url"),
        ("${MY_SECRET}", "secret"),
        ("${TAILRACE_MASK_SECRET}", "a setting of Tailrace"),
        ("${TAILRACE_TRANSPORT_KEY}", "a setting of Tailrace"),
    ],
)
def test_a_secret_is_no_canary(canary: str, field: str) -> None:
    (line,) = refused(HEAD + f"secret: '${{MY_SECRET}}'\nverify: {{canaries: ['${{FINE}}', '{canary}']}}\n")
    assert line == (
        f"job.yaml:5: verify: canaries names {canary}, which is {field}: name a variable that holds strings of the source "
        "and nothing else"
    )
    assert parse_job(HEAD + "verify: {canaries: ['${FINE}']}").verify.canaries == ("${FINE}",)
