"""Where downloads are kept between starts, and how two processes share that place."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tailrace_shared.errors import TransientError

LOCK_TIMEOUT_SECONDS = 300.0
"""The holder may be downloading 45 MB over a slow line."""
_LOCK_POLL_SECONDS = 0.05


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """``TAILRACE_CACHE``, or ``~/.cache/tailrace``; it need not exist yet."""
    named = environ.get("TAILRACE_CACHE")
    return Path(named).expanduser().resolve() if named else Path.home() / ".cache" / "tailrace"


@contextmanager
def exclusive(directory: Path, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold ``directory`` (created when missing) for this process and thread alone.

    The lock is ``flock`` on a file inside, so it ends with its holder, also by kill -9.

    Raises:
        TransientError: somebody else held it for all of ``timeout_seconds``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_seconds
    with (directory / ".lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TransientError(
                        "embedded.cache-busy",
                        f"another process has held the cache {directory} for {timeout_seconds:.0f} s",
                        "wait for it or end it, or name another cache by TAILRACE_CACHE",
                    ) from None
                time.sleep(_LOCK_POLL_SECONDS)
        yield
