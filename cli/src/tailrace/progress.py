"""A run's progress as numbers: rows per stage, rows per second, time left. Pure: records and a clock's readings go in."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tailrace.console import duration
from tailrace.lane_view import LaneView, lane_of
from tailrace_shared.messages import RunRecord, State

RATE_WINDOW_SECONDS = 8.0
"""Long enough to smooth batches of many thousand rows, short enough to show a stall."""

STATE_WORDS: dict[State, str] = {
    "submitted": "planning",
    "planned": "planned",
    "preparing": "preparing the destination",
    "loading": "loading",
    "finishing": "rebuilding indexes and keys",
    "streaming": "following",
    "paused": "paused",
    "verifying": "verifying",
    "stopping": "undoing what was loaded",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


class StageView(NamedTuple):
    """One stage: what it has done, how fast, by how many."""

    name: str
    rows: int
    rows_per_second: float
    replicas: int


class ProgressView(NamedTuple):
    """What there is to show of a run at one moment. Rows are of the current attempt."""

    run: str
    state: State
    words: str
    attempt: int
    seconds: float
    stages: tuple[StageView, ...]
    total_rows: float
    """Estimated; 0 when unknown."""
    fraction: float
    """Of the rows loaded, 0 to 1."""
    eta_seconds: float | None
    """Of the load; None when it cannot be said."""
    credit_used: int
    credit_bytes: int
    tables_loaded: int
    tables: int
    lane: LaneView | None = None
    """Of a continuous run, once its source is followed."""


class Rate:
    """Rows per second over a sliding window of readings."""

    def __init__(self, window_seconds: float = RATE_WINDOW_SECONDS) -> None:
        self._window_seconds = window_seconds
        self._readings: deque[tuple[float, int]] = deque()

    def take(self, now: float, rows: int) -> float:
        """The rate at ``now`` (seconds, monotonic); a count that fell (a new attempt) starts over."""
        if self._readings and rows < self._readings[-1][1]:
            self._readings.clear()
        self._readings.append((now, rows))
        while len(self._readings) > 2 and self._readings[1][0] <= now - self._window_seconds:
            self._readings.popleft()
        (then, before), elapsed = self._readings[0], now - self._readings[0][0]
        return (rows - before) / elapsed if elapsed > 0 and now > then else 0.0


class Progress:
    """Turns the records of one run into views."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._loading_since: float | None = None
        self._loading_until: float | None = None
        self._rates = {name: Rate() for name in ("read", "masked", "loaded")}
        self._changes = Rate()

    @property
    def loading_seconds(self) -> float:
        """How long the last attempt's rows were on their way, as it was watched; 0 when it was not."""
        if self._loading_since is None or self._loading_until is None:
            return 0.0
        return self._loading_until - self._loading_since

    def view(self, record: RunRecord, now: float) -> ProgressView:
        """The run at ``now`` (seconds of the clock that gave ``started``)."""
        self._time_loading(record, now)
        done = stage_rows(record)
        rates = {name: self._rates[name].take(now, rows) for name, rows in done.items()}
        services = {"read": "reader", "masked": "generator", "loaded": "writer"}
        replicas = {str(service): stage.replicas for service, stage in record.stages.items()}
        stages = tuple(
            StageView(name, rows, rates[name], replicas.get(services[name], 0)) for name, rows in done.items()
        )
        # An estimate below what was already read is no longer one.
        total = sum(max(t.estimated_rows, t.rows_read) for t in record.tables)
        left = max(0.0, total - done["loaded"])
        rate = rates["loaded"]
        return ProgressView(
            run=record.run,
            state=record.state,
            words=_words(record),
            attempt=record.attempt,
            seconds=now - self._started,
            stages=stages,
            total_rows=max(0.0, total),
            fraction=min(1.0, done["loaded"] / total) if total > 0 else float(record.state == "done"),
            eta_seconds=left / rate if record.state == "loading" and rate > 0 and total > 0 else None,
            credit_used=record.credit_used,
            credit_bytes=record.credit_bytes,
            tables_loaded=sum(t.state == "loaded" for t in record.tables),
            tables=len(record.tables),
            lane=self._lane(record, now),
        )

    def _lane(self, record: RunRecord, now: float) -> LaneView | None:
        if not follows(record):
            return None
        return lane_of(record, self._changes.take(now, record.lanes[0].changes if record.lanes else 0))

    def _time_loading(self, record: RunRecord, now: float) -> None:
        if record.state in ("submitted", "planned"):
            self._loading_since = self._loading_until = None  # a new attempt
        elif record.state == "loading":
            self._loading_since = now if self._loading_since is None else self._loading_since
        elif self._loading_since is not None and self._loading_until is None:
            self._loading_until = now


def follows(record: RunRecord) -> bool:
    """Whether the run follows its source, or applies the last of it."""
    return record.state in ("streaming", "paused") or _ends_well(record)


def _ends_well(record: RunRecord) -> bool:
    return record.state == "stopping" and record.stop_requested and not record.cancel_requested


def stage_rows(record: RunRecord) -> dict[str, int]:
    """Rows read, masked and loaded in the current attempt."""
    loaded = sum(t.rows_loaded for t in record.tables)
    read = sum(t.rows_read for t in record.tables)
    generator = record.stages.get("generator")
    # What is loaded was masked before: a replica's heartbeat may be older than the ledger.
    return {"read": max(read, loaded), "masked": max(generator.rows if generator else 0, loaded), "loaded": loaded}


def _learning(record: RunRecord) -> str:
    """How far the models are that are being learned; nothing once they are there."""
    learning = [model for model in record.models if model.state == "learning"]
    if record.state != "loading" or not learning:
        return ""
    told = [f"{model.name} epoch {model.epoch}" if model.epoch else model.name for model in learning]
    left = max(model.remaining_s for model in learning)
    return f", learning {', '.join(told[:3])}" + (f", {duration(left)} left at most" if left else "")


def _words(record: RunRecord) -> str:
    words = "applying the last changes" if _ends_well(record) else STATE_WORDS[record.state]
    if record.queued:
        words = "queued behind other runs"
    if record.waiting_for:
        words += f", waiting for {record.waiting_for}"
    words += _learning(record)
    if record.state == "paused" and record.failure is not None:
        words += f": {record.failure.message}"
    if record.cancel_requested and not record.terminal:
        words += ", cancel requested"
    elif record.stop_requested and record.state not in ("stopping", "verifying") and not record.terminal:
        words += ", stop requested"
    elif record.pause_requested and record.state not in ("paused", "stopping", "verifying") and not record.terminal:
        words += ", pause requested"
    return words
