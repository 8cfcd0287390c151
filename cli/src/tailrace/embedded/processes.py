"""One replica of a service as a process."""

from __future__ import annotations

import http.client
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tailrace.embedded.logs import last_lines
from tailrace.embedded.ports import LOOPBACK, free_ports, is_free
from tailrace.embedded.supervisor import Child, Supervisor
from tailrace_shared.errors import ExitCode, TerminalError, TransientError

READY_DEADLINE_SECONDS = 60.0
TERMINATE_GRACE_SECONDS = 15.0
"""A service drains within this after SIGTERM."""
_PROBE_EVERY_SECONDS = 0.05
_PROBE_TIMEOUT_SECONDS = 2.0
_PORT_ATTEMPTS = 3
_HTTP_OK = 200
PORT_VARIABLE = "TAILRACE_PORT"


class ServiceProcess:
    """A replica: started, asked whether it is ready, ended in every way a test or an operator may think of.

    ``command`` is the program (``service_command``), ``environment`` all that it sees besides its port.
    """

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, supervisor: Supervisor
    ) -> None:
        self.name = name
        self.log = log
        self.environment = dict(environment)
        self._command = list(command)
        self._supervisor = supervisor
        self._child: Child | None = None
        self._port: int | None = None

    def __repr__(self) -> str:
        return f"<{self.name} pid={self._child.pid if self._child else None} port={self._port}>"

    @property
    def port(self) -> int:
        """Of its HTTP server (health, metrics); another after each start."""
        if self._port is None:
            raise TerminalError("embedded.service-not-started", f"{self.name} was not started", "call start() first")
        return self._port

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.alive

    @property
    def exit_status(self) -> int | None:
        """As ``Child.exit_status``."""
        return self._started().exit_status

    @property
    def resident_bytes(self) -> int:
        return self._child.resident_bytes if self._child is not None else 0

    def start(self) -> None:
        """Start it without waiting; a replica that has ended may be started again."""
        if self.alive:
            return
        (self._port,) = free_ports(1)
        environment = {**self.environment, PORT_VARIABLE: str(self._port)}
        self._child = self._supervisor.start(self.name, self._command, environment=environment, log=self.log)

    def await_ready(self, deadline_seconds: float = READY_DEADLINE_SECONDS) -> None:
        """Return once ``/health/ready`` answers 200.

        Raises:
            TransientError: not within the deadline; it is left running.
            TerminalError: it ended; with the exit code it ended with and the end of its log.
        """
        deadline = time.monotonic() + deadline_seconds
        attempts = 1
        while not (self.alive and self.is_ready() and self._started().listens_on(self.port)):
            if not self.alive:
                if attempts < _PORT_ATTEMPTS and not is_free(self.port):  # somebody was quicker to take its port
                    attempts += 1
                    self.start()
                    continue
                raise self._death()
            if time.monotonic() > deadline:
                raise TransientError(
                    "embedded.service-not-ready",
                    f"{self.name} was not ready within {deadline_seconds:.0f} s; its log: {last_lines(self.log)}",
                    f"see {self.log}",
                )
            time.sleep(_PROBE_EVERY_SECONDS)

    def is_ready(self) -> bool:
        return self.probe("/health/ready") == _HTTP_OK

    def probe(self, path: str) -> int | None:
        """Status of an HTTP GET, or None when nobody answers."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_PROBE_TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def terminate(self, grace_seconds: float = TERMINATE_GRACE_SECONDS) -> bool:
        """SIGTERM, and SIGKILL after the grace; whether it went when asked."""
        return self._child.stop(signal.SIGTERM, grace_seconds) if self._child is not None else True

    def kill(self) -> None:
        """SIGKILL; returns once it is gone."""
        if self._child is not None:
            self._child.kill()

    def suspend(self) -> None:
        """SIGSTOP."""
        self._started().suspend()

    def resume(self) -> None:
        """SIGCONT."""
        self._started().resume()

    def _started(self) -> Child:
        if self._child is None:
            raise TerminalError("embedded.service-not-started", f"{self.name} was not started", "call start() first")
        return self._child

    def _death(self) -> TerminalError:
        status = self.exit_status
        known = status in tuple(ExitCode) and status != ExitCode.OK
        return TerminalError(
            "embedded.service-died",
            f"{self.name} ended with status {status} before it was ready; its log: {last_lines(self.log) or 'empty'}",
            f"see {self.log}",
            exit_code=ExitCode(status) if known and status is not None else ExitCode.FAILED,
        )


def service_command(service: str) -> list[str]:
    """``python -m tailrace_<service>`` with our own interpreter."""
    return [sys.executable, "-m", f"tailrace_{service}"]
