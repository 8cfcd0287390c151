"""The command line itself: help, exit codes, JSON alone on standard output."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tailrace import __main__ as entry
from tailrace.app import create_app
from tailrace.commands import cancel, pause, resume, resync, run, status, stop
from tailrace.commands.resync import loaded_again
from tailrace.runs import Request
from tailrace_shared.errors import TransientError
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.messages import (
    CancelRequested,
    Failure,
    LaneProgress,
    PauseRequested,
    ResumeRequested,
    ResyncRequested,
    RunRecord,
    SlotState,
    StopRequested,
    TableProgress,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB_TEXT = 'version: 1\nname: shop\nsource: {url: "${NO_SRC}"}\ndestination: {url: "${NO_DST}"}\n'
COMMANDS = (
    "init", "plan", "preview", "run", "status", "pause", "resume", "resync", "stop", "cancel", "check", "verify", "report", "demo",
    "schema", "models", "sample", "kafka-acls",
)  # fmt: skip


def record(run_id: str, **changes: Any) -> RunRecord:
    job = Job(name="shop", source=Source(url="${S}"), destination=Destination(url="${D}"))
    given = {"run": run_id, "version": 1, "state": "done", "job": job, "submitted_at": NOW, "updated_at": NOW}
    return RunRecord.model_validate(given | changes)


class KnownRuns:
    """An installation with some runs; a submitted or cancelled one ends at once."""

    def __init__(self, *records: RunRecord, outcome: RunRecord | None = None) -> None:
        self.records = {r.run: r for r in records}
        self.outcome = outcome
        self.submitted: list[Job] = []
        self.cancelled: list[str] = []
        self.asked: list[Request] = []
        self.foreign: set[str] = set()

    async def submit(self, job: Job) -> str:
        self.submitted.append(job)
        return "01JNEW"

    async def ask(self, request: Request) -> None:
        self.asked.append(request)
        self.cancelled += [request.run] if isinstance(request, CancelRequested) else []

    async def latest(self) -> dict[str, RunRecord]:
        return self.records

    async def follow(self, run_id: str) -> AsyncIterator[RunRecord | None]:
        yield None
        yield self.outcome


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    file = tmp_path / "job.yaml"
    file.write_text(JOB_TEXT)
    return str(file)


def given(monkeypatch: pytest.MonkeyPatch, runs: KnownRuns) -> KnownRuns:
    """Commands meet these runs instead of a Kafka."""

    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[KnownRuns]:
        yield runs

    for module in (run, status, cancel, pause, resume, resync, stop):
        monkeypatch.setattr(module, "connect", connect)
    return runs


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(create_app(), list(arguments))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"tailrace {command}" in " ".join(result.stdout.split())


def test_the_version_is_printed() -> None:
    assert invoke("--version").stdout.startswith("tailrace ")
    assert callable(entry.main)


def test_a_wrong_command_line_is_usage() -> None:
    assert invoke("paint").exit_code == 2
    assert invoke("run").exit_code == 2


def test_a_missing_job_file_is_usage() -> None:
    result = invoke("run", "/no/such/job.yaml")
    assert result.exit_code == 2
    assert "no file /no/such/job.yaml" in result.stderr


def test_missing_variables_are_named_before_anything_starts(job_file: str) -> None:
    for command in (("run", job_file, "--embedded"), ("plan", job_file), ("verify", job_file)):
        result = invoke(*command)
        assert result.exit_code == 2, command
        assert "NO_SRC" in result.stderr
        assert "NO_DST" in result.stderr


@pytest.mark.parametrize(
    "options", [("--embedded", "--detach"), ("--replicas", "reader=2"), ("--embedded", "--replicas", "reader")]
)
def test_options_that_do_not_go_together_are_usage(job_file: str, options: tuple[str, ...]) -> None:
    assert invoke("run", job_file, *options).exit_code == 2


def test_a_detached_run_prints_its_id_alone(monkeypatch: pytest.MonkeyPatch, job_file: str) -> None:
    runs = given(monkeypatch, KnownRuns())
    assert invoke("run", job_file, "--detach").stdout == "01JNEW\n"
    assert json.loads(invoke("run", job_file, "--detach", "--json").stdout) == {"run": "01JNEW"}
    assert [job.name for job in runs.submitted] == ["shop", "shop"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": "done"}, 0),
        ({"state": "failed", "failure": Failure(code="x", message="broke", remedy="mend it")}, 1),
        ({"state": "failed", "problems": [{"severity": "error", "code": "p", "where": "w", "message": "m"}]}, 3),
        ({"state": "cancelled"}, 5),
    ],
)
def test_run_ends_with_what_became_of_the_run(
    monkeypatch: pytest.MonkeyPatch, job_file: str, changes: dict[str, Any], code: int
) -> None:
    given(monkeypatch, KnownRuns(outcome=record("01JNEW", **changes)))
    words = invoke("run", job_file)
    assert words.exit_code == code
    assert "\x1b" not in words.stdout + words.stderr
    if changes.get("failure"):
        assert "broke" in words.stdout
        assert "mend it" in words.stdout
    data = invoke("run", job_file, "--json")
    assert data.exit_code == code
    assert json.loads(data.stdout)["state"] == changes["state"]


def test_status_lists_runs_and_shows_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [TableProgress(table=0, name="public.customer", state="loaded", rows_read=7, rows_loaded=7)]
    loading = record("01JBBB", state="loading", tables=tables, leader="writer-1")
    given(monkeypatch, KnownRuns(record("01JAAA", tables=tables), loading))
    assert [r["run"] for r in json.loads(invoke("status", "--json").stdout)] == ["01JAAA", "01JBBB"]
    listed = invoke("status").stdout
    assert listed.index("01JAAA") < listed.index("01JBBB")
    assert "public.customer" in invoke("status", "01JA").stdout
    assert "writer-1" in invoke("status", "01jbbb").stdout
    assert invoke("status", "nothing").exit_code == 2


def test_status_without_runs_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, KnownRuns())
    assert "tailrace run" in invoke("status").stdout
    assert json.loads(invoke("status", "--json").stdout) == []


def test_cancel_waits_for_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = given(
        monkeypatch,
        KnownRuns(record("01JAAA", state="loading"), outcome=record("01JAAA", state="cancelled", version=9)),
    )
    assert invoke("cancel", "01JAAA").exit_code == 0
    assert invoke("cancel", "01JAAA", "--no-wait").exit_code == 0
    assert runs.cancelled == ["01JAAA", "01JAAA"]


def test_cancelling_what_has_ended_changes_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = given(monkeypatch, KnownRuns(record("01JAAA"), record("01JBBB", state="cancelled")))
    assert invoke("cancel", "01JAAA").exit_code == 1
    assert invoke("cancel", "01JBBB").exit_code == 0
    assert runs.cancelled == []


def test_status_names_runs_that_another_release_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = given(monkeypatch, KnownRuns(record("01JAAA")))
    runs.foreign = {"01JNEXT"}
    result = invoke("status")
    assert result.exit_code == 0
    assert "1 run is led by another release (01JNEXT)" in " ".join((result.stdout + result.stderr).split())
    assert "01JAAA" in result.stdout


def test_a_broker_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[KnownRuns]:
        raise TransientError("kafka.unreachable", "Kafka cannot be reached", "Check TAILRACE_KAFKA.")
        yield KnownRuns()

    monkeypatch.setattr(status, "connect", connect)
    result = invoke("status")
    assert result.exit_code == 4
    assert result.stderr.splitlines()[0].startswith("error: Kafka cannot be reached")


def test_what_nobody_foresaw_shows_no_trace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @asynccontextmanager
    async def connect(*_: object) -> AsyncIterator[KnownRuns]:
        raise RuntimeError("a row's value")
        yield KnownRuns()

    monkeypatch.setattr(status, "connect", connect)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = invoke("status")
    assert result.exit_code == 1
    assert "unexpected RuntimeError" in result.stderr
    assert "a row's value" not in result.stderr
    assert list(tmp_path.glob("tailrace-error-*.log"))


@pytest.mark.parametrize("kind", [(), ("job",), ("plan",), ("report",)])
def test_what_is_read_and_written_as_json_has_a_schema(kind: tuple[str, ...]) -> None:
    assert "properties" in json.loads(invoke("schema", *kind).stdout)


# --- continuous runs -------------------------------------------------------------------------------------------------

CONTINUOUS = Job(
    name="shop", mode="continuous", source=Source(url="${NO_SRC}"), destination=Destination(url="${NO_DST}")
)


def followed(version: int, state: str, **changes: Any) -> RunRecord:
    lane = LaneProgress(lane=0, position="0/1", lag_s=0.25, lag_bytes=2048, changes=12, slot=SlotState(name="s"))
    table = TableProgress(table=0, name="public.customer", state="loaded")
    given = {"version": version, "state": state, "job": CONTINUOUS, "lanes": (lane,), "tables": (table,)}
    return record("01JAAA", **(given | changes))


@pytest.mark.parametrize(
    ("command", "before", "request_", "after"),
    [
        ("pause", "streaming", PauseRequested(run="01JAAA"), "paused"),
        ("resume", "paused", ResumeRequested(run="01JAAA"), "streaming"),
        ("stop", "streaming", StopRequested(run="01JAAA"), "done"),
    ],
)
def test_what_is_asked_of_a_continuous_run_is_waited_for(
    command: str, before: str, request_: Request, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = given(monkeypatch, KnownRuns(followed(1, before), outcome=followed(2, after)))
    result = invoke(command, "01JA", "--json")
    assert result.exit_code == 0, result.output
    assert runs.asked == [request_]
    assert json.loads(result.stdout)["state"] == after


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_a_run_that_ends_otherwise_is_a_failure(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, KnownRuns(followed(1, "streaming"), outcome=followed(2, "failed")))
    assert invoke(command, "01JA").exit_code == 1


def test_a_table_is_loaded_again_when_its_load_has_gone_up(monkeypatch: pytest.MonkeyPatch) -> None:
    again = TableProgress(table=0, name="public.customer", state="loaded", load=1)
    runs = given(monkeypatch, KnownRuns(followed(1, "streaming"), outcome=followed(2, "streaming", tables=(again,))))
    assert invoke("resync", "01JA", "public.customer").exit_code == 0
    assert runs.asked == [ResyncRequested(run="01JAAA", table="public.customer")]
    assert loaded_again("public.customer", again)(followed(3, "streaming", tables=(again,))) is False
    failed = again.model_copy(update={"state": "quarantined", "why": "it has no key any more"})
    given(monkeypatch, KnownRuns(followed(1, "streaming"), outcome=followed(2, "streaming", tables=(failed,))))
    result = invoke("resync", "01JA", "public.customer")
    assert result.exit_code == 1
    assert "it has no key any more" in result.stdout


def test_rules_for_columns_that_have_appeared_go_with_a_resync(monkeypatch: pytest.MonkeyPatch) -> None:
    again = TableProgress(table=0, name="public.customer", state="loaded", load=1)
    runs = given(monkeypatch, KnownRuns(followed(1, "streaming"), outcome=followed(2, "streaming", tables=(again,))))
    asked = ("resync", "01JA", "public.customer", "--rule", "nick=mask.text", "--rule", "age=duplicate")
    assert invoke(*asked).exit_code == 0
    (request,) = runs.asked
    assert isinstance(request, ResyncRequested)
    assert {name: rule.generator for name, rule in request.columns.items()} == {"nick": "mask.text", "age": "duplicate"}
    assert invoke("resync", "01JA", "public.customer", "--rule", "nick").exit_code == 2
    assert invoke("resync", "01JA", "public.customer", "--rule", "nick=mask.everything").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("pause", "01JONCE"), "run.not-continuous"),
        (("stop", "01JONCE"), "run.not-continuous"),
        (("pause", "01JAAA"), "run.over"),
        (("resume", "01JAAA"), "run.over"),
        (("resync", "01JAAA", "public.customer"), "run.over"),
        (("pause", "01JBBB"), "run.not-streaming"),
        (("resync", "01JBBB", "public.customer"), "run.not-streaming"),
        (("resync", "01JCCC", "customer"), "run.unknown-table"),
        (("resync", "01JCCC", "sales.customer"), "run.unknown-table"),
    ],
)
def test_what_a_run_cannot_do_is_said(arguments: tuple[str, ...], code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = given(
        monkeypatch,
        KnownRuns(
            record("01JONCE", state="loading"),
            followed(1, "done"),
            followed(1, "planned", run="01JBBB"),
            followed(1, "streaming", run="01JCCC"),
        ),
    )
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert code in result.stderr
    assert runs.asked == []


def test_a_continuous_job_that_runs_already_is_followed_and_not_started_again(
    job_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(job_file).write_text(JOB_TEXT + "mode: continuous\n")
    runs = given(monkeypatch, KnownRuns(followed(1, "streaming"), outcome=followed(2, "done")))
    result = invoke("run", job_file)
    assert result.exit_code == 0, result.output
    assert "already running: run 01JAAA" in result.stderr
    assert runs.submitted == []
    assert invoke("run", job_file, "--detach").stdout.strip() == "01JAAA"
    runs.records = {"01JAAA": followed(3, "done")}
    runs.outcome = record("01JNEW", job=CONTINUOUS)
    assert invoke("run", job_file).exit_code == 0
    assert len(runs.submitted) == 1


def test_the_status_of_a_run_that_follows_shows_how_far_it_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, KnownRuns(followed(1, "streaming")))
    assert "lag 0.2 s, 2.0 KiB behind" in " ".join(invoke("status").stdout.split())
    detail = invoke("status", "01JAAA").stdout
    assert "12 applied" in detail
    assert "the slot is gone" in detail
