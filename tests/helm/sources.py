"""The chart's files and its rendered manifests, for those who render, validate and read them. Standard library and YAML alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "tailrace"
RENDERED = Path(__file__).resolve().parent / "rendered"
SETS = ("minimal", "production", "external-kafka")
"""Value sets: ``ci/<set>-values.yaml`` of the chart."""
KUBERNETES = "1.34.0"
"""For which version templates are rendered."""
DIGEST = "# chart: sha256:"


def digest(values: str) -> str:
    """Of everything that a rendering is made from, but alerts and dashboards, which have checks of their own."""
    files = [p for p in sorted(CHART.rglob("*")) if p.is_file() and "files" not in p.relative_to(CHART).parts]
    made = hashlib.sha256(KUBERNETES.encode())
    for path in files:
        name = path.relative_to(CHART).as_posix()
        if not name.startswith("ci/") or name == f"ci/{values}-values.yaml":
            made.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return made.hexdigest()


def committed(values: str) -> str:
    """The manifests of a value set as they are in the repository."""
    return (RENDERED / f"{values}.yaml").read_text()


def documents(text: str) -> list[dict[str, Any]]:
    """The manifests, as objects."""
    return [document for document in yaml.safe_load_all(text) if document]


def is_dashboard(document: dict[str, Any]) -> bool:
    """Whether it is a config map with a dashboard."""
    return document["kind"] == "ConfigMap" and "grafana_folder" in document["metadata"].get("annotations", {})


def kept(text: str, values: str) -> str:
    """What is committed of a rendering: all of it, but the alerts and the dashboards."""
    lines = [
        f"{DIGEST}{digest(values)}",
        "# Made by `make helm-rendered`. What alerts and dashboards say is left out here: it is in compose/.",
    ]
    for document in documents(text):
        if document["kind"] == "PrometheusRule":
            document["spec"] = {"groups": []}
        if is_dashboard(document):
            continue
        lines += ["---", yaml.safe_dump(document, sort_keys=False, width=120).rstrip()]
    return "\n".join(lines) + "\n"
