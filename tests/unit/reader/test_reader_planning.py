"""Plan tasks: nobody waits for another run's source, a run is planned once at a time, and a defect fails its run only."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from tailrace_reader import planning
from tailrace_reader.attempts import PlannedAttempts
from tailrace_reader.planning import Planner
from tailrace_reader.settings import Settings
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.job.spec import Continuous, Job, Policy
from tailrace_shared.messages import Fact, PlanTask, RunRecord, StageFailed
from tailrace_shared.plan.model import Fingerprints
from tailrace_shared.service.plans import Plans

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
JOB = Job.model_validate({"name": "j", "source": {"url": "${S}"}, "destination": {"url": "${D}"}})


def task(run: str, attempt: int = 1) -> PlanTask:
    return PlanTask(
        run=run,
        attempt=attempt,
        job=JOB,
        destination=Catalogue.model_construct(),
        fingerprints=Fingerprints(mask_secret="m", catalogue="c", pools="p"),
    )


class Bench:
    """A planner over sources that answer with an error, or not at all."""

    def __init__(self, max_active_runs: int = 4) -> None:
        self.facts: list[Fact] = []
        self.failed: list[BaseException] = []
        self.errors: dict[str, Exception] = {}
        self.tries: Counter[str] = Counter()
        self.untold: Exception | None = None
        context: Any = SimpleNamespace(
            control=SimpleNamespace(fact=self._fact), fail=self.failed.append, replica="reader-1", log=structlog.get_logger()
        )  # fmt: skip
        self.planner = Planner(context, Settings(max_active_runs=max_active_runs), PlannedAttempts())
        self.planner._answer = self._answer  # type: ignore[method-assign]

    async def _fact(self, fact: Fact) -> None:
        if self.untold:
            raise self.untold
        self.facts.append(fact)

    async def _answer(self, task: PlanTask) -> None:
        self.tries[f"{task.run}/{task.attempt}"] += 1
        if error := self.errors.get(task.run):
            raise error
        await asyncio.Event().wait()

    def failures(self) -> list[tuple[str, str, str]]:
        return [(f.run, f.failure.code, f.failure.message) for f in self.facts if isinstance(f, StageFailed)]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.planner.stop(Deadline.after(1))
    assert bench.planner._turns == {}


async def test_sources_that_are_away_keep_no_other_run_waiting() -> None:
    bench = Bench(max_active_runs=1)
    for run in ("away-1", "away-2"):
        bench.errors[run] = TransientError("postgres.unreachable", "away")
        bench.planner.take(task(run))
    await until(lambda: len(bench.tries) == 2)
    bench.planner.take(task("well"))
    await until(lambda: bench.tries["well/1"] == 1)
    await bench.planner.stop(Deadline.after(1))
    assert (bench.facts, bench.failed) == ([], [])


async def test_no_more_plans_are_made_at_once_than_runs_may_be_active() -> None:
    bench = Bench(max_active_runs=2)
    for run in "abc":
        bench.planner.take(task(run))
    await until(lambda: len(bench.tries) == 2)
    await asyncio.sleep(0.02)
    assert bench.tries.total() == 2
    bench.planner._turns["a"].work.cancel()
    await until(lambda: bench.tries["c/1"] == 1)
    await bench.planner.stop(Deadline.after(1))


async def test_a_task_for_a_run_that_is_being_planned_changes_nothing(bench: Bench) -> None:
    bench.planner.take(task("r"))
    await until(lambda: bench.tries["r/1"] == 1)
    bench.planner.take(task("r"))
    await asyncio.sleep(0.02)
    assert bench.tries.total() == 1


async def test_a_later_attempt_takes_over_at_once(bench: Bench) -> None:
    bench.planner.take(task("r"))
    await until(lambda: bench.tries["r/1"] == 1)
    bench.planner.take(task("r", attempt=2))
    await until(lambda: bench.tries["r/2"] == 1)
    await asyncio.sleep(0)
    assert [turn.attempt for turn in bench.planner._turns.values()] == [2]


async def test_a_defect_fails_its_run_by_type_alone_and_the_next_is_planned(bench: Bench) -> None:
    bench.errors["r"] = ValueError("Müller, 4711")
    bench.planner.take(task("r"))
    await until(lambda: bool(bench.facts))
    assert bench.failures() == [("r", "reader.unexpected", "unexpected ValueError while planning")]
    bench.planner.take(task("next"))
    await until(lambda: bench.tries["next/1"] == 1)
    assert bench.failed == []


async def test_what_is_terminal_is_told_with_its_code(bench: Bench) -> None:
    bench.errors["r"] = TerminalError("secret.missing", "S is not set")
    bench.planner.take(task("r"))
    await until(lambda: bool(bench.facts))
    assert bench.failures() == [("r", "secret.missing", "S is not set")]


async def test_a_failure_that_cannot_be_told_ends_the_service(bench: Bench) -> None:
    bench.errors["r"] = ValueError()
    bench.untold = TerminalError("kafka.forbidden", "refused")
    bench.planner.take(task("r"))
    await until(lambda: bool(bench.failed))
    assert bench.failed == [bench.untold]


async def test_a_run_that_is_over_is_not_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "FOREVER", SimpleNamespace(delay=lambda *_: 0.001))
    bench.errors["r"] = TransientError("kafka.unavailable", "away")
    bench.planner.take(task("r"))
    await until(lambda: bench.tries["r/1"] > 2)
    bench.planner.on_record(
        RunRecord(
            run="r", version=2, state="cancelled", attempt=1, digest="", job=JOB, submitted_at=NOW, updated_at=NOW
        )
    )
    await until(lambda: not bench.planner._turns)
    assert bench.facts == []


async def test_a_reader_that_stops_takes_nothing_new(bench: Bench) -> None:
    await bench.planner.stop(Deadline.after(1))
    bench.planner.take(task("r"))
    assert bench.planner._turns == {}


@pytest.mark.parametrize(("columns", "lost"), [("mask", True), (None, False)])
async def test_a_plan_before_that_is_lost_ends_the_run_only_where_it_decides_about_columns(
    monkeypatch: pytest.MonkeyPatch, columns: Policy | None, lost: bool
) -> None:
    tries = []

    async def absent(_: Plans, run: str, digest: str) -> None:
        tries.append((run, digest))
        raise TransientError("plan.absent", "it is not there")

    monkeypatch.setattr(Plans, "fetch", absent)
    context: Any = SimpleNamespace(kafka=None)
    planner = Planner(context, Settings(), PlannedAttempts())
    following = JOB.model_copy(update={"mode": "continuous", "continuous": Continuous(columns=columns)})
    asked = task("R", 2).model_copy(update={"before": "d", "job": following})
    if lost:
        with pytest.raises(TerminalError, match="lost the plan"):
            await planner._plan_before(asked)
    else:
        assert await planner._plan_before(asked) is None
    assert tries == [("R", "d")] * 3
    assert await planner._plan_before(task("R")) is None
