"""CPU and memory of processes by what they are, read from the operating system."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psutil


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process, its living descendants, and those it has waited for."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        total = sum(process.cpu_times()[:4])
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(child.cpu_times()[:2])
        return float(total)
    return 0.0


def peak_megabytes(pid: int) -> float:
    """Highest resident size so far (VmHWM), of the process alone."""
    with contextlib.suppress(OSError):
        for line in open(f"/proc/{pid}/status"):  # noqa: SIM115
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Reading:
    """What each part used between two moments."""

    cpu: dict[str, float] = field(default_factory=dict)
    peak: dict[str, float] = field(default_factory=dict)
    machine: float = 0.0
    """Seconds of all cores that were not idle, whoever used them; time that the host took away included."""

    @property
    def total(self) -> float:
        return sum(self.cpu.values())


@contextlib.contextmanager
def metered(parts: Mapping[str, int]) -> Iterator[Reading]:
    """CPU seconds and peak memory of the named processes while the block runs."""
    before, busy = {name: cpu_seconds(pid) for name, pid in parts.items()}, _busy_seconds()
    reading = Reading()
    yield reading
    reading.machine = _busy_seconds() - busy
    for name, pid in parts.items():
        reading.cpu[name] = cpu_seconds(pid) - before[name]
        reading.peak[name] = peak_megabytes(pid)


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
