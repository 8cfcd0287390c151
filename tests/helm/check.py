"""``make test-helm``: the chart against Helm, Kubernetes, KEDA and the Prometheus operator.

With Helm (``HELM`` or on the path) the templates are linted and rendered for every value set and compared with what is committed;
without it, only what is committed is validated, and a line says so. ``--write`` commits a new rendering to the working tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from sources import CHART, KUBERNETES, ROOT, SETS, committed, documents, is_dashboard, kept

OLDEST, NEWEST = "1.27", "1.37"
"""Of Kubernetes: the chart's ``kubeVersion``, and the newest that schemas are known of."""
CUSTOM = {"ScaledObject": ScaledObject, "ServiceMonitor": ServiceMonitor, "PrometheusRule": PrometheusRule}

REFUSALS: dict[str, str] = {
    "kafka.brokers=": "kafka.brokers is required",
    "kafka.brokers=localhost": "/kafka/brokers",
    "namespace=Upper": "/namespace",
    "kafka.securityProtocol=SASL_SSL": "kafka.passwordSecret is required",
    "writer.replicas=0": "/writer/replicas",
    "reader.replica=2": "additional properties 'replica' not allowed",
    "settings.TAILRACE_MASK_SECRET=x": "invalid propertyName",
    "generator.autoscaling.enabled=true": "autoscaling.prometheus is required",
    "writer.secrets.TAILRACE_TRANSPORT_KEY.name=a,writer.secrets.TAILRACE_TRANSPORT_KEY.key=b": "opens nothing that is raw",
    "reader.secrets.TAILRACE_MASK_SECRET.name=a,reader.secrets.TAILRACE_MASK_SECRET.key=b": "the generator's alone",
    "kafka.ca.secret=a,kafka.ca.configMap=b": "/kafka/ca",
}
"""Values that must not render, and a part of what is said."""


def main() -> int:
    """All of it; the number of faults is printed and decides the exit code."""
    helm = os.environ.get("HELM") or shutil.which("helm")
    if helm and not Path(helm).exists():
        helm = None
    faults: list[str] = []
    if helm:
        faults += with_helm(helm, write="--write" in sys.argv)
    elif "--write" in sys.argv:
        raise SystemExit("Helm is needed to render: `make helm` builds it with Go")
    else:
        print(
            "Helm is not here: the templates are not rendered anew (`make helm` builds it with Go, in about four minutes)"
        )
    for values in SETS:
        faults += [f"{values}, committed: {fault}" for fault in invalid(documents(committed(values)))]
        print(f"{values}: {len(documents(committed(values)))} manifests validated")
    faults += blind()
    for fault in faults:
        print(f"FAULT {fault}")
    return 1 if faults else 0


def with_helm(helm: str, *, write: bool) -> Iterator[str]:
    """Lint, render, compare, and try what must be refused."""
    for values in SETS:
        given = ["-f", str(CHART / "ci" / f"{values}-values.yaml")]
        linted = run(helm, "lint", "--strict", str(CHART), *given)
        if linted.returncode:
            yield f"{values}: helm lint: {linted.stdout}"
        rendered = run(helm, "template", "tailrace", str(CHART), "-n", "tailrace", "--kube-version", KUBERNETES, *given)
        if rendered.returncode:
            yield f"{values}: helm template: {rendered.stderr}"
            continue
        if write:
            (Path(__file__).parent / "rendered" / f"{values}.yaml").write_text(kept(rendered.stdout, values))
        elif kept(rendered.stdout, values) != committed(values):
            yield f"{values}: what is committed is not what the templates give: make helm-rendered"
        yield from (f"{values}, rendered: {fault}" for fault in invalid(documents(rendered.stdout)))
        yield from (f"{values}: {fault}" for fault in shipped(documents(rendered.stdout), values))
        print(f"{values}: linted, rendered for Kubernetes {KUBERNETES}")
    for given_values, said in REFUSALS.items():
        tried = run(
            helm, "template", "t", str(CHART), "--kube-version", KUBERNETES,
            "-f", str(CHART / "ci" / "minimal-values.yaml"), "--set", given_values,
        )  # fmt: skip
        if tried.returncode == 0 or said not in tried.stderr:
            yield f"{given_values} should be refused with {said!r}: {tried.stderr[:300]}"
    print(f"{len(REFUSALS)} wrong values refused")


def shipped(rendered: list[dict[str, Any]], values: str) -> Iterator[str]:
    """Alerts and dashboards arrive as they are in compose/."""
    if values != "production":
        return
    rules = [d for d in rendered if d["kind"] == "PrometheusRule"]
    wanted = [
        g["name"]
        for p in sorted((ROOT / "compose/prometheus/rules").glob("*.yml"))
        for g in yaml.safe_load(p.read_text())["groups"]
    ]
    if [group["name"] for rule in rules for group in rule["spec"]["groups"]] != wanted:
        yield f"the alerts are not those of compose/prometheus/rules: {wanted}"
    links = [
        r["annotations"]["runbook_url"]
        for rule in rules
        for g in rule["spec"]["groups"]
        for r in g["rules"]
        if "alert" in r
    ]
    if not links or not all(link.startswith("https://runbooks.example.com/tailrace/") for link in links):
        yield f"links of alerts do not lead to runbookBase: {links[:3]}"
    boards = {name: text for d in rendered if is_dashboard(d) for name, text in d["data"].items()}
    there = {p.name: yaml.safe_load(p.read_text()) for p in (ROOT / "compose/grafana/dashboards").glob("*.json")}
    if {name: yaml.safe_load(text) for name, text in boards.items()} != there:
        yield f"the dashboards are not those of compose/grafana/dashboards: {sorted(boards)}"


def invalid(manifests: list[dict[str, Any]]) -> Iterator[str]:
    """What the schemas of Kubernetes and of the custom resources say against manifests."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] in CUSTOM:
            model = CUSTOM[manifest["kind"]]
            schema = strict(model.model_json_schema(by_alias=True))
            for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
                yield f"{name}: {error.json_path}: {error.message[:200]}"
            continue
        for version in (OLDEST, NEWEST):
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name}, Kubernetes {version}: {error.message[:200]}"


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema in which a misspelt key is an error, wherever keys are listed."""
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part.setdefault("additionalProperties", False)
    return schema


def blind() -> Iterator[str]:
    """The validators see something: of each kind one manifest is spoilt in two ways."""
    seen: dict[str, dict[str, Any]] = {d["kind"]: d for d in documents(committed("production"))}
    for kind, manifest in seen.items():
        inside = "spec" if "spec" in manifest else "metadata"
        for spoilt in (
            {**manifest, inside: {**manifest[inside], "misspelt": 1}},
            {**manifest, "metadata": {**manifest["metadata"], "labels": 7}},
        ):
            if not list(invalid([spoilt])):
                yield f"a spoilt {kind} is not noticed"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a program and keep what it says."""
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


if __name__ == "__main__":
    raise SystemExit(main())
