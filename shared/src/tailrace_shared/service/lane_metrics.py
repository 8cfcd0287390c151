"""The instruments of continuous runs: who knows a figure tells it, and readers and writers both tell the lag.

A writer's leader cannot look while its destination is away, a reader not while nobody captures: the larger of both is the lag
(``max by (run, lane)``). Replicas that neither capture nor lead stay at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from prometheus_client import Counter, Gauge

from tailrace_shared.freshness import TableLag
from tailrace_shared.messages import ServiceName

LANE = 0
"""The one lane that a run has."""
TABLE_SECONDS = "Since the oldest change of a table that the destination lacks was committed in the source."
TABLE_BYTES = "WAL between what the destination holds of a table and the source's end."
"""Writers tell the same of the record that their leader publishes."""


class LaneMetrics:
    """What a service tells of the lanes that it works on. ``counter`` and ``gauge`` make instruments by name, text and labels."""

    def __init__(self, service: ServiceName, counter: Callable[..., Counter], gauge: Callable[..., Gauge]) -> None:
        labels = ("run", "lane")
        self._gauges: list[Gauge] = []
        self.changes = counter("changes", "Changes of the source that this stage has finished.", *labels)
        if service in ("reader", "writer"):
            self.lag_seconds = self._keep(gauge(
                "lane_lag_seconds", "Since the oldest change that the destination lacks was committed in the source.", *labels
            ))  # fmt: skip
            self.lag_bytes = self._keep(
                gauge("lane_lag_bytes", "WAL between what the destination holds and the source's end.", *labels)
            )
        self.safe: Gauge | None = None
        self._tables: tuple[Gauge, Gauge] | None = None
        self._told: dict[tuple[str, int], frozenset[str]] = {}
        """Tables that have series, by run and lane."""
        if service == "reader":
            self._tables = (
                gauge("table_lag_seconds", TABLE_SECONDS, *labels, "table"),
                gauge("table_lag_bytes", TABLE_BYTES, *labels, "table"),
            )
            self.retained = self._keep(
                gauge("slot_retained_bytes", "WAL that the source keeps for the run's slot.", *labels)
            )
            self.held = self._keep(
                gauge("changes_held_bytes", "Changes on Kafka that the destination does not hold yet.", *labels)
            )
            self.budget = self._keep(
                gauge(
                    "changes_budget_bytes", "What may be held on Kafka before the capture stops: disk_bytes.", *labels
                )
            )
            self.held_back = self._keep(
                gauge("capture_held_back", "1 while the capture has stopped since the budget is spent.", *labels)
            )
            self.capturing = self._keep(gauge("capture_active", "1 on the reader that captures.", *labels))
            self.safe = gauge(
                "slot_safe_bytes", "WAL that may still be written before the slot is lost; +Inf without a limit.", *labels
            )  # fmt: skip
        self.quarantined: Gauge | None = None
        if service == "writer":
            self.quarantined = gauge("quarantined_tables", "Tables that do not follow their source.", "run")

    def join(self, run: str, lane: int = LANE) -> None:
        """Make the lane's series. Zero, but for the slot's room: none is short of it before the source has said so."""
        self.changes.labels(run, lane)
        self.rest(run, lane)

    def rest(self, run: str, lane: int = LANE) -> None:
        """This replica knows nothing of the lane any more: somebody else captures, or leads."""
        for series in self._gauges:
            series.labels(run, lane).set(0)
        if self.safe is not None:
            self.safe.labels(run, lane).set(inf)
        if self.quarantined is not None:
            self.quarantined.labels(run)
        self.tell_tables(run, {}, lane)

    def tell_tables(self, run: str, lags: Mapping[str, TableLag], lane: int = LANE) -> None:
        """Of tables by name, by whoever captures; tables that are not among them are told no more."""
        if self._tables is None:
            return
        seconds, size = self._tables
        for name in self._told.pop((run, lane), frozenset()) - lags.keys():
            seconds.remove(run, str(lane), name)
            size.remove(run, str(lane), name)
        if lags:
            self._told[run, lane] = frozenset(lags)
        for name, lag in lags.items():
            seconds.labels(run, lane, name).set(lag.seconds)
            size.labels(run, lane, name).set(lag.bytes)

    def _keep(self, gauge: Gauge) -> Gauge:
        self._gauges.append(gauge)
        return gauge
