"""An engine, images and a stack, once per session; without an engine every test here is skipped, in one line that says why."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.containers.engine import Engine, NoEngine, docker
from support.containers.stack import COMPOSE, Stack
from support.containers.standins import images

SERVICES = ("reader", "generator", "writer", "trainer")


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        found = Engine.find()
    except NoEngine as error:
        pytest.skip(str(error))
    # testcontainers: no reaper (an image of its own), and ports on this machine's loopback.
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
    os.environ["TESTCONTAINERS_CONNECTION_MODE"] = "docker_host"
    yield found
    found.stop()


@pytest.fixture(scope="session")
def variables(engine: Engine) -> dict[str, str]:
    """Variables that name the images, all of them there."""
    try:
        named = images()
    except NoEngine as error:
        pytest.skip(str(error))
    named |= {"TAILRACE_IMAGES": "tailrace-test", "TAILRACE_VERSION": "test", "TORCH": ""}
    build = subprocess.run(
        [str(COMPOSE / "images.sh")], env=os.environ | named | builder(), capture_output=True, text=True, timeout=800
    )
    assert build.returncode == 0, build.stdout + build.stderr
    print(build.stdout)
    return named


@pytest.fixture(scope="session")
def stack(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything up and healthy."""
    real_grafana = "KAFKA_IMAGE" not in variables
    made = Stack(
        f"tailrace-test-{os.getpid()}", tmp_path_factory.mktemp("secrets"), variables, real_grafana=real_grafana
    )
    made.make_secrets()
    try:
        made.up()
        yield made
    finally:
        print(
            made.compose("ps", "--all", check=False), made.compose("logs", "--tail", "40", check=False)
        )  # seen where a test failed
        made.down()


@pytest.fixture(scope="session")
def python_image(variables: dict[str, str]) -> str:
    return variables.get("PYTHON_IMAGE", "python:3.11.14-slim-bookworm")


def builder() -> dict[str, str]:
    """A client without buildx builds by the classic builder, stage after stage; an older one beside it brings BuildKit."""
    if subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode == 0:
        return {}
    debian = Path("/usr/bin/docker")
    said = subprocess.run([str(debian), "--version"], capture_output=True, text=True).stdout if debian.exists() else ""
    return {"DOCKER": str(debian), "DOCKER_BUILDKIT": "1"} if "version 20." in said else {}


@pytest.fixture(scope="session")
def image_of(variables: dict[str, str]) -> dict[str, str]:
    """The image of each service and of the command."""
    names = {
        name: f"{variables['TAILRACE_IMAGES']}/{name}:{variables['TAILRACE_VERSION']}" for name in (*SERVICES, "cli")
    }
    for image in names.values():
        docker("image", "inspect", image)
    return names
