"""The demo as a person starts it: what it shows, how long it takes, what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.installation import eventually


@pytest.fixture
def folder() -> Iterator[Path]:
    """For temporary files, short enough for sockets, and PostgreSQL's account can pass it."""
    with tempfile.TemporaryDirectory(prefix="demo-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_KAFKA")}
    return {**kept, "TMPDIR": str(folder)}


def processes_below(path: Path) -> list[psutil.Process]:
    """Processes whose command line or working directory is below a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(path) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_demo_masks_a_database_and_leaves_nothing_behind(environment: dict[str, str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", "demo"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "MARY" in done.stdout
    assert "MARY.SMITH@sakilacustomer.org" in done.stdout
    assert "✓ rows  15 of 15 hold" in done.stdout
    assert "✓ foreign key" in done.stdout
    assert "✗" not in done.stdout
    assert "49,636 rows" in done.stdout
    assert "\x1b" not in said
    assert processes_below(folder) == []
    assert list(folder.glob("tailrace-*")) == []


def test_a_kept_demo_runs_until_interrupted(environment: dict[str, str], folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", "demo", "--keep"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        settings = {}
        for text in process.stdout:
            if text.strip().startswith("export "):
                name, _, value = text.strip().removeprefix("export ").partition("=")
                settings[name] = value.strip("'")
            if "Ctrl-C" in text:
                break
        verified = subprocess.run(
            [sys.executable, "-m", "tailrace", "status"],
            env={**environment, **settings},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert verified.returncode == 0, verified.stderr
        assert "pagila-demo" in verified.stdout
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 0
    eventually(lambda: not processes_below(folder), 20, "nothing runs any more")
    assert list(folder.glob("tailrace-*")) == []


@pytest.mark.long
@pytest.mark.timeout(450)
def test_the_continuous_demo_ends_by_itself_with_both_sides_equal_and_nothing_left(
    environment: dict[str, str], folder: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tailrace", "demo", "--continuous"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "caught up after" in said
    assert "what was followed is what a fresh masked snapshot holds" in said
    eventually(lambda: not processes_below(folder), 20, "nothing runs any more")
    assert list(folder.glob("tailrace-*")) == []
