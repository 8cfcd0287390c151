"""What memory this process may use, by its control group, and whether the kernel has killed anything in it for memory.

Both hierarchies are read: version 2 (``memory.max``, ``memory.events``) and version 1 (``memory.limit_in_bytes``,
``memory.oom_control``). Kernel documentation: admin-guide/cgroup-v2 and admin-guide/cgroup-v1/memory.

A process that is killed for memory cannot say so. What it said last (its heartbeat: memory and limit) is what a leader judges by;
the counter of kills outlives only other processes of the group: a trainer's child, or neighbours without a container.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

ROOT = Path("/")
_UNLIMITED = 1 << 60
"""Version 1 writes the largest number of pages where there is no limit."""


class MemoryGroup:
    """The control group of this process; ``root`` is another file system's root in tests."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._process = psutil.Process()

    def resident_bytes(self) -> int:
        """What this process has in memory now."""
        return int(self._process.memory_info().rss)

    def limit_bytes(self) -> int | None:
        """The tightest limit from the group up to the top; None without one, or where nothing can be read."""
        found = [
            int(text)
            for folder, version in self._folders()
            if (text := _read(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))).isdigit()
        ]
        limits = [limit for limit in found if limit < _UNLIMITED]
        return min(limits, default=None)

    def kills(self) -> int:
        """Processes of the group that the kernel has killed for memory since the group was made."""
        for folder, version in self._folders():
            for line in _read(folder / ("memory.events" if version == 2 else "memory.oom_control")).splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and count.isdigit():
                    return int(count)
        return 0

    def _folders(self) -> Iterator[tuple[Path, int]]:
        """The group's folder and those above, own first. In a container its own group is the top of what it sees."""
        for line in _read(self._root / "proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            version = 1 if controllers else 2
            top = self._root / "sys/fs/cgroup" / ("memory" if version == 1 else "")
            inner = top / path.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder == top or top in folder.parents:
                    yield folder, version


class MemoryCollector(Collector):
    """The group's figures as metrics, read when they are asked for."""

    def __init__(self, group: MemoryGroup) -> None:
        self._group = group

    def collect(self) -> Iterable[Metric]:
        """Limit (+Inf: none) and kills."""
        limit = self._group.limit_bytes()
        yield GaugeMetricFamily(
            "tailrace_memory_limit_bytes",
            "Memory that the process's control group may use; +Inf without a limit.",
            inf if limit is None else limit,
        )
        yield CounterMetricFamily(
            "tailrace_oom_kills",
            "Processes of this process's control group that the kernel has killed for memory.",
            self._group.kills(),
        )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
