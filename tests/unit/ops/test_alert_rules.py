"""Every alert fires when it should and only then, has a page and a dashboard, and is sent where it belongs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.alert_cases import CASES, Case
from support.monitoring import ALERTMANAGER, REPOSITORY, RULES, alerts, program


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_and_configuration_are_valid() -> None:
    assert "SUCCESS" in run(program("promtool"), "check", "rules", str(RULES))
    assert "SUCCESS" in run(program("amtool"), "check-config", str(ALERTMANAGER))


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert {case.alert for case in CASES if case.fires} == set(alerts())
    assert {case.alert for case in CASES if not case.fires} == set(alerts())


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_the_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    promtool = program("promtool")
    cases = [case for case in CASES if case.alert == alert]
    file = tmp_path / "cases.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": list(map(written, cases))})
    )
    run(promtool, "test", "rules", str(file))


def written(case: Case) -> dict[str, Any]:
    """A case as promtool has it: whether the alert is among those that fire."""
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}} > 0)'
    expected = [{"labels": "{}", "value": 1}] if case.fires else []
    return {
        "name": f"{case.alert}: {case.about}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{case.minutes}m", "exp_samples": expected}],
    }


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_the_alert_has_a_page_that_names_it(alert: str) -> None:
    rule = alerts()[alert]
    page = REPOSITORY / rule["annotations"]["runbook_url"]
    text = page.read_text()
    assert f"`{alert}`" in text, f"{page} does not name the alert that leads to it"
    for heading in ("## What it means", "## How to see it", "## What to do"):
        assert heading in text, f"{page} lacks {heading}"
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"]


def test_every_page_belongs_to_an_alert() -> None:
    pages = {Path(rule["annotations"]["runbook_url"]).name for rule in alerts().values()}
    assert {page.name for page in (REPOSITORY / "docs/runbooks").glob("*.md")} - {"README.md"} == pages


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "TailraceLeakFound", "severity": "critical"}, "privacy"),
        ({"alertname": "TailraceRunStalled", "severity": "critical"}, "on-call"),
        ({"alertname": "TailraceTableQuarantined", "severity": "warning"}, "tickets"),
    ],
)
def test_an_alert_goes_to_who_has_to_act(labels: dict[str, str], receiver: str) -> None:
    given = [f"{name}={value}" for name, value in labels.items()]
    assert (
        run(program("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}", *given).strip() == receiver
    )


def test_what_silences_another_alert_and_what_is_silenced_exist() -> None:
    names = set(alerts())
    for rule in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            for name in matcher.split('"')[1].split("|"):
                assert any(alert == name or (name.endswith(".*") and alert.startswith(name[:-2])) for alert in names), (
                    name
                )
