"""The watchdog process: it ends what its parent started when the parent is gone, however it went.

It reads commands, one JSON object a line, from a pipe whose only write end lives in the parent, so end of file means
that the parent closed it or died, by kill -9 too. Then it ends every process it was told of and every process that
carries the parent's token in its environment (which covers one that was started but not yet told of), and removes the
folders it was told to remove. A clean stop takes the same path.

A process is named by pid *and* start time: a pid that was given to somebody else meanwhile is left alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import psutil

TOKEN_VARIABLE = "TAILRACE_EMBEDDED_TOKEN"  # noqa: S105 - the name of a variable
GRACE_SECONDS = 5.0
"""For processes with a stop signal of their own: PostgreSQL frees its shared memory on SIGQUIT, not on SIGKILL."""
_QUIET_ROUNDS = 2
"""Scans in a row that must find nothing: one could fall between a fork and its exec."""
_MAX_ROUNDS = 100
_ROUND_SECONDS = 0.05


@dataclass(slots=True)
class Registrations:
    """What the parent said so far."""

    processes: dict[int, tuple[int, int]] = field(default_factory=dict)
    """pid → (start mark, first signal to send)"""
    folders: set[str] = field(default_factory=set)

    def apply(self, line: str) -> None:
        """Take one command; a line that was cut off by the parent's death is ignored."""
        try:
            command = json.loads(line)
        except ValueError:
            return
        match command:
            case {"watch": int(pid), "started": int(started), "signal": int(number)}:
                self.processes[pid] = (started, number)
            case {"forget": int(pid)}:
                self.processes.pop(pid, None)
            case {"remove": str(folder)}:
                self.folders.add(folder)
            case _:
                pass


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie has ended and only waits for its parent."""
    alive = []
    for process in processes:
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(process)
    return alive


def start_mark(pid: int) -> int | None:
    """When the process of that pid started, in 1/100 s on a clock that no adjustment moves; None when there is none."""
    try:
        # Field 22 of proc(5)'s stat, counted from behind the program's name, which may hold spaces and brackets.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        pass
    try:
        return int(psutil.Process(pid).create_time() * 100) if not Path("/proc/self").exists() else None
    except psutil.Error:
        return None


def with_descendants(pid: int, started: int) -> list[psutil.Process]:
    """The process of that pid and start time and all below it; nothing when the pid is another process's now."""
    try:
        process = psutil.Process(pid)
        if start_mark(pid) != started:
            return []
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def carrying(token: str) -> list[psutil.Process]:
    """All processes with the token in their environment, this one excepted."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(TOKEN_VARIABLE) == token:
                found.append(process)
    return found


def end_all(registrations: Registrations, token: str, grace_seconds: float = GRACE_SECONDS) -> None:
    """Stop signals first where one was asked for, then SIGKILL until nothing is left."""
    polite: list[psutil.Process] = []
    for pid, (started, number) in registrations.processes.items():
        family = with_descendants(pid, started)
        if family and number != signal.SIGKILL:
            polite += family
            with suppress(psutil.Error):
                family[0].resume()  # a suspended process takes no other signal
                family[0].send_signal(number)
    quiet = 0
    deadline = time.monotonic() + grace_seconds
    for _ in range(_MAX_ROUNDS + int(grace_seconds / _ROUND_SECONDS)):
        spared = set(polite) if time.monotonic() < deadline else set()
        known = [p for pid, (started, _) in registrations.processes.items() for p in with_descendants(pid, started)]
        left = living({*known, *carrying(token), *polite})
        for process in left:
            if process not in spared:
                with suppress(psutil.Error):
                    process.kill()
        quiet = 0 if left else quiet + 1
        if quiet == _QUIET_ROUNDS:
            return
        time.sleep(_ROUND_SECONDS)


def remove_all(folders: Iterable[str]) -> None:
    """Remove the folders; what another process still writes into is tried again a few times."""
    for folder in folders:
        for _ in range(10):
            shutil.rmtree(folder, ignore_errors=True)
            if not Path(folder).exists():
                break
            time.sleep(_ROUND_SECONDS)


def run(commands: TextIO, token: str) -> None:
    """Read until the parent is gone, then clean up."""
    registrations = Registrations()
    for line in commands:
        registrations.apply(line)
    end_all(registrations, token)
    remove_all(registrations.folders)


def main() -> None:
    # A Ctrl-C or a closed terminal is the parent's affair; this process must outlive it to clean up.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    run(sys.stdin, os.environ.pop(TOKEN_VARIABLE))


if __name__ == "__main__":
    main()
