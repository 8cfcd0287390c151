"""The committed dashboards are the generated ones, are valid, ask for metrics that exist, and lead to pages that exist."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import promql_parser
import pytest
from dashboards.__main__ import generated
from dashboards.catalogue import DASHBOARDS as DECLARED
from dashboards.dashboard import RUNBOOKS_UID, VARIABLES, Dashboard
from dashboards.metrics_page import QUALITY, SERVICES, exposed_names, instruments, quality_instruments
from dashboards.panels import COLUMNS, DATASOURCE, Panel
from dashboards.runbooks import pages

from support.monitoring import DASHBOARDS, REPOSITORY, alerts, asked, metrics_in, rules

SCHEMAS = Path(__file__).parents[2] / "support/grafana_schema"
FILES = sorted(DASHBOARDS.glob("*.json"))
KIND_SCHEMAS = {"state-timeline": "statetimeline"}


@cache
def validator(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads((SCHEMAS / f"{name}.json").read_text()))


def of(definition: str) -> dict[str, Any]:
    """The schema of one of a dashboard's parts: of a union of parts a validator only says that none fits."""
    schema: dict[str, Any] = json.loads((SCHEMAS / "dashboard.json").read_text())
    return schema | {"$ref": f"#/definitions/{definition}"}


def read(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(path.read_text())
    return made


def declared() -> list[tuple[Dashboard, Panel]]:
    return [(dashboard, panel) for dashboard in DECLARED for panel in dashboard.panels]


@cache
def known() -> set[str]:
    """Everything that a query may ask for: what services tell, and what the rules record."""
    told = exposed_names(i for service in SERVICES for i in instruments(service))
    told |= exposed_names(quality_instruments())
    return told | {rule["record"] for rule in rules() if "record" in rule}


def test_what_is_committed_is_what_is_generated() -> None:
    for path, text in generated().items():
        assert (REPOSITORY / path).read_text() == text, f"{path}: run `make dashboards`"
    assert {path.name for path in FILES} == {path.name for path in generated() if path.suffix == ".json"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_is_what_grafana_reads(path: Path) -> None:
    dashboard = read(path)
    problems = [
        f"{e.json_path}: {e.message[:200]}" for e in validator("dashboard").iter_errors(dashboard | {"panels": []})
    ]
    for panel in dashboard["panels"]:
        part = validator("dashboard").evolve(schema=of("RowPanel" if panel["type"] == "row" else "Panel"))
        problems += [f"{panel['title']} {e.json_path}: {e.message[:200]}" for e in part.iter_errors(panel)]
        if panel["type"] == "row":
            continue
        kind = KIND_SCHEMAS.get(panel["type"], panel["type"])
        problems += [
            f"{panel['title']}: {e.message[:200]}" for e in validator(f"options-{kind}").iter_errors(panel["options"])
        ]
        if custom := panel["fieldConfig"]["defaults"].get("custom"):
            problems += [
                f"{panel['title']}: {e.message[:200]}" for e in validator(f"custom-{kind}").iter_errors(custom)
            ]
    assert problems == []


def test_the_schemas_find_what_is_wrong() -> None:
    dashboard = read(DASHBOARDS / "pipeline.json")
    panel = next(p for p in dashboard["panels"] if p["type"] == "timeseries")
    assert list(validator("options-timeseries").iter_errors(panel["options"] | {"legend": {"displayMode": "tabel"}}))
    assert list(validator("custom-timeseries").iter_errors({"drawStyle": "lines"}))
    assert list(validator("dashboard").iter_errors(dashboard | {"colour": "red"}))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_lie_beside_each_other_in_the_grid_and_have_ids_of_their_own(path: Path) -> None:
    panels = read(path)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        taken |= cells


@pytest.mark.parametrize(("dashboard", "panel"), declared(), ids=lambda given: getattr(given, "title", ""))
def test_a_panel_says_what_it_shows_and_asks_for_what_there_is(dashboard: Dashboard, panel: Panel) -> None:
    assert panel.unit
    assert panel.description or panel.title == "Tables by state"
    values = [value for value, _ in panel.thresholds]
    assert values[0] is None
    assert values[1:] == sorted(v for v in values[1:] if v is not None)
    for query in panel.queries:
        promql_parser.parse(asked(query.expr))
        assert metrics_in(query.expr) <= known(), metrics_in(query.expr) - known()
        assert "$namespace" in query.expr or QUALITY in query.expr, "it mixes installations"
    assert set(panel.runbooks) <= set(pages(REPOSITORY / "docs/runbooks"))


def test_rules_ask_for_what_there_is() -> None:
    for rule in rules():
        promql_parser.parse(rule["expr"])
        assert metrics_in(rule["expr"]) <= known(), rule


def test_variables_are_those_that_queries_use_and_the_data_source_is_provisioned() -> None:
    used = set(re.findall(r"\$(?!__)(\w+)", " ".join(q.expr for _, panel in declared() for q in panel.queries)))
    assert used == set(VARIABLES)
    for dashboard in map(read, FILES):
        if dashboard["uid"] != RUNBOOKS_UID:
            assert [variable["name"] for variable in dashboard["templating"]["list"]] == list(VARIABLES)
    provisioned = (REPOSITORY / "compose/grafana/provisioning/datasources/prometheus.yaml").read_text()
    assert f"uid: {DATASOURCE['uid']}" in provisioned


def test_links_between_dashboards_alerts_and_pages_resolve() -> None:
    by_uid = {dashboard["uid"]: dashboard for dashboard in map(read, FILES)}
    texts = [path.read_text() for path in FILES] + [json.dumps(alerts())]
    links = [found for text in texts for found in re.findall(r"/d/([a-z-]+)\?viewPanel=(\d+)", text)]
    assert len(links) > 40
    for uid, panel in links:
        assert int(panel) in {p["id"] for p in by_uid[uid]["panels"]}, (uid, panel)


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_an_alert_leads_to_a_panel_that_leads_to_its_page(alert: str) -> None:
    annotations = alerts()[alert]["annotations"]
    uid, number = re.fullmatch(r"/d/([a-z-]+)\?viewPanel=(\d+).*", annotations["dashboard"]).groups()  # type: ignore[union-attr]
    dashboard = next(d for d in DECLARED if d.uid == uid)
    panel = next(p for p in dashboard.panels if p.id == int(number))
    page = Path(annotations["runbook_url"]).stem
    assert page in panel.runbooks, f"{panel.title} does not lead to {page}"
    names = pages(REPOSITORY / "docs/runbooks")
    assert annotations["runbook"] == f"/d/{RUNBOOKS_UID}?viewPanel={names.index(page) + 1}"
