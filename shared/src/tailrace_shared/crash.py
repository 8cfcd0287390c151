"""Named crash points: places where a test can have a process die, to show that dying there costs nothing.

Without ``TAILRACE_CRASH_AT`` in the environment a crash point does nothing.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

AT = "TAILRACE_CRASH_AT"
"""``name`` or ``name:n``: at the n-th passage (from 1) of that point."""
ONCE = "TAILRACE_CRASH_ONCE"
"""Path of a file: whoever creates it dies, so that of several processes, and of a restarted one, only the first does."""
SIGNAL = "TAILRACE_CRASH_SIGNAL"
"""``KILL`` (default) or ``STOP``: a stopped process keeps its connections and locks."""

_passages: Counter[str] = Counter()
"""Per process by nature: what is counted is how often this process has come by."""


def crash_point(name: str) -> None:
    """Die here, if the environment says so."""
    wanted = os.environ.get(AT)
    if not wanted:
        return
    at, _, count = wanted.partition(":")
    if at != name:
        return
    _passages[name] += 1
    if _passages[name] != int(count or 1) or not _first(os.environ.get(ONCE)):
        return
    os.kill(os.getpid(), signal.SIGSTOP if os.environ.get(SIGNAL) == "STOP" else signal.SIGKILL)


def _first(path: str | None) -> bool:
    if not path:
        return True
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
