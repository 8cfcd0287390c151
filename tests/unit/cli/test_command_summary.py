"""The closing words of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from tailrace.summary import check_kind, check_lines, closing, exit_code, headline, idle_lines
from tailrace_shared.errors import ExitCode
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.messages import Check, ReplicaLost, RunRecord, StageProgress, TableProgress

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(**changes: Any) -> RunRecord:
    job = Job(name="shop", source=Source(url="${S}"), destination=Destination(url="${D}"))
    given = {"run": "01J", "version": 1, "state": "done", "job": job, "submitted_at": NOW, "updated_at": NOW}
    return RunRecord.model_validate(given | changes)


def shown(thing: Any) -> str:
    console = Console(width=120, no_color=True)
    with console.capture() as capture:
        console.print(thing)
    return capture.get()


def test_the_headline_counts_tables_rows_and_seconds() -> None:
    tables = [TableProgress(table=n, name=f"t{n}", rows_read=500, rows_loaded=500) for n in range(2)]
    ended = record(tables=tables, started_at=NOW, finished_at=NOW + timedelta(seconds=4))
    assert str(headline(ended)) == "done: 2 tables, 1,000 rows in 4.0 s (250 rows/s)"
    watched = "done: 2 tables, 1,000 rows in 4.0 s (250 rows/s; loading 0.5 s, 2,000 rows/s)"
    assert str(headline(ended, 0.5)) == watched


def test_replicas_beyond_the_partitions_of_a_run_that_loads_are_said_to_be_idle() -> None:
    stages = {"generator": StageProgress(replicas=15), "writer": StageProgress(replicas=12)}
    loading = record(state="loading", stages=stages)
    assert [str(line) for line in idle_lines(loading)] == [
        "15 generators, 12 partitions: 3 of them have nothing to do in this run"
    ]
    assert idle_lines(record(state="done", stages=stages)) == []


def test_what_failed_is_named_and_what_holds_is_counted() -> None:
    checks = [
        Check(name="rows public.a", passed=True),
        Check(name="rows public.b", passed=True),
        Check(name="foreign key public.a a_fkey", passed=False, detail="3 orphans"),
    ]
    text = str(check_lines(checks))
    assert "✗ foreign key public.a a_fkey  3 orphans" in text
    assert "✓ rows  2 of 2 hold" in text
    assert "public.b" in str(check_lines(checks, all_lines=True))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("rows public.a", "rows"), ("foreign key x", "foreign key"), ("not null a.b", "not null"), ("alone", "alone")],
)
def test_a_check_is_of_the_kind_that_its_name_begins_with(name: str, kind: str) -> None:
    assert check_kind(name) == kind


def test_a_refused_run_shows_every_problem_with_its_remedy_and_brackets_as_they_are() -> None:
    problems = [
        {
            "severity": "error",
            "code": "plan.no-rule",
            "where": "a.b",
            "message": "type [x]",
            "remedy": "Give it a rule.",
        }
    ]
    refused = record(state="failed", problems=problems)
    text = shown(closing(refused))
    assert "type [x]" in text
    assert "Give it a rule." in text
    assert "nothing was changed" in text
    assert exit_code(refused) == ExitCode.REFUSED


def test_a_replica_that_was_likely_killed_for_memory_is_named_as_such() -> None:
    mb = 1 << 20
    killed = ReplicaLost(
        service="generator", replica="generator-1", at=NOW, memory_bytes=250 * mb, memory_limit=256 * mb, cause="memory"
    )
    silent = ReplicaLost(service="reader", replica="reader-1", at=NOW)
    text = shown(closing(record(state="failed", lost=(silent, killed))))
    assert "lost: reader-1 at 2026-01-01 00:00:00 UTC\n" in text
    assert "lost: generator-1 at 2026-01-01 00:00:00 UTC, likely killed for memory (250.0 MiB of 256.0 MiB)" in text
