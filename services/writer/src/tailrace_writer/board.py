"""What published records say of runs, as metrics: outcome, verification, protection, losses, progress per table.

Every writer reads every record, from the start, so this outlives the process that led the run and the run itself: a run of ten
seconds is over before anybody has scraped it. Ended runs are told for an hour (``TAILRACE_RESULTS_S``), the latest few of them. The
figures are alike on all writers: take ``max by (run, …)``. Progress per table comes from the leader alone.

Labels are bounded: kinds, causes and states are closed sets, tables are the largest few hundred and a rest, runs are those of now
and of the last hour. Names of jobs and tables are in them, values never are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, NamedTuple, get_args

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tailrace_shared.freshness import REST, largest, named_lags, table_lag
from tailrace_shared.messages import TERMINAL_STATES, Check, Protection, RunRecord
from tailrace_shared.service.lane_metrics import TABLE_BYTES, TABLE_SECONDS

ENDED_KEPT: Final = 30
"""Ended runs at most."""
KINDS: Final = (
    "rows", "foreign key", "unique", "exclusion", "not null", "check", "sequence", "structure", "catalogue", "made", "digest",
    "table", "leak", "canaries", "live",
)  # fmt: skip
"""Kinds of checks; one that is none of them counts as ``other``."""
OUTCOMES: Final = ("done", "failed", "cancelled")
SLOT_STATES: Final = ("reserved", "extended", "unreserved", "lost", "gone")
STAGES: Final = ("reader", "generator", "writer")
CAUSES: Final = ("memory", "unknown")
_TABLE_STATES: Final = ("waiting", "loading", "loaded", "quarantined", "resync")


class Family(NamedTuple):
    """A gauge: its name, what it means, its labels."""

    name: str
    text: str
    labels: tuple[str, ...]


FAMILIES: Final = (
    Family("tailrace_run_info", "1; the name of a run's job and its mode.", ("run", "name", "mode")),
    Family("tailrace_run_outcome", "1 for how an ended run has ended.", ("run", "outcome")),
    Family("tailrace_run_submitted_timestamp_seconds", "When the run was submitted.", ("run",)),
    Family("tailrace_run_told_timestamp_seconds", "When a leader last published the run's record.", ("run",)),
    Family("tailrace_run_attempt", "Above 1: the run was begun anew.", ("run",)),
    Family("tailrace_run_waiting", "1 while the run waits for something that status names.", ("run",)),
    Family("tailrace_run_queued", "1 while more runs are active than may be.", ("run",)),
    Family("tailrace_run_replicas", "Replicas of a stage that take part; by their heartbeats.", ("run", "stage")),
    Family("tailrace_run_replica_lost_timestamp_seconds",
           "When a replica of the stage was last lost; 0: never.", ("run", "stage", "cause")),
    Family("tailrace_run_checks", "Lines of the verification, of comparisons too.", ("run", "kind", "result")),
    Family("tailrace_run_columns", "Columns that the plan carries, by what becomes of them.", ("run", "protection")),
    Family("tailrace_run_unprotected_columns",
           "Columns that arrive as they are although name or type says that they may be personal.", ("run",)),
    Family("tailrace_run_warnings", "Warnings of the plan.", ("run",)),
    Family("tailrace_run_tables", "Tables of the run by state.", ("run", "state")),
    Family("tailrace_slot_status", "1 for the status of the run's slot in the source.", ("run", "lane", "status")),
    Family("tailrace_run_table_rows",
           "Rows of a table: expected, read, loaded; told by the leader.", ("run", "table", "rows")),
    Family("tailrace_table_lag_seconds", TABLE_SECONDS, ("run", "lane", "table")),
    Family("tailrace_table_lag_bytes", TABLE_BYTES, ("run", "lane", "table")),
)  # fmt: skip


class RunBoard(Collector):
    """Builds the metrics from the records of now, whenever they are asked for."""

    def __init__(
        self,
        records: Callable[[], Iterable[RunRecord]],
        replica: str,
        keep_s: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._records = records
        self._replica = replica
        self._keep = timedelta(seconds=keep_s)
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Families without samples, so that registering needs no records."""
        return [GaugeMetricFamily(f.name, f.text, labels=f.labels) for f in FAMILIES]

    def collect(self) -> Iterable[Metric]:
        """One family each, whether there is a run or not."""
        made = {f.name: GaugeMetricFamily(f.name, f.text, labels=f.labels) for f in FAMILIES}
        for record in told(self._records(), self._clock() - self._keep):
            by_table = table_samples(record, self._replica), lag_samples(record, self._replica, self._clock())
            for name, labels, value in chain(samples(record), *by_table):
                made[f"tailrace_{name}"].add_metric(labels, value)
        return made.values()


def told(records: Iterable[RunRecord], since: datetime) -> list[RunRecord]:
    """Unfinished runs, and the latest that have ended since."""
    everything = list(records)
    ended = [r for r in everything if r.terminal and (r.finished_at or r.updated_at) >= since]
    ended.sort(key=lambda r: r.finished_at or r.updated_at)
    return [r for r in everything if not r.terminal] + ended[-ENDED_KEPT:]


Sample = tuple[str, Sequence[str], float]
"""Name without prefix, values of the labels, value."""


def samples(record: RunRecord) -> Iterable[Sample]:
    """What every writer tells of a run."""
    run = record.run
    yield "run_info", (run, record.job.name, record.job.mode), 1
    for outcome in OUTCOMES if record.terminal else ():
        yield "run_outcome", (run, outcome), float(record.state == outcome)
    yield "run_submitted_timestamp_seconds", (run,), record.submitted_at.timestamp()
    yield "run_told_timestamp_seconds", (run,), record.updated_at.timestamp()
    yield "run_attempt", (run,), record.attempt
    yield "run_waiting", (run,), float(bool(record.waiting_for) and not record.terminal)
    yield "run_queued", (run,), float(record.queued)
    for stage in STAGES:
        seen = next((progress.replicas for name, progress in record.stages.items() if name == stage), 0)
        yield "run_replicas", (run, stage), 0 if record.state in TERMINAL_STATES else seen
        for cause in CAUSES:
            last = max(
                (loss.at.timestamp() for loss in record.lost if (loss.service, loss.cause) == (stage, cause)),
                default=0.0,
            )
            yield "run_replica_lost_timestamp_seconds", (run, stage, cause), last
    compared = record.comparison.checks if record.comparison is not None else ()
    yield from (("run_checks", (run, *key), count) for key, count in check_counts((*record.checks, *compared)).items())
    for protection in get_args(Protection):
        yield "run_columns", (run, protection), record.protection.get(protection, 0)
    yield "run_unprotected_columns", (run,), record.unprotected
    yield "run_warnings", (run,), sum(problem.severity == "warning" for problem in record.problems)
    states = Counter(table.state for table in record.tables)
    yield from (("run_tables", (run, state), states[state]) for state in _TABLE_STATES)
    for lane in record.lanes:
        now = (lane.slot.status or "gone") if lane.slot is not None else ""
        yield from (("slot_status", (run, str(lane.lane), status), float(status == now)) for status in SLOT_STATES)


def table_samples(record: RunRecord, replica: str) -> Iterable[Sample]:
    """Progress per table, if this writer leads the run."""
    if record.leader != replica or record.terminal:
        return
    shown, rest = largest(record.tables)
    named = [(table.name, (table,)) for table in shown] + ([(REST, rest)] if rest else [])
    for name, tables in named:
        yield "run_table_rows", (record.run, name, "expected"), sum(max(0.0, t.estimated_rows) for t in tables)
        yield "run_table_rows", (record.run, name, "read"), sum(t.rows_read for t in tables)
        yield "run_table_rows", (record.run, name, "loaded"), sum(t.rows_loaded for t in tables)


def lag_samples(record: RunRecord, replica: str, now: datetime) -> Iterable[Sample]:
    """Freshness per table, if this writer leads the run."""
    if record.leader != replica or record.terminal:
        return
    lags = {t.table: lag for t in record.tables if (lag := table_lag(t, now)) is not None}
    for lane in record.lanes:
        for name, lag in named_lags(record.tables, lags).items():
            yield "table_lag_seconds", (record.run, str(lane.lane), name), lag.seconds
            yield "table_lag_bytes", (record.run, str(lane.lane), name), lag.bytes


def check_counts(checks: Iterable[Check]) -> dict[tuple[str, str], int]:
    """(kind, ``passed`` or ``failed``) to how many; all kinds are there, at zero."""
    counts = {(kind, result): 0 for kind in (*KINDS, "other") for result in ("passed", "failed")}
    for check in checks:
        counts[kind_of(check.name), "passed" if check.passed else "failed"] += 1
    return counts


def kind_of(name: str) -> str:
    """``foreign key`` of ``foreign key public.orders orders_customer_fkey``."""
    lowered = name.lower()
    return next((kind for kind in KINDS if lowered == kind or lowered.startswith(f"{kind} ")), "other")
