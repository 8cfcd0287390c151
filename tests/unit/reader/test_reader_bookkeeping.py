"""Small decisions of the reader: whose snapshot stays, how long a source may fail, where a batch goes."""

from __future__ import annotations

import datetime as dt
from collections import Counter

from tailrace_reader.attempts import PlannedAttempt, PlannedAttempts
from tailrace_reader.patience import SourcePatience
from tailrace_reader.ranges import RangeQuery
from tailrace_shared.batch import partition_of
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Bound, RunRecord, State
from tailrace_shared.plan.model import Leaf

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
JOB = Job.model_validate({"name": "j", "source": {"url": "${S}"}, "destination": {"url": "${D}"}})


class Holder:
    """A held snapshot without a server."""

    def __init__(self) -> None:
        self.alive = True

    def release(self) -> None:
        self.alive = False


def planned(attempt: int = 1, digest: str = "ours") -> tuple[PlannedAttempts, Holder]:
    holder, attempts = Holder(), PlannedAttempts()
    attempts.put(PlannedAttempt("R", attempt, digest, holder))  # type: ignore[arg-type]
    return attempts, holder


def record(state: State, attempt: int = 1, digest: str = "", run: str = "R") -> RunRecord:
    return RunRecord(
        run=run, version=1, state=state, attempt=attempt, digest=digest, job=JOB, submitted_at=NOW, updated_at=NOW
    )


def test_a_snapshot_stays_while_its_plan_can_still_win() -> None:
    attempts, holder = planned(attempt=2)
    for seen in (
        record("submitted", 2),
        record("loading", 1, "old"),
        record("planned", 2, "ours"),
        record("done", run="X"),
    ):
        attempts.on_record(seen)
    assert holder.alive
    assert attempts.take("R", 2, "ours") is holder
    assert attempts.take("R", 2, "ours") is None


def test_a_snapshot_goes_when_another_plan_won_the_attempt_was_lost_or_the_run_ended() -> None:
    for seen in (record("planned", 1, "another"), record("submitted", 2), record("cancelled")):
        attempts, holder = planned()
        attempts.on_record(seen)
        assert not holder.alive
        assert attempts.of("R", 1) is None


def test_a_snapshot_whose_session_has_died_is_not_handed_out() -> None:
    attempts, holder = planned()
    holder.alive = False
    assert attempts.of("R", 1) is None
    assert attempts.take("R", 1, "ours") is None


def test_a_new_plan_of_a_run_releases_the_one_before() -> None:
    attempts, first = planned()
    second = Holder()
    attempts.put(PlannedAttempt("R", 2, "new", second))  # type: ignore[arg-type]
    assert (first.alive, second.alive) == (False, True)
    attempts.clear()
    assert not second.alive


def test_a_source_may_fail_until_the_patience_is_spent_and_an_answer_renews_it() -> None:
    patience, lost = SourcePatience(10), TransientError("postgres.connection", "lost")
    assert patience.judge(lost, now=100.0) is lost
    assert patience.judge(lost, now=109.9) is lost
    patience.succeeded()
    assert patience.judge(lost, now=111.0) is lost
    spent = patience.judge(lost, now=121.0)
    assert isinstance(spent, TerminalError)
    assert spent.code == "reader.source-failing"


def test_a_dead_broker_or_a_lost_snapshot_never_spends_the_patience() -> None:
    patience = SourcePatience(0)
    for code in ("kafka.send-timeout", "reader.released", "reader.snapshot-gone"):
        error = TransientError(code, "…")
        assert patience.judge(error, now=1.0) is error


def test_batches_go_where_they_went_and_spread_over_all_partitions() -> None:
    assert [partition_of(0, 0, n, 12) for n in range(4)] == [partition_of(0, 0, n, 12) for n in range(4)]
    assert partition_of(3, 7, 11, 12) == 4, "a golden value: a retry by another version goes to the same place"
    spread = Counter(partition_of(0, range_, batch, 12) for range_ in range(40) for batch in range(8))
    assert set(spread) == set(range(12))
    assert max(spread.values()) < 3 * min(spread.values())


def test_names_are_quoted_wherever_they_come_from() -> None:
    leaf = Leaf(name=TableName(schema_name='s"', name="t;--"), oid=1, filenode=1)
    query = RangeQuery(leaf, ('a"b', "select"), Bound(block=1, item=2), Bound(block=3))
    assert query.rows == (
        'SELECT t."a""b", t."select" FROM ONLY "s"""."t;--" AS t WHERE t.ctid >= \'(1,2)\'::tid AND t.ctid < \'(3,0)\'::tid'
    )
    assert query.place_after(7).endswith("OFFSET 7 LIMIT 1")
