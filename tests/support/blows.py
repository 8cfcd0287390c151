"""Replicas that die and stop at random: kill -9, SIGSTOP with SIGCONT a little or long after, at any time or at a named point."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence

from support.installation import Installation
from tailrace.embedded.processes import ServiceProcess
from tailrace_shared.errors import TailraceError, TerminalError, TransientError

PAUSE_S = 1.5


class Blows:
    """Hits one replica at a time until told to stop, or until there have been enough; every one is replaced at once.

    ``points``: by service, crash points at which a replacement may be made to die or stop, at the first or a later passage.
    """

    def __init__(
        self,
        installation: Installation,
        chance: random.Random,
        replicas: Mapping[str, int],
        count: int,
        *,
        services: Sequence[str] = (),
        points: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._installation = installation
        self._random = chance
        self._replicas = replicas
        self._count = count
        self._services = services or sorted(replicas)
        self._points = points or {}
        self._afterwards: list[threading.Thread] = []
        self._hit: set[str] = set()
        self.dealt: Counter[str] = Counter()
        self.surprises: list[TailraceError] = []
        """Replicas that did not start though nobody had hit them."""

    def rain(self, over: threading.Event) -> None:
        """Deal them; returns when all replicas are there again and nobody is stopped."""
        for _ in range(self._count):
            if over.wait(self._random.uniform(0.0, PAUSE_S)):
                break
            service = self._random.choice(self._services)
            living = self._installation.group.replicas(service)
            if not living:
                continue  # all are dead, and their successors on their way
            replica = self._random.choice(living)
            self._hit.add(replica.name)
            if self._random.random() < 0.6:
                replica.kill()
                self.dealt[f"{service} killed"] += 1
                self._replace(service, self._replicas[service])
            else:
                self._stop(replica, self._random.choice([0.2, 2.0, 6.0]))
                self.dealt[f"{service} stopped"] += 1
                self._replace(service, self._replicas[service] + 1)
        for thread in self._afterwards:
            thread.join()
        for service, count in self._replicas.items():
            for replica in self._installation.group.replicas(service):
                if "TAILRACE_CRASH_AT" in replica.environment:
                    # It has stopped there, or would fall when nobody replaces it any more.
                    replica.resume()
                    replica.kill()
            self._installation.scale(service, count)

    def _replace(self, service: str, count: int) -> None:
        """Without waiting for the new one: it takes seconds to be ready, and may be hit before."""
        environment: dict[str, str] = {}
        if (points := self._points.get(service)) and self._random.random() < 0.6:
            point, passage = self._random.choice(points), self._random.choice([1, 1, 2, 7])
            signal = self._random.choice(["KILL", "STOP"])
            environment = {"TAILRACE_CRASH_AT": f"{point}:{passage}", "TAILRACE_CRASH_SIGNAL": signal}
            self.dealt[f"{point} {signal.lower()}"] += 1
        thread = threading.Thread(target=self._start, args=(service, count, environment))
        thread.start()
        self._afterwards.append(thread)

    def _start(self, service: str, count: int, environment: Mapping[str, str]) -> None:
        try:
            self._installation.scale(service, count, **environment)
        except (TransientError, TerminalError) as error:
            if not environment and not any(f"{name} " in error.message for name in self._hit):
                self.surprises.append(error)

    def _stop(self, replica: ServiceProcess, seconds: float) -> None:
        replica.suspend()
        waking = threading.Timer(seconds, lambda: replica.alive and replica.resume())
        waking.start()
        self._afterwards.append(waking)
