"""Headline figures in Prometheus' text format, for the node exporter's textfile collector.

Nothing has to be pushed, and nothing has to stay up until somebody scrapes it. The job's label is ``tailrace_job``: ``job`` is
Prometheus' own, of whatever it scrapes, and would be renamed.
"""

from __future__ import annotations

from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tailrace.quality.model import QualityReport

VERDICTS = {"pass": 0, "warn": 1, "fail": 2}


def metrics_text(report: QualityReport) -> str:
    """All gauges of a report; what was not measured has no series."""
    registry = CollectorRegistry()

    def gauge(name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(f"tailrace_quality_{name}", help_, ("tailrace_job", *labels), registry=registry)

    shape = gauge(
        "shape_error_ratio", "Mean distance of single columns between source and destination, 0 to 1.", "table"
    )
    shape_floor = gauge("shape_chance_ratio", "The same between two samples of the source.", "table")
    trend = gauge("trend_error_ratio", "Mean distance of pairs of columns, bins of the source, 0 to 1.", "table")
    trend_floor = gauge("trend_chance_ratio", "The same between two samples of the source.", "table")
    detection = gauge(
        "detection_auc_ratio", "AUC of a classifier that tells source from destination; 0.5 is best.", "table"
    )
    useful = gauge(
        "usefulness_ratio", "Score of a model learned from the destination, by that of one of the source.", "table"
    )
    gate = gauge("gate", "Privacy gates: 0 passed, 1 warns, 2 failed.", "table", "gate")
    figure = gauge("gate_figure_ratio", "What a privacy gate judges.", "table", "gate")
    made = gauge("timestamp_seconds", "When the figures were computed.")
    made.labels(report.job).set(datetime.fromisoformat(report.made_at).timestamp())
    for table in report.tables:
        for instrument, value in (
            (shape, table.shape),
            (shape_floor, table.shape_floor),
            (trend, table.trend_shared),
            (trend_floor, table.trend_floor),
            (detection, table.detection),
            (useful, None if table.usefulness is None else table.usefulness.ratio),
        ):
            if value is not None:
                instrument.labels(report.job, table.name).set(value)
        for one in table.gates:
            if one.verdict in VERDICTS:
                gate.labels(report.job, table.name, one.name).set(VERDICTS[one.verdict])
                if one.figure is not None:
                    figure.labels(report.job, table.name, one.name).set(one.figure)
    return generate_latest(registry).decode()
