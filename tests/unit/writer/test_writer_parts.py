"""The writer's small pure parts: turn of runs, heartbeats, sequences, samples, the opening of a batch transaction, records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import asyncpg
import pytest

from support.writing import DIGEST, RUN, head, job
from tailrace_reader.settings import Settings as ReaderSettings
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.messages import RunRecord
from tailrace_shared.plan.model import Problem
from tailrace_writer.actions import Hindered
from tailrace_writer.beats import Arrivals, Beats
from tailrace_writer.destinations import Destination
from tailrace_writer.fence import opening
from tailrace_writer.hindrance import AFTER, EVERY_S, Hindrance
from tailrace_writer.publish import record_of_row
from tailrace_writer.republish import Republisher
from tailrace_writer.runs import Runs, is_active
from tailrace_writer.sequences import descending_start, sequence_start
from tailrace_writer.settings import Settings
from tailrace_writer.state.facts import refusal_of
from tailrace_writer.term import hindrance_of


def record(version: int, run: str = RUN, state: str = "loading") -> RunRecord:
    now = datetime.now(UTC)
    return RunRecord(run=run, version=version, state=state, job=job(), submitted_at=now, updated_at=now)  # type: ignore[arg-type]


def test_the_lowest_unfinished_runs_are_active() -> None:
    assert is_active("01B", ["01A", "01B", "01C"], 2)
    assert not is_active("01C", ["01A", "01B", "01C"], 2)
    assert is_active("01C", ["01A"], 2), "a run whose own record has not come yet"


async def test_an_older_record_does_not_replace_a_newer_one() -> None:
    runs = Runs()
    await runs.note(record(3, state="done"))
    await runs.note(record(2))
    known = runs.get(RUN)
    assert known is not None
    assert known.version == 3
    assert runs.finished() == {RUN}
    assert await runs.wait_for("unknown", 0.01) is None


async def test_of_many_finished_runs_only_the_latest_records_are_kept() -> None:
    runs = Runs(kept=2)
    for number in range(5):
        await runs.note(record(7, run=f"run {number}", state="done"))
    assert runs.finished() == {f"run {number}" for number in range(5)}
    assert runs.get("run 0") is None
    assert runs.get("run 4") is not None
    await runs.note(record(3, run="run 0"))
    assert runs.get("run 0") is None, "an old record does not bring it back"
    assert runs.is_over("run 0")
    assert runs.unfinished() == []


async def test_a_run_is_forgotten_so_long_after_its_end_and_not_before() -> None:
    runs, then = Runs(), datetime(2026, 1, 1, tzinfo=UTC)
    await runs.note(record(7, run="over", state="done").model_copy(update={"finished_at": then}))
    await runs.note(record(7, run="loading").model_copy(update={"updated_at": then}))
    assert runs.ended_before(then) == []
    assert runs.ended_before(then + timedelta(seconds=1)) == ["over"]
    runs.forget("over")
    runs.forget("unknown")
    assert not runs.is_over("over")
    assert runs.ended_before(then + timedelta(days=1)) == []
    assert [r.run for r in runs.unfinished()] == ["loading"]


def test_silence_counts_only_while_some_heartbeat_comes_through() -> None:
    beats = Beats(stale_s=10)
    assert not beats.settled(0, None)
    assert not beats.settled(1, 0.5)
    assert all(not beats.settled(t, 0.5) for t in range(2, 11))
    assert beats.settled(11, 0.5)
    assert not beats.settled(12, 6), "all are silent: the broker is away"
    assert not beats.settled(13, 0.1), "and back: everybody gets the time to say so"
    assert not beats.settled(60, 0.1), "the database was away"


def test_arrivals_remember_when_something_came_and_when_a_reader_went() -> None:
    arrivals = Arrivals()
    both, one = frozenset({"a", "b"}), frozenset({"b"})
    arrivals.look(10, "x", both, settled=True)
    assert (arrivals.moved_at, arrivals.deserted_at) == (10, 10), "a new leader knows nothing of before"
    arrivals.look(20, "x", both, settled=True)
    arrivals.look(30, "y", both, settled=True)
    assert (arrivals.moved_at, arrivals.deserted_at) == (30, 10)
    arrivals.look(40, "y", frozenset(), settled=False)
    assert arrivals.deserted_at == 10, "an outage: nobody is to blame"
    arrivals.look(50, "y", one, settled=True)
    assert arrivals.deserted_at == 50
    arrivals.look(60, "y", both, settled=True)
    assert arrivals.deserted_at == 50, "one that joins takes nothing away"


def test_a_run_says_what_it_waits_for_once_an_error_repeats_and_at_once_what_cannot_pass() -> None:
    locked = TransientError("postgres.lock", "a lock could not be had")
    assert [hindrance_of(locked, n) for n in (1, 2, 3)] == ["", "", "postgres.lock: a lock could not be had"]
    assert hindrance_of(Hindered("run 7, which is ending"), 1) == "run 7, which is ending"
    assert hindrance_of(TerminalError("postgres.denied", "no right"), 1) == "postgres.denied: no right"
    assert "KeyError" in hindrance_of(KeyError("value"), 1)
    assert "value" not in hindrance_of(KeyError("value"), 1)


def test_a_reader_and_the_writer_agree_how_long_a_leak_question_may_take() -> None:
    assert ReaderSettings.model_fields["leak_timeout_s"].default == Settings.model_fields["leak_timeout_s"].default


class Noted(Hindrance):
    """Keeps what it would write to the destination."""

    def __init__(self) -> None:
        self.now, self.notes = 0.0, list[str]()
        super().__init__(RUN, "writer-1", cast(Destination, None), lambda: self.now)

    async def _note(self, hindrance: str) -> None:
        self.notes.append(hindrance)


async def test_a_writer_that_cannot_write_says_so_once_a_minute_until_it_can() -> None:
    hindrance, locked = Noted(), TransientError("postgres.lock", "a lock could not be had")
    for _ in range(AFTER - 1):
        await hindrance.failed(locked)
    await hindrance.passed()
    assert hindrance.notes == [], "a passing matter"
    for _ in range(AFTER + 20):
        await hindrance.failed(locked)
    assert hindrance.notes == ["postgres.lock: a lock could not be had"]
    hindrance.now = EVERY_S
    await hindrance.failed(locked)
    assert len(hindrance.notes) == 2
    await hindrance.passed()
    await hindrance.passed()
    assert hindrance.notes[2:] == [""]


@pytest.mark.parametrize("state", ["loading", "stopping"])
def test_the_record_of_a_run_that_is_not_over_says_what_it_waits_for(state: str) -> None:
    now = datetime.now(UTC)
    row: dict[str, object] = {
        "run": RUN, "version": 3, "state": state, "attempt": 1, "submitted_at": now, "leader": "w", "digest": "",
        "revision": "", "resync_state": "",
        "queued": False, "waiting_for": "postgres.lock: held", "cancel_requested": True, "progress": "{}", "checks": "[]",
        "pause_requested": False, "stop_requested": False,
        "problems": "[]", "failure": None, "started_at": None, "finished_at": None,
    }  # fmt: skip
    assert record_of_row(cast(asyncpg.Record, row), job()).waiting_for == "postgres.lock: held"
    assert record_of_row(cast(asyncpg.Record, row | {"state": "failed"}), job()).waiting_for == ""


@pytest.mark.parametrize(
    ("largest", "maximum", "start"),
    [
        (None, 2**31 - 1, None),
        (0, 2**31 - 1, None),
        (1, 2**31 - 1, 2**15),
        (2**15 - 1, 2**31 - 1, 2**15),
        (2**15, 2**31 - 1, 2**30),
        (2**30 + 5, 2**31 - 1, 2**30 + 6),
        (2**31 - 1, 2**31 - 1, 2**31 - 1),
        (2**31, 2**63 - 1, 2**52),
        (100, 2**15 - 1, 101),
    ],
)
def test_a_sequence_starts_in_the_first_region_above_the_largest_key(
    largest: int | None, maximum: int, start: int | None
) -> None:
    assert sequence_start(largest, maximum) == start


@pytest.mark.parametrize(
    ("smallest", "minimum", "start"),
    [
        (None, -(2**63), None), (0, -(2**63), None), (7, -(2**63), None), (-1, -(2**63), -(2**15) - 1),
        (-(2**15), -(2**31), -(2**15) - 1), (-(2**15) - 1, -(2**31), -(2**30) - 1), (-5, -100, -6), (-100, -100, -100),
    ],
)  # fmt: skip
def test_a_descending_sequence_starts_in_the_first_region_below_the_smallest_key(
    smallest: int | None, minimum: int, start: int | None
) -> None:
    assert descending_start(smallest, minimum) == start


def test_the_opening_of_a_batch_takes_nothing_into_its_sql_that_is_not_a_number_or_an_id_of_ours() -> None:
    made = opening(head(3, rows=7), lock_timeout_s=5, replica_role=True)
    assert made.index("pg_advisory_xact_lock_shared") < made.index("INSERT INTO tailrace.ledger")
    assert "synchronous_commit = on" in made
    assert "session_replication_role = replica" in made
    bad = head(3, rows=7)
    for wrong in (bad._replace(plan="'; drop"), bad._replace(id=bad.id._replace(run="'; drop table x; --"))):
        with pytest.raises(TerminalError):
            opening(wrong, lock_timeout_s=5, replica_role=False)
    assert DIGEST in made


def test_a_refused_plan_names_its_first_problems() -> None:
    problems = [
        Problem(severity="error", code="plan.x", where=f"public.t{n}", message="is wrong", remedy="fix it")
        for n in range(5)
    ]
    failure = refusal_of([Problem(severity="warning", code="w", where="x", message="y"), *problems])
    assert failure.code == "plan.refused"
    assert "5 problems" in failure.message
    assert "public.t0: is wrong" in failure.message
    assert "and 2 more" in failure.message
    assert failure.remedy == "fix it"


class KeptControl:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.records: list[RunRecord] = []

    async def record(self, record: RunRecord) -> None:
        self.records.append(record)


async def test_an_older_record_that_comes_last_is_followed_by_the_newest_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace_writer.republish.SETTLE_S", 0.01)
    runs, control = Runs(), KeptControl()
    republisher = Republisher(control, runs)  # type: ignore[arg-type]
    await runs.note(record(5))
    republisher.heard(record(5))
    republisher.heard(record(4))
    republisher.heard(record(5))
    (check,) = republisher._checks.values()
    await check
    assert control.records == [], "somebody has put it right"
    republisher.heard(record(3))
    (check,) = republisher._checks.values()
    await check
    assert [r.version for r in control.records] == [5]
