"""Progress as numbers, and its plain line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from tailrace.lane_view import lane_panel, lane_words
from tailrace.live import line
from tailrace.progress import Progress, Rate, stage_rows
from tailrace.summary import table_rows
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.messages import Failure, RunRecord, StageProgress, TableProgress

NOW = datetime(2026, 1, 1, tzinfo=UTC)
JOB = Job(name="demo", source=Source(url="${S}"), destination=Destination(url="${D}"))


def record(loaded: int = 0, read: int = 0, masked: int = 0, **changes: object) -> RunRecord:
    given = {
        "run": "01J",
        "version": 1,
        "state": "loading",
        "job": JOB,
        "submitted_at": NOW,
        "updated_at": NOW,
        "stages": {"reader": StageProgress(replicas=1), "generator": StageProgress(replicas=2, rows=masked)},
        "tables": (
            TableProgress(table=0, name="public.a", estimated_rows=1000, rows_read=read, rows_loaded=loaded),
            TableProgress(table=1, name="public.b", state="loaded", estimated_rows=-1),
        ),
    }
    return RunRecord.model_validate(given | changes)


def test_a_rate_is_measured_over_the_window_and_not_since_the_start() -> None:
    rate = Rate(window_seconds=2)
    rate.take(0.0, 0)
    for second in range(1, 11):
        rate.take(float(second), 100)
    assert rate.take(11.0, 100) == 0
    assert rate.take(12.0, 500) == pytest.approx(200)


def test_a_count_that_falls_starts_the_rate_over() -> None:
    rate = Rate()
    rate.take(0.0, 0)
    rate.take(1.0, 5000)
    assert rate.take(2.0, 10) == 0
    assert rate.take(3.0, 110) == pytest.approx(100)


def test_stages_never_show_less_than_what_came_after_them() -> None:
    assert stage_rows(record(loaded=50, read=40, masked=10)) == {"read": 50, "masked": 50, "loaded": 50}


def test_time_left_follows_the_rate_of_loading() -> None:
    progress = Progress(0.0)
    progress.view(record(), 0.0)
    view = progress.view(record(loaded=200, read=300), 2.0)
    assert view.stages[-1].rows_per_second == pytest.approx(100)
    assert view.eta_seconds == pytest.approx(8)
    assert view.fraction == pytest.approx(0.2)
    assert (view.tables_loaded, view.tables) == (1, 2)


def test_no_time_left_is_told_where_nothing_moves_or_nothing_is_known() -> None:
    progress = Progress(0.0)
    assert progress.view(record(), 0.0).eta_seconds is None
    unknown = record(tables=())
    assert progress.view(unknown, 1.0).eta_seconds is None
    assert progress.view(unknown, 1.0).fraction == 0


def test_the_line_says_what_the_run_waits_for() -> None:
    view = Progress(0.0).view(record(state="planned", waiting_for="a generator replica", tables=()), 1.0)
    assert line(view).strip() == "1.0 s  planned, waiting for a generator replica"


def test_the_line_of_a_load_names_stages_rate_and_credit() -> None:
    progress = Progress(0.0)
    progress.view(record(), 0.0)
    text = line(progress.view(record(loaded=200, read=300, masked=250, credit_bytes=1 << 20, attempt=2), 2.0))
    assert "read 300, masked 250, loaded 200 of 1,000 rows, 100 rows/s, 8.0 s left" in text
    assert "attempt 2" in text
    assert "credit 0 B of 1.0 MiB" in text


def test_loading_is_timed_from_its_first_to_its_next_state_of_the_last_attempt() -> None:
    progress = Progress(0.0)
    for state, second in (("loading", 1), ("stopping", 3), ("submitted", 4), ("loading", 10), ("loading", 12)):
        progress.view(record(state=state), float(second))
    assert progress.loading_seconds == 0
    progress.view(record(state="finishing"), 15.0)
    progress.view(record(state="done"), 30.0)
    assert progress.loading_seconds == 5


def test_the_words_of_a_run_that_follows_say_what_holds_it_and_what_was_asked() -> None:
    def words(**changes: object) -> str:
        return Progress(0.0).view(record(tables=(), **changes), 1.0).words

    failure = Failure(code="writer.x", message="the disk is full")
    assert words(state="streaming") == "following"
    assert words(state="paused", failure=failure) == "paused: the disk is full"
    assert words(state="streaming", stop_requested=True) == "following, stop requested"
    assert words(state="stopping", stop_requested=True) == "applying the last changes"
    assert words(state="stopping", stop_requested=True, cancel_requested=True).startswith("undoing what was loaded")
    assert words(state="verifying", stop_requested=True) == "verifying"


def test_the_line_of_a_run_that_follows_tells_lag_rate_slot_and_what_is_wrong() -> None:
    def lane(changes: int, **more: object) -> dict[str, object]:
        slot = {"name": "s", "status": "unreserved", "retained_bytes": 2048, "safe_bytes": 1024}
        given = {"lane": 0, "position": "0/1", "lag_s": 3.0, "lag_bytes": 512, "changes": changes, "slot": slot}
        return given | more

    progress = Progress(0.0)
    out = TableProgress(table=0, name="public.a", state="quarantined", why="dropped")
    progress.view(record(state="streaming", lanes=(lane(0),)), 0.0)
    view = progress.view(record(state="streaming", lanes=(lane(100, held_back=True),), tables=(out,)), 2.0)
    text = line(view)
    assert (
        "following: lag 3.0 s, 512 B behind; 50 changes/s, 100 applied; slot unreserved, 2.0 KiB kept, 1.0 KiB to go"
        in text
    )
    assert "quarantined: public.a" in text
    assert "held back" in text
    assert "the slot is unreserved" in text


def test_tables_that_are_behind_are_named_and_a_table_that_has_left_its_lane_is_ever_further() -> None:
    def table(number: int, state: str = "loaded", **more: object) -> dict[str, object]:
        return {"table": number, "name": f"public.t{number}", "state": state} | more

    tables = (
        table(0, lag_s=0.25, lag_bytes=9),
        table(1, lag_s=4.2, lag_bytes=1126),
        table(2, lag_s=1.5, lag_bytes=512),
        table(3, lag_s=1.25),
        table(4, "quarantined", left_at=NOW - timedelta(minutes=1), lag_bytes=2048),
        table(5, "loading"),
    )
    shown = record(state="streaming", lanes=({"lane": 0, "position": "0/1", "lag_s": 4.2},), tables=tables)
    lane = Progress(0.0).view(shown, 1.0).lane
    assert lane is not None
    assert (lane.told, [t.name for t in lane.behind]) == (5, [f"public.t{n}" for n in (4, 1, 2, 3)])
    assert "; stale: public.t4 1 min 00 s, 2.0 KiB; public.t1 4.2 s, 1.1 KiB and 2 more; quarantined" in lane_words(
        lane
    )
    drawn = Console(width=200, record=True, file=StringIO())
    drawn.print(lane_panel(lane), table_rows(shown))
    text = drawn.export_text()
    assert "1 of 5 fresh" in text
    assert ["public.t2", "0", "0", "1.5", "s", "512", "B", "loaded"] in [row.split() for row in text.splitlines()]
    assert "lag" not in _heads(table_rows(record()))


def _heads(table: Table) -> list[object]:
    return [column.header for column in table.columns]
