"""A dashboard around its panels: variables, links between dashboards and to runbooks, places in the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboards.panels import COLUMNS, DATASOURCE, Panel, panel_json

SCHEMA_VERSION: Final = 39
RUNBOOKS_UID: Final = "tailrace-runbooks"
VARIABLES: Final = ("namespace", "run", "stage")


@dataclass(frozen=True)
class Section:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """``name`` is the file's; the uid is ``tailrace-<name>``."""

    name: str
    title: str
    description: str
    sections: Sequence[Section]
    span: str = "now-1h"

    @property
    def uid(self) -> str:
        return f"tailrace-{self.name}"

    @property
    def panels(self) -> list[Panel]:
        """All panels, in their order."""
        return [panel for section in self.sections for panel in section.panels]


def dashboard_json(dashboard: Dashboard, runbooks: Sequence[str]) -> dict[str, Any]:
    """The dashboard as Grafana reads it; ``runbooks`` are the pages in the order of their panels."""
    return envelope(dashboard.uid, dashboard.title, dashboard.description, dashboard.span) | {
        "templating": {"list": _variables()},
        "panels": _placed(dashboard, runbooks),
    }


def envelope(uid: str, title: str, description: str, span: str = "now-1h") -> dict[str, Any]:
    """What all dashboards have."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["tailrace"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": span, "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "annotations": {"list": []},
        "links": [
            {
                "title": "Tailrace", "type": "dashboards", "tags": ["tailrace"], "asDropdown": True, "icon": "external link",
                "includeVars": True, "keepTime": True, "targetBlank": False, "tooltip": "", "url": "",
            }
        ],
        "templating": {"list": []},
        "panels": [],
    }  # fmt: skip


def link(title: str, url: str) -> dict[str, Any]:
    """A link of a panel, in the menu of its heading."""
    return {
        "title": title, "url": url, "type": "link", "icon": "doc", "tooltip": "", "tags": [], "targetBlank": True,
        "asDropdown": False, "includeVars": False, "keepTime": False,
    }  # fmt: skip


def runbook_link(page: str, runbooks: Sequence[str]) -> str:
    """Where a page is read within Grafana. Raises ValueError for a page that there is not."""
    return f"/d/{RUNBOOKS_UID}?viewPanel={runbooks.index(page) + 1}"


def _placed(dashboard: Dashboard, runbooks: Sequence[str]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for number, section in enumerate(dashboard.sections):
        made.append(
            {
                "id": 1000 + number,
                "type": "row",
                "title": section.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            }
        )
        left, top, tallest = 0, top + 1, 0
        for panel in section.panels:
            if left + panel.width > COLUMNS:
                left, top, tallest = 0, top + tallest, 0
            links = [
                link(f"Runbook: {page.replace('-', ' ')}", runbook_link(page, runbooks)) for page in panel.runbooks
            ]
            made.append(panel_json(panel, {"x": left, "y": top, "w": panel.width, "h": panel.height}, links))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return made


def _variables() -> list[dict[str, Any]]:
    """Namespace, then what there is in it: runs of now and of the last hour, and stages."""
    return [
        _variable("namespace", "Namespace", "label_values(tailrace_build_info, tailrace_namespace)"),
        _variable("run", "Run", 'label_values(tailrace_run_info{tailrace_namespace=~"$namespace"}, run)'),
        _variable("stage", "Stage", 'label_values(tailrace_build_info{tailrace_namespace=~"$namespace"}, stage)'),
    ]


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": f"variable-{name}", "qryType": 1},
        "refresh": 2,
        "sort": 2 if name == "run" else 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
        "skipUrlSync": False,
    }
