"""The services of one runtime as replicated processes, each with its own secrets only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tailrace.embedded.environment import service_environment
from tailrace.embedded.processes import READY_DEADLINE_SECONDS, TERMINATE_GRACE_SECONDS, ServiceProcess, service_command
from tailrace.embedded.supervisor import Supervisor
from tailrace_shared.errors import UsageError

SERVICES = ("reader", "trainer", "generator", "writer")
DEFAULT_REPLICAS: Mapping[str, int] = {"reader": 1, "generator": 1, "writer": 1, "trainer": 0}

Secrets = Mapping[str, Mapping[str, str]]
"""service → settings that it alone gets"""
Command = Callable[[str], list[str]]


class ServiceGroup:
    """Replicas that share Kafka and a namespace: started together, scaled one service at a time.

    ``common`` goes to all of them, ``secrets[service]`` to that service's replicas only; nothing else of our
    environment but paths and language. Logs are ``<directory>/<service>-<n>.log``; n is never used twice. Methods
    block and may be called from several threads.
    """

    def __init__(
        self,
        directory: Path,
        supervisor: Supervisor,
        *,
        common: Mapping[str, str],
        secrets: Secrets | None = None,
        command: Command = service_command,
    ) -> None:
        self._directory = directory
        self._supervisor = supervisor
        self._common = dict(common)
        self._secrets = {service: dict(settings) for service, settings in (secrets or {}).items()}
        self._command = command
        self._lock = threading.RLock()
        self._replicas: dict[str, list[ServiceProcess]] = {service: [] for service in SERVICES}
        self._numbers = dict.fromkeys(SERVICES, 0)
        for service in self._secrets:
            _require_known(service)

    def start(
        self, replicas: Mapping[str, int] | None = None, deadline_seconds: float = READY_DEADLINE_SECONDS
    ) -> None:
        """Start all replicas at once and return when every one is ready.

        Raises:
            UsageError: a service that does not exist.
            TransientError, TerminalError: as ``ServiceProcess.await_ready``; everything started here is stopped.
        """
        wanted = {**DEFAULT_REPLICAS, **(replicas or {})}
        with self._lock:
            new = [replica for service, count in wanted.items() for replica in self._grow(service, count, {})]
        try:
            self._await_ready(new, deadline_seconds)
        except BaseException:
            self.stop(grace_seconds=0)
            raise

    def scale(
        self,
        service: str,
        count: int,
        *,
        environment: Mapping[str, str] | None = None,
        deadline_seconds: float = READY_DEADLINE_SECONDS,
    ) -> list[ServiceProcess]:
        """Make it ``count`` living replicas: start what is missing and wait for it, or end the youngest.

        ``environment`` adds settings to the new replicas only. Returns the living ones, oldest first.
        """
        with self._lock:
            new = self._grow(service, count, environment or {})
            surplus = self._replicas[service][count:]
            self._replicas[service] = self._replicas[service][:count]
        _in_parallel(lambda replica: replica.terminate(), surplus)
        self._await_ready(new, deadline_seconds)
        return self.replicas(service)

    def replicas(self, service: str) -> list[ServiceProcess]:
        """The living ones, oldest first."""
        _require_known(service)
        with self._lock:
            return [replica for replica in self._replicas[service] if replica.alive]

    def ended(self) -> list[ServiceProcess]:
        """Replicas that ended without having been asked to by ``scale`` or ``stop``: killed, or failed."""
        with self._lock:
            return [r for replicas in self._replicas.values() for r in replicas if not r.alive]

    def all(self) -> list[ServiceProcess]:
        """Every living replica."""
        return [replica for service in SERVICES for replica in self.replicas(service)]

    def stop(self, grace_seconds: float = TERMINATE_GRACE_SECONDS) -> None:
        """End all replicas at once: SIGTERM, and SIGKILL after the grace. Harmless when repeated."""
        with self._lock:
            every = [replica for replicas in self._replicas.values() for replica in replicas]
            self._replicas = {service: [] for service in SERVICES}
        _in_parallel(lambda replica: replica.terminate(grace_seconds), every)

    def _grow(self, service: str, count: int, extra: Mapping[str, str]) -> list[ServiceProcess]:
        """Forget dead replicas and start new ones up to ``count``, without waiting for them."""
        _require_known(service)
        if count < 0:
            raise UsageError("embedded.replicas", f"{count} replicas of {service}", "name a number from 0 on")
        living = self.replicas(service)
        new = [self._make(service, extra) for _ in range(count - len(living))]
        self._replicas[service] = [*living, *new]
        for replica in new:
            replica.start()
        return new

    def _make(self, service: str, extra: Mapping[str, str]) -> ServiceProcess:
        self._numbers[service] += 1
        name = f"{service}-{self._numbers[service]}"
        self._directory.mkdir(parents=True, exist_ok=True)
        return ServiceProcess(
            name,
            self._command(service),
            service_environment(self._common, {**self._secrets.get(service, {}), **extra}),
            self._directory / f"{name}.log",
            self._supervisor,
        )

    @staticmethod
    def _await_ready(replicas: Iterable[ServiceProcess], deadline_seconds: float) -> None:
        _in_parallel(lambda replica: replica.await_ready(deadline_seconds), replicas)


def _require_known(service: str) -> None:
    if service not in SERVICES:
        raise UsageError(
            "embedded.unknown-service", f"there is no service {service}", f"it is one of {', '.join(SERVICES)}"
        )


def _in_parallel(action: Callable[[ServiceProcess], object], replicas: Iterable[ServiceProcess]) -> None:
    """Do it to all; the first error is raised once all are done."""
    every = list(replicas)
    if every:
        with ThreadPoolExecutor(len(every)) as pool:
            for done in [pool.submit(action, replica) for replica in every]:
                done.result()
