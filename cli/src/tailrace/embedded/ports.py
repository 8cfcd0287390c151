"""Free TCP ports on the loopback address."""

from __future__ import annotations

import errno
import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from tailrace_shared.errors import TransientError

LOOPBACK = "127.0.0.1"
_LOWEST = 15_000
"""Below are many well-known servers."""
_ATTEMPTS_PER_PORT = 200
_RELEASE_SECONDS = 10.0
_POLL_SECONDS = 0.05
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX_DEFAULT_EPHEMERAL_START = 32_768


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` now; with SO_REUSEADDR, as the broker and PostgreSQL set it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def free_ports(count: int) -> list[int]:
    """``count`` different ports that were free a moment ago; a start that loses the race asks again.

    They lie below the kernel's range for outgoing connections: a client that keeps reconnecting to a server that is
    down would sooner or later draw that very port as its own, connect to itself, and hold it against the restart.

    Raises:
        OSError: none could be found.
    """
    start = _ephemeral_start()
    low, high = (_LOWEST, start) if start - _LOWEST >= 1_000 else (start, 65_536)
    found: list[int] = []
    for _ in range(_ATTEMPTS_PER_PORT * count):
        port = low + secrets.randbelow(high - low)
        if port not in found and is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise OSError(errno.EADDRINUSE, f"no {count} free ports between {low} and {high}")


def await_free(ports: Iterable[int], owner: str, timeout_seconds: float = _RELEASE_SECONDS) -> None:
    """Return once a restart of ``owner`` can have its ports again; its old connections may hold them for a moment.

    Raises:
        TransientError: another program holds one of them.
    """
    deadline = time.monotonic() + timeout_seconds
    while taken := [port for port in ports if not is_free(port)]:
        if time.monotonic() > deadline:
            raise TransientError(
                "embedded.port-taken",
                f"port {taken[0]} of {owner} is held by another program",
                "end that program, or start a new runtime",
            )
        time.sleep(_POLL_SECONDS)


def _ephemeral_start() -> int:
    try:
        return int(_RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _LINUX_DEFAULT_EPHEMERAL_START
