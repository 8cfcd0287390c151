"""The compose files as they are written, without an engine: limits, confinement, health, secrets, networks, and what they name."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from support.containers.stack import SECRETS_HELD
from support.guarded import environment
from tailrace.kafka_rights import principals
from tailrace_shared.job.load import parse_job
from tailrace_shared.settings import ServiceSettings

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "compose"
SERVICES = ("reader", "generator", "writer", "trainer")
OURS = (*SERVICES, "cli")
WRITES_ITS_OWN_FOLDER = {"kafka"}
"""The official image's entry writes the broker's configuration beside its programs."""
HELD_OUTSIDE = {
    "reader": {"source_url", "source_ca", "transport_key", "kafka_ca", "kafka_reader_password"},
    "generator": {"mask_secret", "transport_key", "kafka_ca", "kafka_generator_password"},
    "writer": {"destination_url", "destination_ca", "canaries", "kafka_ca", "kafka_writer_password"},
    "trainer": {"transport_key", "kafka_ca", "kafka_trainer_password"},
    "cli": {"kafka_ca", "kafka_cli_password"},
}
"""The same with brokers and databases of one's own: an account of Kafka's for each, and authorities."""


class Loader(yaml.SafeLoader):
    """Knows compose's own tags; what they hold is read as it stands."""


def _plain(loader: Loader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None


Loader.add_multi_constructor("!", _plain)


def read(name: str) -> dict[str, Any]:
    return yaml.load((COMPOSE / name).read_text(), Loader)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """Services of compose.yaml with what they extend below them."""
    base, own = read("services.yaml")["services"], read("compose.yaml")["services"]
    found = {}
    for name, service in own.items():
        under = base[service["extends"]["service"]] if "extends" in service else {}
        found[name] = {
            **under,
            **service,
            "environment": {**under.get("environment", {}), **service.get("environment", {})},
        }
    return found


def test_every_service_has_limits_and_may_not_gain_privileges(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory", "pids"} <= limits.keys(), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("read_only", False) == (name not in WRITES_ITS_OWN_FOLDER), name
        assert not service.get("privileged"), name
        assert "container_name" not in service, name  # it could not be scaled


def test_every_long_lived_service_is_asked_for_its_health_and_comes_back(services: dict[str, dict[str, Any]]) -> None:
    recipe = (COMPOSE / "Dockerfile").read_text()
    assert recipe.count("HEALTHCHECK") == 1
    assert "FROM service AS reader" in recipe
    for name, service in services.items():
        if name == "cli":
            continue
        assert service["restart"] == "unless-stopped", name
        assert "healthcheck" in service or name in SERVICES, name
        for needed in service.get("depends_on", {}).values():
            assert needed["condition"] == "service_healthy", name


def test_a_service_has_longer_to_stop_than_it_takes_to_drain(services: dict[str, dict[str, Any]]) -> None:
    for name in SERVICES:
        drain = float(services[name]["environment"]["TAILRACE_DRAIN_S"])
        assert drain == ServiceSettings.model_fields["drain_s"].default
        assert float(services[name]["stop_grace_period"].removesuffix("s")) >= 2 * drain, name


def test_a_secret_is_mounted_where_its_owner_is_and_nowhere_else(services: dict[str, dict[str, Any]]) -> None:
    assert {name: set(service.get("secrets", [])) for name, service in services.items()} == SECRETS_HELD
    outside = read("compose.external.yaml")["services"]
    for name, held in HELD_OUTSIDE.items():
        found = {s if isinstance(s, str) else s["source"] for s in outside[name]["secrets"]}
        assert found == held, name
        (password,) = [s for s in outside[name]["secrets"] if isinstance(s, dict)]
        assert password["target"] == "kafka_password"


def test_what_a_service_reads_from_a_file_is_mounted_there(services: dict[str, dict[str, Any]]) -> None:
    for name in SERVICES:
        files = {v for k, v in services[name]["environment"].items() if k.endswith("_FILE")}
        assert files == {f"/run/secrets/{secret}" for secret in services[name]["secrets"]}, name


def test_no_value_of_a_secret_is_written_in_a_file_that_is_committed(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for variable, value in service["environment"].items():
            if re.search("PASSWORD|SECRET|KEY|_URL", variable):
                assert str(value).startswith("/run/secrets/"), (name, variable)
    assert "compose/secrets/" in (ROOT / ".gitignore").read_text()
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_networks_part_the_sides(services: dict[str, dict[str, Any]]) -> None:
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert [n for n, of in networks.items() if "source" in of] == ["reader", "source"]
    assert [n for n, of in networks.items() if "destination" in of] == ["writer", "destination"]
    told = read("compose.yaml")["networks"]
    assert {name for name, network in told.items() if not network.get("internal")} == {"outside"}
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_images_are_pinned_and_may_be_others(services: dict[str, dict[str, Any]]) -> None:
    pins = dict(line.split("=", 1) for line in (COMPOSE / ".env").read_text().splitlines() if "_IMAGE=" in line)
    for name, service in services.items():
        variable, default = re.fullmatch(r"\$\{(\w+):-([^}]+)\}.*", service["image"]).groups()  # type: ignore[union-attr]
        if name in OURS:
            assert variable == "TAILRACE_IMAGES"
        else:
            assert pins[variable] == default
            assert re.search(r":v?\d", default), f"{name} follows a moving tag"
    assert re.search(r"^ARG PYTHON_IMAGE=\S+:\d+\.\d+\.\d+-", (COMPOSE / "Dockerfile").read_text(), re.MULTILINE)


def test_profiles_are_those_that_the_environment_file_switches_on(services: dict[str, dict[str, Any]]) -> None:
    switched = re.search(r"^COMPOSE_PROFILES=(.*)$", (COMPOSE / ".env").read_text(), re.MULTILINE)
    assert switched
    profiles = {profile for service in services.values() for profile in service["profiles"]}
    assert profiles == {*switched[1].split(","), "tools"}


def test_outside_brokers_and_databases_replace_those_of_the_stack() -> None:
    outside = read("compose.external.yaml")["services"]
    for name in ("kafka", "source", "destination"):
        assert outside[name]["profiles"] == ["replaced"]
    for name in OURS:
        assert "outside" in outside[name]["networks"]
        assert outside[name]["environment"]["TAILRACE_KAFKA_SECURITY_PROTOCOL"].endswith(":-SASL_SSL}")
        assert "bus" not in outside[name]["networks"]


def test_services_come_to_outside_brokers_as_in_the_guarded_run_under_the_accounts_that_kafka_acls_makes(
    tmp_path: Path,
) -> None:
    """``tests/e2e/test_guarded_run.py`` runs with these variables on a broker that asks for TLS, a password and rights."""

    class Broker:
        def address(self, _door: str) -> str:
            return "broker:9093"

    asked = environment(
        Broker(), SimpleNamespace(ca="/run/secrets/kafka_ca"), "user", Path("/run/secrets/kafka_password")
    )  # type: ignore[arg-type]
    users = principals("tailrace", ())
    for name in OURS:
        told = read("compose.external.yaml")["services"][name]["environment"]
        shown = {variable: re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", value) for variable, value in told.items()}
        assert shown.keys() == asked.keys(), name
        assert shown["TAILRACE_KAFKA_SASL_USERNAME"] == users["operator" if name == "cli" else name], name
        for variable in asked.keys() - {"TAILRACE_KAFKA", "TAILRACE_KAFKA_SASL_USERNAME"}:
            assert shown[variable] == asked[variable], (name, variable)


def test_the_broker_is_told_what_the_design_asks(services: dict[str, dict[str, Any]]) -> None:
    told = services["kafka"]["environment"]
    assert told["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert told["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert services["kafka"]["volumes"] == ["kafka:/var/lib/kafka/data"]
    assert int(told["KAFKA_SOCKET_REQUEST_MAX_BYTES"]) > 2 * (8 << 20)
    assert not [
        name for name in told if name in ("KAFKA_LOG_RETENTION_BYTES", "KAFKA_MESSAGE_MAX_BYTES")
    ]  # topics say so


def test_the_two_jobs_carry_the_same_and_can_be_read() -> None:
    once, follow = (parse_job((COMPOSE / "jobs" / f"{name}.yaml").read_text(), name) for name in ("once", "follow"))
    assert (once.mode, follow.mode) == ("once", "continuous")
    assert once.tables == follow.tables
    assert once.verify == follow.verify
    publication = (COMPOSE / "demo" / "source.sh").read_text()
    assert f"CREATE PUBLICATION {follow.continuous.publication} " in publication


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make = [str(COMPOSE / "secrets.sh"), str(folder)]
    subprocess.run(make, check=True, capture_output=True)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert first.keys() == set().union(*SECRETS_HELD.values())
    assert len(set(first.values())) == len(first)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    assert len(first["mask_secret"]) >= 40
    again = subprocess.run(make, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert first["mask_secret"].encode() not in again.stdout + again.stderr


def test_outside_secrets_that_are_missing_are_named(tmp_path: Path) -> None:
    asked = subprocess.run([str(COMPOSE / "secrets.sh"), "--external", str(tmp_path)], capture_output=True, text=True)
    assert asked.returncode == 2
    missing = set(asked.stderr.rpartition(":")[2].split())
    made = {path.name for path in tmp_path.iterdir()}
    assert made | missing == set().union(*HELD_OUTSIDE.values()) | {"grafana_admin_password"}
