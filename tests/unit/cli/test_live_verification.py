"""Asking for a live comparison: which run is meant, what is waited for, what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tailrace.live_report import live_report
from tailrace.live_verification import compare, equal, exit_code_of, live_run, require_known, words_of
from tailrace.runs import Request
from tailrace.signature import prove, sealed
from tailrace_shared.errors import ExitCode, TerminalError, TransientError, UsageError
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.messages import (
    Check,
    ComparisonProgress,
    ComparisonRequested,
    LeftOut,
    RunRecord,
    State,
    TableProgress,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(name="demo", mode="continuous", source=Source(url="${S}"), destination=Destination(url="${D}"))
ONCE = JOB.model_copy(update={"mode": "once"})


def record(state: State = "streaming", comparison: ComparisonProgress | None = None, job: Job = JOB) -> RunRecord:
    return RunRecord(
        run="01JRUN", version=1, state=state, job=job, submitted_at=NOW, updated_at=NOW, comparison=comparison,
        tables=(TableProgress(table=0, name="public.a"),),
    )  # fmt: skip


def progress(state: str, **given: Any) -> ComparisonProgress:
    return ComparisonProgress(**({"id": "?", "number": 1, "state": state} | given))


class Answering:
    """Plays comparisons for whatever id was asked; ``others`` keep theirs."""

    def __init__(self, steps: Sequence[RunRecord | ComparisonProgress | None]) -> None:
        self.steps, self.asked = steps, list[ComparisonRequested]()

    async def submit(self, job: Job) -> str:
        raise NotImplementedError

    async def latest(self) -> dict[str, RunRecord]:
        return {}

    async def ask(self, request: Request) -> None:
        assert isinstance(request, ComparisonRequested)
        self.asked.append(request)

    async def follow(self, run: str) -> AsyncGenerator[RunRecord | None, None]:
        for step in self.steps:
            mine = {"id": self.asked[0].id}
            yield record(comparison=step.model_copy(update=mine)) if isinstance(step, ComparisonProgress) else step


def asked(*steps: RunRecord | ComparisonProgress | None, **given: Any) -> ComparisonProgress:
    return asyncio.run(compare(Answering(steps), record(), ["public.a"], **given))[1]


def test_the_jobs_run_that_streams_is_the_one_that_is_compared() -> None:
    assert live_run({"01JRUN": record()}, JOB, None).run == "01JRUN"
    assert live_run({"01JRUN": record()}, ONCE, "jrun").run == "01JRUN"


@pytest.mark.parametrize(
    ("records", "job", "code"),
    [
        ({}, JOB, "run.unknown"),
        ({"01JRUN": record()}, ONCE, "verify.not-live"),
        ({"01JRUN": record("paused")}, JOB, "verify.not-streaming"),
        ({"01JRUN": record("loading")}, JOB, "verify.not-streaming"),
        ({"01JRUN": record(comparison=progress("reading"))}, JOB, "verify.busy"),
    ],
)
def test_what_cannot_be_compared_now_is_refused_with_a_word(records: dict[str, RunRecord], job: Job, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        live_run(records, job, None)
    assert refused.value.code == code


def test_a_table_that_the_run_does_not_have_is_refused_before_anything_is_asked() -> None:
    require_known(record(), ["public.a"])
    with pytest.raises(UsageError, match="has no table"):
        require_known(record(), ["public.b"])


def test_it_waits_for_its_own_comparison_and_tells_what_goes_on() -> None:
    other = record(comparison=progress("done", id="another"))
    said: list[str] = []
    made = asked(
        other, progress("asked"), progress("reading"), progress("reading", point="0/10"), progress("done", rows=3),
        said=lambda news: said.append(words_of(news)),
    )  # fmt: skip
    assert (made.state, made.rows) == ("done", 3)
    assert said[:2] == ["asked", "taking a snapshot of the source"]
    assert "0/10" in said[2]


def test_failure_refusal_an_end_of_the_run_and_silence_are_told_apart() -> None:
    with pytest.raises(TerminalError, match="has moved"):
        asked(progress("failed", why="nothing has moved"))
    with pytest.raises(UsageError, match="is paused"):
        asked(progress("refused", why="the run is paused"))
    with pytest.raises(TerminalError, match="is cancelled"):
        asked(record("cancelled", progress("reading", id="another")))
    ticks = iter(range(0, 1000, 20))
    with pytest.raises(TransientError) as silent:
        asked(None, None, None, clock=lambda: float(next(ticks)))
    assert silent.value.code == "comparison.no-answer"


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ((Check(name="live public.a", passed=True),), ExitCode.OK),
        ((Check(name="live public.a", passed=True), Check(name="live public.b", passed=False)), ExitCode.FAILED),
        ((), ExitCode.FAILED),
    ],
)
def test_only_what_was_compared_and_is_the_same_is_good(checks: tuple[Check, ...], code: ExitCode) -> None:
    assert exit_code_of(progress("done", checks=checks)) == code
    assert equal(progress("done", checks=checks)) == (code == ExitCode.OK)


def test_the_report_can_be_signed_and_says_what_was_left_out() -> None:
    made = progress(
        "done", point="0/10", cut_at=NOW, checks=(Check(name="live public.a", passed=True),),
        left_out=(LeftOut(table="public.b", why="it is quarantined"),),
    )  # fmt: skip
    report = live_report(JOB, record(comparison=made), made)
    assert (report.passed, report.same_job, report.point) == (True, True, "0/10")
    envelope = sealed(report.model_dump(mode="json"), b"k" * 32)
    assert prove(envelope, b"k" * 32) == "valid"
    assert envelope["report"]["left_out"] == [{"table": "public.b", "why": "it is quarantined"}]
