"""Whether the broker answers, told as a metric: a service that waits for its broker is alive, ready to go on, and useless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import Gauge

EVERY_S = 5.0


class BrokerWatch:
    """Asks every few seconds for as long as the service runs. ``ping`` answers within a few seconds, and raises nothing."""

    def __init__(self, ping: Callable[[], Awaitable[bool]], told: Gauge, every_s: float = EVERY_S) -> None:
        self._ping = ping
        self._told = told
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The service has just spoken with its broker."""
        self._told.set(1)
        self._task = asyncio.create_task(self._watch(), name="broker watch")

    async def stop(self) -> None:
        """Ask no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            self._told.set(bool(await self._ping()))
