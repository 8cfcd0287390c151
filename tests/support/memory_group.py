"""A control group with a memory limit, and a process in it that makes the kernel kill another one. Root, version 1 or 2."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_TOP_V1 = Path("/sys/fs/cgroup/memory")
_TOP_V2 = Path("/sys/fs/cgroup")
_EATER = """
import sys, time
open("/proc/self/oom_score_adj", "w").write("-1000")
open(sys.argv[1] + "/cgroup.procs", "w").write(str(__import__("os").getpid()))
held = []
while True:
    held.append(bytearray(b"x" * (1 << 20)))
    time.sleep(0.002)
"""


class LimitedGroup:
    """``born_inside`` puts what is started meanwhile into the group."""

    def __init__(self, folder: Path, limit_file: str) -> None:
        self.folder = folder
        self._limit_file = limit_file

    @contextmanager
    def born_inside(self) -> Iterator[None]:
        """Children of this process that are started within the block belong to the group."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (self.folder.parent / "cgroup.procs").write_text(str(os.getpid()))

    def limit(self, size: int) -> None:
        (self.folder / self._limit_file).write_text(str(size))

    def eat(self) -> subprocess.Popen[bytes]:
        """Fill what is left, by a process that the kernel spares: it kills the largest of the others."""
        return subprocess.Popen([sys.executable, "-c", _EATER, str(self.folder)])


@contextmanager
def limited_group() -> Iterator[LimitedGroup]:
    """A new group beside this process's own; skips the test where there can be none."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            parent, limit_file = _TOP_V1 / path.lstrip("/"), "memory.limit_in_bytes"
            break
    else:
        parent, limit_file = _TOP_V2, "memory.max"
    folder = parent / f"tailrace-test-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
        (folder / limit_file).read_text()
    except OSError:
        if folder.exists():
            folder.rmdir()
        pytest.skip("no control group with a memory limit can be made here (needs root)")
    try:
        yield LimitedGroup(folder, limit_file)
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            (folder.parent / "cgroup.procs").write_text(pid)
        folder.rmdir()
