"""Ctrl-C counted, not raised: what it means depends on how often it came."""

from __future__ import annotations

import asyncio
import signal
from types import TracebackType
from typing import Self


class Interrupts:
    """While entered, SIGINT and SIGTERM are counted on the running loop instead of ending it.

    ``changed`` is set at every signal; who waits for something waits for it too.
    """

    def __init__(self) -> None:
        self.count = 0
        self.changed = asyncio.Event()

    def happened(self) -> None:
        """One more; tests call it in a signal's place."""
        self.count += 1
        self.changed.set()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.happened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
