"""The compose stack as a test uses it: started from the project's own files, with stand-in images, under a name of its own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.containers.engine import docker

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "compose"
OVERRIDE = ROOT / "tests" / "compose" / "override.yaml"
SECRETS_HELD = {
    "reader": {"source_url", "transport_key"},
    "generator": {"mask_secret", "transport_key"},
    "writer": {"destination_url", "canaries"},
    "trainer": {"transport_key"},
    "source": {"source_admin_password", "source_reader_password"},
    "destination": {"destination_admin_password", "destination_writer_password"},
    "grafana": {"grafana_admin_password"},
    "kafka": set(),
    "prometheus": set(),
    "alertmanager": set(),
    "cli": set(),
}
"""Which files a container may have: ADR 5, and what the third parties need for themselves."""


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What the condition gives once it is true. Raises AssertionError after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.5)


class Stack:
    """A project of compose. ``secrets`` is the folder of its files, ``variables`` name images."""

    def __init__(self, project: str, secrets: Path, variables: Mapping[str, str], *, real_grafana: bool) -> None:
        self.project = project
        self.secrets = secrets
        ports = dict.fromkeys(("PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT"), "0")
        self._environment = os.environ | variables | ports | {"TAILRACE_SECRETS": str(secrets)}
        self._files = [COMPOSE / "compose.yaml", *([] if real_grafana else [OVERRIDE])]

    def make_secrets(self) -> None:
        subprocess.run([str(COMPOSE / "secrets.sh"), str(self.secrets)], check=True, capture_output=True)

    def compose(self, *arguments: str, timeout: float = 300.0, check: bool = True) -> str:
        files = [part for file in self._files for part in ("-f", str(file))]
        return docker(
            "compose", "-p", self.project, *files, *arguments, timeout=timeout, check=check, env=self._environment
        )

    def up(self, *arguments: str) -> None:
        self.compose("up", "-d", "--no-build", "--wait", "--wait-timeout", "240", *arguments)

    def down(self) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", check=False)

    def tailrace(self, *arguments: str, timeout: float = 300.0) -> str:
        """The command, in a container of its own."""
        return self.compose("run", "--rm", "-T", "cli", *arguments, timeout=timeout)

    def sql(self, side: str, statement: str) -> str:
        """What a statement gives, as an administrator of ``source`` or ``destination``."""
        database = {"source": "production", "destination": "staging"}[side]
        psql = [
            "psql",
            "--no-psqlrc",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            database,
            "-At",
            "-c",
            statement,
        ]
        return self.compose("exec", "-T", side, *psql).strip()

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What the engine tells of the project's running containers."""
        labels = [f"label=com.docker.compose.project={self.project}"]
        labels += [f"label=com.docker.compose.service={service}"] if service else []
        found = docker("ps", "--quiet", *(part for label in labels for part in ("--filter", label))).split()
        return json.loads(docker("inspect", *found)) if found else []

    def kill(self, service: str, kill_image: str) -> str:
        """kill -9 of the first container's main process, from outside: the engine takes it for a crash and restarts it. Its id."""
        (container, *_) = self.containers(service)
        pid = str(container["State"]["Pid"])
        docker("run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "sh", kill_image, "-c", f"kill -9 {pid}")
        return str(container["Id"])

    def restarts(self, container: str) -> int:
        return int(docker("inspect", "--format", "{{.RestartCount}}", container))

    def healthy(self, service: str, count: int = 1) -> bool:
        """Whether so many replicas are there, and all well."""
        states = [c["State"].get("Health", {}).get("Status") for c in self.containers(service)]
        return states == ["healthy"] * count

    def logs(self) -> str:
        return self.compose("logs", "--no-color", timeout=60)

    def port(self, service: str, port: int) -> str:
        """``127.0.0.1:12345``, where it is published."""
        return self.compose("port", service, str(port)).strip()
