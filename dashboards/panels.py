"""Panels: what is shown, in which unit, from which queries; and the JSON that Grafana reads.

Schema: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/ (kind dashboard, version 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

DATASOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
COLUMNS: Final = 24
Kind = Literal["timeseries", "stat", "bargauge", "state-timeline", "table"]
Colour = Literal["green", "yellow", "orange", "red", "blue", "text"]
GREEN: Final = ((None, "green"),)

NAMESPACE: Final = 'tailrace_namespace=~"$namespace"'
RUN: Final = f'{NAMESPACE}, run=~"$run"'
STAGE: Final = f'{NAMESPACE}, stage=~"$stage"'
RUN_STAGE: Final = f'{RUN}, stage=~"$stage"'


@dataclass(frozen=True)
class Query:
    """One query and how its series are called."""

    expr: str
    legend: str
    now: bool = False
    """Ask for the present alone: an instant query."""


@dataclass(frozen=True)
class Panel:
    """One panel. ``id`` is stable within its dashboard: alerts link to it."""

    id: int
    title: str
    description: str
    kind: Kind
    unit: str
    queries: Sequence[Query]
    width: int = 8
    height: int = 8
    thresholds: Sequence[tuple[float | None, Colour]] = GREEN
    runbooks: Sequence[str] = ()
    """Pages that say what to do."""
    least: float | None = 0
    most: float | None = None
    stacked: bool = False
    decimals: int | None = None
    values: dict[str, tuple[str, Colour]] = field(default_factory=dict)
    """How single values are shown: ``{"1": ("yes", "green")}``."""


def panel_json(panel: Panel, place: dict[str, int], links: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The panel as Grafana reads it, at a place in the grid."""
    return {
        "id": panel.id,
        "title": panel.title,
        "description": panel.description,
        "type": panel.kind,
        "datasource": DATASOURCE,
        "gridPos": place,
        "links": list(links),
        "targets": [_target(panel, query, number) for number, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        "transformations": _transformations(panel),
    }


def _target(panel: Panel, query: Query, number: int) -> dict[str, Any]:
    now = query.now or panel.kind == "table"
    return {
        "refId": chr(ord("A") + number),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": now,
        "range": not now,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.thresholds]
    made: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "thresholds" if panel.kind in ("stat", "bargauge", "state-timeline") else "palette-classic"},
        "mappings": _mappings(panel),
        "noValue": "–",
    }
    made |= {
        name: value
        for name, value in (("min", panel.least), ("max", panel.most), ("decimals", panel.decimals))
        if value is not None
    }
    if panel.kind == "timeseries":
        limits = len(panel.thresholds) > 1
        made["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if limits else "off"},
        }
    elif panel.kind == "state-timeline":
        made["custom"] = {"lineWidth": 0, "fillOpacity": 80}
    return made


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    if not panel.values:
        return []
    options = {
        value: {"index": n, "text": text, "color": colour}
        for n, (value, (text, colour)) in enumerate(panel.values.items())
    }
    return [{"type": "value", "options": options}]


def _options(panel: Panel) -> dict[str, Any]:
    last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    match panel.kind:
        case "timeseries":
            legend = {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
            }
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        case "stat":
            return {
                "reduceOptions": last, "orientation": "auto", "textMode": "auto", "colorMode": "background_solid",
                "graphMode": "none", "justifyMode": "auto", "wideLayout": True,
            }  # fmt: skip
        case "bargauge":
            return {
                "reduceOptions": last, "orientation": "horizontal", "displayMode": "basic", "showUnfilled": True,
                "valueMode": "color", "namePlacement": "left", "sizing": "auto", "minVizWidth": 8, "minVizHeight": 16,
            }  # fmt: skip
        case "state-timeline":
            legend = {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []}
            return {"legend": legend, "tooltip": {"mode": "single", "sort": "none"}, "mergeValues": True, "showValue": "auto",
                    "rowHeight": 0.9, "alignValue": "left"}  # fmt: skip
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """A table has one row per series and a column per query, which is called as its legend."""
    if panel.kind != "table":
        return []
    single = len(panel.queries) == 1
    names = {
        "Value" if single else f"Value #{chr(ord('A') + n)}": query.legend for n, query in enumerate(panel.queries)
    }
    hidden = {"Time": True} | ({"Value": True} if single and not panel.queries[0].legend else {})
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": names}},
    ]
