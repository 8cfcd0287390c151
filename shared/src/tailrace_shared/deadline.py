"""One point in time for a whole shutdown: whoever waits, waits for what remains of it."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock, handed down through every step that must be over by then."""

    at: float
    """``time.monotonic()`` seconds."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        """True when nothing is left."""
        return time.monotonic() >= self.at

    def within(self, seconds: float) -> Deadline:
        """This deadline, or ``seconds`` from now if that is earlier: the budget of one step."""
        return Deadline(min(self.at, time.monotonic() + seconds))
