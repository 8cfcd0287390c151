"""Following a run: interruptions, hints, giving up; and naming runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from tailrace.follow import LeftAlone, attend, follow, watch
from tailrace.interrupts import Interrupts
from tailrace.progress import ProgressView
from tailrace.runs import Newest, Request, find
from tailrace_shared.errors import TerminalError, UsageError
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.messages import CancelRequested, RunRecord, State

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(name="demo", source=Source(url="${S}"), destination=Destination(url="${D}"))


def record(version: int, state: State, run: str = "01JRUN") -> RunRecord:
    at = NOW + timedelta(seconds=version)
    return RunRecord(run=run, version=version, state=state, job=JOB, submitted_at=NOW, updated_at=at)


class ScriptedRuns:
    """Plays records; counts cancellations; ``then`` is called before each step."""

    def __init__(
        self, steps: Iterable[RunRecord | None], interrupts: Interrupts, signals_at: Iterable[int] = ()
    ) -> None:
        self.steps, self.interrupts, self.signals_at = list(steps), interrupts, set(signals_at)
        self.cancelled: list[str] = []
        self.stopped: list[str] = []

    async def submit(self, job: Job) -> str:
        return "01JRUN"

    async def ask(self, request: Request) -> None:
        (self.cancelled if isinstance(request, CancelRequested) else self.stopped).append(request.run)

    async def latest(self) -> dict[str, RunRecord]:
        return {}

    async def follow(self, run: str) -> AsyncGenerator[RunRecord | None, None]:
        for number, step in enumerate(self.steps):
            if number in self.signals_at:
                self.interrupts.happened()
            yield step


class Shown:
    """Remembers what it was to show."""

    def __init__(self) -> None:
        self.views: list[ProgressView] = []
        self.messages: list[str] = []

    def show(self, view: ProgressView) -> None:
        self.views.append(view)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        return None


async def test_a_run_is_followed_to_its_terminal_record() -> None:
    interrupts, shown = Interrupts(), Shown()
    runs = ScriptedRuns([None, record(1, "submitted"), record(2, "loading"), record(3, "done")], interrupts)
    assert (await follow(runs, "01JRUN", shown, interrupts)).record.state == "done"
    assert [view.state for view in shown.views] == ["submitted", "loading", "done"]
    assert runs.cancelled == []


async def test_the_first_interrupt_asks_for_cancellation_once_and_goes_on_following() -> None:
    interrupts, shown = Interrupts(), Shown()
    steps = [record(1, "loading"), None, record(2, "stopping"), record(3, "cancelled")]
    runs = ScriptedRuns(steps, interrupts, signals_at=[1])
    assert (await follow(runs, "01JRUN", shown, interrupts)).record.state == "cancelled"
    assert runs.cancelled == ["01JRUN"]
    assert len(shown.messages) == 1


async def test_the_second_interrupt_leaves_the_run_alone() -> None:
    interrupts, shown = Interrupts(), Shown()
    runs = ScriptedRuns([record(1, "loading"), None, None, record(2, "cancelled")], interrupts, signals_at=[0, 1])
    with pytest.raises(LeftAlone):
        await follow(runs, "01JRUN", shown, interrupts)
    assert runs.cancelled == ["01JRUN"]


async def test_who_only_watches_never_cancels() -> None:
    interrupts = Interrupts()
    runs = ScriptedRuns([record(1, "loading"), None], interrupts, signals_at=[0])
    with pytest.raises(LeftAlone):
        await watch(runs, "01JRUN", Shown(), interrupts)
    assert runs.cancelled == []


async def test_who_waits_for_something_is_told_when_it_is_so() -> None:
    interrupts = Interrupts()
    runs = ScriptedRuns([record(1, "streaming"), record(2, "paused"), record(3, "streaming")], interrupts)
    found = await watch(runs, "01JRUN", Shown(), interrupts, until=lambda r: r.state == "paused")
    assert found.record.version == 2


async def test_a_run_that_follows_is_stopped_in_good_order_by_whom_its_services_end_with() -> None:
    interrupts, shown = Interrupts(), Shown()
    steps = [record(1, "streaming"), None, record(2, "stopping"), record(3, "done")]
    runs = ScriptedRuns(steps, interrupts, signals_at=[1])
    assert (await attend(runs, "01JRUN", shown, interrupts)).record.state == "done"
    assert (runs.stopped, runs.cancelled) == (["01JRUN"], [])


async def test_before_it_follows_there_is_nothing_to_keep_and_it_is_cancelled() -> None:
    interrupts = Interrupts()
    runs = ScriptedRuns([record(1, "loading"), None, record(2, "cancelled")], interrupts, signals_at=[1])
    assert (await attend(runs, "01JRUN", Shown(), interrupts)).record.state == "cancelled"
    assert (runs.stopped, runs.cancelled) == ([], ["01JRUN"])


async def test_a_check_that_fails_ends_the_waiting() -> None:
    def check() -> None:
        raise TerminalError("embedded.service-died", "the embedded reader has ended")

    interrupts = Interrupts()
    with pytest.raises(TerminalError, match="reader"):
        await follow(ScriptedRuns([None, None], interrupts), "01JRUN", Shown(), interrupts, check=check)


async def test_a_run_that_nobody_takes_up_gets_a_hint_once() -> None:
    interrupts, shown = Interrupts(), Shown()
    clock = iter(range(0, 1000, 10))
    runs = ScriptedRuns([None] * 5 + [record(1, "done")], interrupts)
    await follow(runs, "01JRUN", shown, interrupts, clock=lambda: float(next(clock)))
    assert len(shown.messages) == 1
    assert "no writer" in shown.messages[0]


def test_a_lower_version_is_no_news() -> None:
    newest = Newest()
    assert newest.take(record(2, "loading"))
    assert not newest.take(record(1, "planned"))
    assert not newest.take(record(2, "loading"))
    assert newest.records["01JRUN"].version == 2


def test_a_run_is_found_by_any_unambiguous_beginning_or_end_of_its_id() -> None:
    records = {run: record(1, "done", run) for run in ("01JAAA1", "01JAAB2", "01KAAC3")}
    assert find(records, "01jaaa1").run == "01JAAA1"
    assert find(records, "01K").run == "01KAAC3"
    assert find(records, "b2").run == "01JAAB2"


@pytest.mark.parametrize(("asked", "code"), [("01J", "run.ambiguous"), ("xyz", "run.unknown"), ("", "run.unknown")])
def test_a_run_that_is_not_found_is_a_usage_error(asked: str, code: str) -> None:
    records = {run: record(1, "done", run) for run in ("01JAAA1", "01JAAB2")}
    with pytest.raises(UsageError) as caught:
        find(records, asked)
    assert caught.value.code == code
