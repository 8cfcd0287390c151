"""Everything a run needs on this machine, below one directory: broker, databases, services."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tailrace.embedded.kafka import EmbeddedKafka
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.processes import READY_DEADLINE_SECONDS, service_command
from tailrace.embedded.services import Command, Secrets, ServiceGroup
from tailrace.embedded.supervisor import Supervisor

KAFKA_VARIABLE = "TAILRACE_KAFKA"


def external_kafka(environ: Mapping[str, str] = os.environ) -> dict[str, str] | None:
    """The settings that name real brokers (``TAILRACE_KAFKA`` and ``TAILRACE_KAFKA_…``), or None without brokers."""
    if not any(environ.get(name) for name in (KAFKA_VARIABLE, f"{KAFKA_VARIABLE}_BROKERS")):
        return None
    return {
        name: value
        for name, value in environ.items()
        if name == KAFKA_VARIABLE or name.startswith(f"{KAFKA_VARIABLE}_")
    }


class Runtime:
    """Starts the parts and stops them in order: services, broker, databases. Nothing outlives this process.

    ``with Runtime(...)`` has a broker running inside: an embedded one, or those that ``kafka`` names (the settings
    as ``external_kafka`` gives them). Databases and services are added by ``start_postgres`` and ``start_services``.
    The directory is kept, unless ``temporary``: then it is removed at the end, also after a crash of this process.
    Methods block and may be called from several threads.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kafka: Mapping[str, str] | None = None,
        kafka_config: Mapping[str, object] | None = None,
        kafka_listeners: Mapping[str, str] | None = None,
        cache: Path | None = None,
        temporary: bool = False,
    ) -> None:
        self.directory = directory.resolve()
        self._external = dict(kafka) if kafka is not None else None
        self._temporary = temporary
        self._lock = threading.Lock()
        self._groups: list[ServiceGroup] = []
        self._databases: dict[str, EmbeddedPostgres] = {}
        self.directory.mkdir(parents=True, exist_ok=True)
        self.supervisor = Supervisor()
        if temporary:
            self.supervisor.remove_at_end(self.directory)
        self.kafka: EmbeddedKafka | None = None
        """The embedded broker; None with external ones."""
        if kafka is None:
            self.kafka = EmbeddedKafka(
                cache,
                self.directory / "kafka",
                kafka_config,
                listeners=kafka_listeners,
                supervisor=self.supervisor,
            )

    @classmethod
    def in_temporary_directory(cls, **options: Any) -> Self:
        """A runtime in a new folder of the system's temporary directory, which PostgreSQL's account can pass."""
        directory = Path(tempfile.mkdtemp(prefix="tailrace-"))
        directory.chmod(0o711)
        return cls(directory, temporary=True, **options)

    @property
    def kafka_settings(self) -> dict[str, str]:
        """What a service, or the command itself, needs in its environment to reach the brokers."""
        if self.kafka is None:
            return dict(self._external or {})
        return {KAFKA_VARIABLE: self.kafka.bootstrap}

    @property
    def databases(self) -> dict[str, EmbeddedPostgres]:
        """By name, in the order of their start."""
        with self._lock:
            return dict(self._databases)

    def start(self, databases: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Start the broker and the named databases (name → options of ``EmbeddedPostgres``) side by side."""
        with ThreadPoolExecutor() as pool:
            waiting: list[Future[Any]] = [
                pool.submit(self.start_postgres, name, **options) for name, options in (databases or {}).items()
            ]
            if self.kafka is not None:
                waiting.append(pool.submit(self.kafka.start))
            for done in waiting:
                done.result()

    def start_postgres(self, name: str, **options: Any) -> EmbeddedPostgres:
        """A cluster of that name below the directory, started; the one that there is, if it was started before."""
        with self._lock:
            database = self._databases.get(name)
            if database is None:
                database = EmbeddedPostgres(
                    self.directory / f"postgres-{name}",
                    name=f"PostgreSQL ({name})",
                    supervisor=self.supervisor,
                    **options,
                )
                self._databases[name] = database
        database.start()
        return database

    def start_services(
        self,
        replicas: Mapping[str, int] | None = None,
        *,
        common: Mapping[str, str] | None = None,
        secrets: Secrets | None = None,
        name: str = "services",
        deadline_seconds: float = READY_DEADLINE_SECONDS,
        command: Command = service_command,
    ) -> ServiceGroup:
        """Start the services side by side against this runtime's brokers and return when all are ready.

        Logs go to ``<directory>/<name>/``; several groups may run at once under different names and namespaces.
        """
        group = ServiceGroup(
            self.directory / name,
            self.supervisor,
            common={**self.kafka_settings, **(common or {})},
            secrets=secrets,
            command=command,
        )
        with self._lock:
            self._groups.append(group)
        group.start(replicas, deadline_seconds)
        return group

    def stop(self) -> None:
        """Stop everything in order; what does not go is killed. Harmless when repeated."""
        with self._lock:
            groups, self._groups = self._groups, []
            databases, self._databases = self._databases, {}
        with ExitStack() as steps:  # last in, first out, each of them whatever became of the others
            steps.callback(self.supervisor.close)
            for database in databases.values():
                steps.callback(database.stop)
            if self.kafka is not None:
                steps.callback(self.kafka.stop)
            for group in groups:
                steps.callback(group.stop)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
