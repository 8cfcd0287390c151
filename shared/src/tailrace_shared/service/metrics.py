"""The instruments of a service. Names are ``tailrace_…``, base units, label ``run``; every series exists at zero from the start.

A run's series are made when the replica joins the run and removed when it leaves, so that labels stay bounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from tailrace_shared import __version__
from tailrace_shared.messages import ServiceName, State
from tailrace_shared.service.lane_metrics import LaneMetrics
from tailrace_shared.service.learning_metrics import LearningMetrics
from tailrace_shared.service.memory import MemoryCollector, MemoryGroup

Outcome = Literal["done", "duplicate", "discarded", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("done", "duplicate", "discarded", "failed")
Direction = Literal["in", "out"]
STATES: tuple[State, ...] = (
    "submitted", "planned", "preparing", "loading", "finishing", "streaming", "paused", "verifying", "stopping", "done", "failed",
    "cancelled",
)  # fmt: skip
STAGES: tuple[ServiceName, ...] = ("reader", "generator", "writer")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_ROWS = (1, 10, 100, 1000, 4096, 8192, 16384, 32768, 131072)


class Metrics:
    """All instruments of one service process, in a registry of their own."""

    def __init__(self, service: ServiceName, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.service = service
        ProcessCollector(namespace="tailrace", registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.memory = MemoryGroup()
        self.registry.register(MemoryCollector(self.memory))
        self._series: list[Counter | Gauge | Histogram] = []
        Info("tailrace_build", "Version and service of this process.", registry=self.registry).info(
            {"version": __version__, "service": service}
        )
        self.rows = self._counter("rows", "Rows that this stage has finished.", "run")
        self.bytes = self._counter("bytes", "Message bytes.", "run", "direction")
        self.batches = self._counter("batches", "Batches by what became of them.", "run", "outcome")
        self.batch_seconds = self._histogram(
            "batch_duration_seconds", "Time per batch and step.", _SECONDS, "run", "step"
        )
        self.batch_rows = self._histogram("batch_rows", "Rows per batch.", _ROWS, "run")
        self.retries = self._counter("retries", "Attempts that were repeated.", "run")
        self.failures = self._counter("failures", "Failures that ended a run.", "run")
        self.inflight = self._gauge("inflight_bytes", "Bytes in hand.", "run")
        self.backpressure = self._counter(
            "backpressure_seconds", "Time in which the stage waited for the next one.", "run"
        )
        self.last_commit = self._gauge("last_commit_timestamp_seconds", "When work was last made durable.", "run")
        self.runs = self._gauge("runs", "Runs that this replica takes part in.")
        self.up_to_date = self._gauge("ready", "1 when the replica is ready.")
        self.broker = self._gauge("broker_up", "1 while the broker answers.")
        self.lane = LaneMetrics(service, self._counter, self._gauge)
        self.learning = LearningMetrics(service, self._gauge, self._counter)
        self.runs.set(0)
        self.up_to_date.set(0)
        self.broker.set(0)
        if service == "writer":
            self.run_state = self._gauge("run_state", "1 for the state that the run is in.", "run", "state")
            self.rows_expected = self._gauge("run_rows_expected", "Rows that the plan expects.", "run")
            self.credit = self._gauge("run_credit_bytes", "Bytes that may be released and not yet committed.", "run")
            self.credit_used = self._gauge("run_credit_used_bytes", "Bytes released and not yet committed.", "run")
            self.leading = self._gauge("run_leader", "1 on the replica that leads the run.", "run")
            self.lag = self._gauge(
                "stage_lag_records",
                "Records of a stage's topic that its group has not committed; told by the leader.",
                "run",
                "stage",
            )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        made = Counter(f"tailrace_{name}", text, labels, registry=self.registry)
        self._series.append(made)
        return made

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        made = Gauge(f"tailrace_{name}", text, labels, registry=self.registry)
        self._series.append(made)
        return made

    def _histogram(self, name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
        made = Histogram(f"tailrace_{name}", text, labels, buckets=tuple(buckets), registry=self.registry)
        self._series.append(made)
        return made

    def join(self, run: str, steps: Iterable[str] = (), *, continuous: bool = False) -> None:
        """Make the run's series, at zero."""
        if continuous:
            self.lane.join(run)
        for direction in ("in", "out"):
            self.bytes.labels(run, direction)
        for outcome in OUTCOMES:
            self.batches.labels(run, outcome)
        for step in steps:
            self.batch_seconds.labels(run, step)
        for series in (
            self.rows,
            self.batch_rows,
            self.retries,
            self.failures,
            self.inflight,
            self.backpressure,
            self.last_commit,
        ):
            series.labels(run)
        if self.service == "writer":
            for state in STATES:
                self.run_state.labels(run, state)
            for stage in STAGES:
                self.lag.labels(run, stage)
            for gauge in (self.rows_expected, self.credit, self.credit_used, self.leading):
                gauge.labels(run)
        self.runs.inc()

    def leave(self, run: str) -> None:
        """Remove the run's series."""
        for series in self._series:
            if "run" in series._labelnames:
                series.remove_by_labels({"run": run})
        self.runs.dec()
