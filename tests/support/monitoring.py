"""Prometheus' own programs, where this machine has them, and the rules as they are shipped."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "compose/prometheus/rules/tailrace.yml"
ALERTMANAGER = REPOSITORY / "compose/alertmanager/alertmanager.yml"
DASHBOARDS = REPOSITORY / "compose/grafana/dashboards"


def program(name: str) -> str:
    """Where ``promtool``, ``amtool`` or ``prometheus`` is; skips the test where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here: install it (Debian: apt-get install prometheus prometheus-alertmanager)")
    return found


def rules() -> list[dict[str, Any]]:
    """All rules, recording and alerting."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def asked(expr: str, namespace: str = ".*", run: str = ".*", stage: str = ".*") -> str:
    """A panel's query as Grafana would send it."""
    variables = {"$namespace": namespace, "$run": run, "$stage": stage, "$__rate_interval": "40s"}
    for name, value in variables.items():
        expr = expr.replace(name, value)
    return expr


def metrics_in(expr: str) -> set[str]:
    """Names of Tailrace's metrics and recorded series in a query."""
    without = re.sub(r'"[^"]*"', "", expr)
    return set(re.findall(r"\btailrace[_:][a-zA-Z0-9_:]+", without)) - {"tailrace_namespace"}
