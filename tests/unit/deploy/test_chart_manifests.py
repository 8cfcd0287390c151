"""The rendered chart: up to date with its templates, restricted, and each secret only where its owner needs it."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

HELM = Path(__file__).resolve().parents[2] / "helm"


def _sources() -> ModuleType:
    """The module beside the rendered manifests, which another environment uses too."""
    spec = importlib.util.spec_from_file_location("helm_sources", HELM / "sources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOURCES = _sources()
MANIFESTS: dict[str, list[dict[str, Any]]] = {v: SOURCES.documents(SOURCES.committed(v)) for v in SOURCES.SETS}
SERVICES = ("reader", "generator", "writer", "trainer")


def of_kind(values: str, kind: str) -> Iterator[dict[str, Any]]:
    return (manifest for manifest in MANIFESTS[values] if manifest["kind"] == kind)


def deployments(values: str) -> dict[str, dict[str, Any]]:
    """By service: the pod's specification."""
    return {
        d["metadata"]["labels"]["app.kubernetes.io/component"]: d["spec"]["template"]["spec"]
        for d in of_kind(values, "Deployment")
    }


def mounted(pod: dict[str, Any]) -> dict[str, str]:
    """File → secret, of everything that a pod gets of secrets."""
    return {
        item["path"]: f"{source['secret']['name']}/{item['key']}"
        for volume in pod["volumes"]
        if "projected" in volume
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }


@pytest.mark.parametrize("values", SOURCES.SETS)
def test_what_is_committed_was_rendered_from_these_templates(values: str) -> None:
    first = SOURCES.committed(values).splitlines()[0]
    assert first == f"{SOURCES.DIGEST}{SOURCES.digest(values)}", "make helm-rendered"


@pytest.mark.parametrize("values", SOURCES.SETS)
def test_every_pod_is_restricted_as_the_pod_security_standard_asks(values: str) -> None:
    for service, pod in deployments(values).items():
        assert pod["securityContext"]["runAsNonRoot"], service
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {next(k for k in v if k != "name") for v in pod["volumes"]} <= {
            "emptyDir",
            "projected",
            "secret",
            "configMap",
        }
        for container in pod["containers"]:
            inside = container["securityContext"]
            assert inside["allowPrivilegeEscalation"] is False
            assert inside["capabilities"] == {"drop": ["ALL"]}
            assert inside["readOnlyRootFilesystem"] is True
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
            assert container["resources"]["limits"]["memory"]
            assert not any("hostPort" in port for port in container["ports"])


@pytest.mark.parametrize("values", SOURCES.SETS)
def test_each_service_holds_its_own_secrets_and_no_other(values: str) -> None:
    holders = {
        "MASK_SECRET": {"generator"},
        "SOURCE_URL": {"reader"},
        "DESTINATION_URL": {"writer"},
        "TRANSPORT_KEY": {"reader", "generator", "trainer"},
        "CANARIES": {"writer"},
    }
    for service, pod in deployments(values).items():
        for file in mounted(pod):
            known = [secret for secret in holders if secret in file]
            assert all(service in holders[secret] for secret in known), (service, file)
            assert known or file == "kafka-password"
    passwords = {s: mounted(pod).get("kafka-password") for s, pod in deployments(values).items()}
    if values != "minimal":
        assert passwords == {service: f"tailrace-kafka/{service}" for service in passwords}


@pytest.mark.parametrize("values", SOURCES.SETS)
def test_no_secret_is_in_a_config_map_or_an_environment(values: str) -> None:
    for manifest in of_kind(values, "ConfigMap"):
        assert not [name for name in manifest["data"] if re.search("SECRET|PASSWORD|_KEY|_URL", name)]
    for pod in deployments(values).values():
        for container in pod["containers"]:
            for entry in container["env"]:
                if re.search("SECRET|PASSWORD|_KEY|_URL|CANARIES", entry["name"]):
                    assert entry["name"].endswith("_FILE")
                    assert entry["value"].startswith("/run/secrets/tailrace/")
    assert not list(of_kind(values, "Secret")), "secrets are referred to, not made"


@pytest.mark.parametrize("values", SOURCES.SETS)
def test_pods_have_longer_to_end_than_they_take_to_drain(values: str) -> None:
    (config, *_) = of_kind(values, "ConfigMap")
    for pod in deployments(values).values():
        assert pod["terminationGracePeriodSeconds"] > int(config["data"]["TAILRACE_DRAIN_S"]) + 30


def test_in_production_everything_is_scaled_watched_and_fenced_in() -> None:
    kinds = [manifest["kind"] for manifest in MANIFESTS["production"]]
    assert kinds.count("Deployment") == kinds.count("NetworkPolicy") == 4
    assert kinds.count("ScaledObject") == kinds.count("PodDisruptionBudget") == 3
    assert {"ServiceMonitor", "PrometheusRule"} <= set(kinds)
    for scaled in of_kind("production", "ScaledObject"):
        service = scaled["metadata"]["labels"]["app.kubernetes.io/component"]
        (trigger,) = scaled["spec"]["triggers"]
        assert (
            f'tailrace_inflight_bytes{{tailrace_namespace="staging",stage="{service}"}}' in trigger["metadata"]["query"]
        )
        assert scaled["spec"]["minReplicaCount"] >= 1, "a run needs one of each, and its decisions a writer"
        assert not [
            d
            for d in of_kind("production", "Deployment")
            if d["metadata"]["name"] == scaled["metadata"]["name"] and "replicas" in d["spec"]
        ]


def test_only_reader_and_writer_reach_a_database() -> None:
    for policy in of_kind("production", "NetworkPolicy"):
        service = policy["metadata"]["labels"]["app.kubernetes.io/component"]
        ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert (5432 in ports) == (service in ("reader", "writer")), service
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_selectors_meet_the_pods_and_services_are_told_apart() -> None:
    for values in SOURCES.SETS:
        pods = {
            d["metadata"]["name"]: d["spec"]["template"]["metadata"]["labels"] for d in of_kind(values, "Deployment")
        }
        for kind, place in (("Service", ("selector",)), ("PodDisruptionBudget", ("selector", "matchLabels"))):
            for manifest in of_kind(values, kind):
                selector = manifest["spec"]
                for key in place:
                    selector = selector[key]
                met = [name for name, labels in pods.items() if selector.items() <= labels.items()]
                assert met == [manifest["metadata"]["name"]]


def test_every_value_has_a_place_in_the_schema_and_the_other_way_round() -> None:
    values = yaml.safe_load((SOURCES.CHART / "values.yaml").read_text())
    schema = json.loads((SOURCES.CHART / "values.schema.json").read_text())
    assert list(differing(values, schema, "")) == []


def differing(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Keys that only one of them has; free maps (labels, settings, secrets) and what is empty end the walk."""
    known = schema.get("properties")
    if not isinstance(value, dict) or known is None or not value:
        return
    if path == "":
        known = {key: part for key, part in known.items() if key != "global"}  # Helm's own
    for key in sorted(value.keys() ^ known.keys()):
        yield f"{path}.{key}"
    for key in value.keys() & known.keys():
        yield from differing(value[key], known[key], f"{path}.{key}")


def test_the_images_of_the_chart_are_those_that_are_built() -> None:
    recipe = (SOURCES.ROOT / "compose" / "Dockerfile").read_text()
    for service in SERVICES:
        assert re.search(rf"^FROM \w+ AS {service}$", recipe, re.MULTILINE)
    assert "USER 10001:10001" in recipe
    assert all(pod["securityContext"]["runAsUser"] == 10001 for pod in deployments("production").values())
