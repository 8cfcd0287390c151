"""A continuous run from the command line: started once, held, let go on, loaded again in part, stopped in good order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import Pair
from support.following import caught_up, let_follow, slots, streaming
from support.installation import Installation, eventually

pytestmark = pytest.mark.timeout(400)


class Commands:
    """The command, beside an installation."""

    def __init__(self, installation: Installation, folder: Path, job: str) -> None:
        self._environment = {
            **os.environ,
            **installation.runtime.kafka_settings,
            "TAILRACE_NAMESPACE": installation.namespace,
        }
        self.job = folder / "job.yaml"
        self.job.write_text(job)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tailrace", *arguments],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code and both streams."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=90)
        finally:
            process.kill()
        return process.returncode, out, err


def test_a_continuous_run_is_operated_by_commands_from_its_start_to_its_good_end(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str, tmp_path: Path
) -> None:
    pair = new_shop("operate", 300)
    let_follow(pair)
    installation = install(pair)
    commands = Commands(installation, tmp_path, shop_job.replace("version: 1\n", "version: 1\nmode: continuous\n"))

    process = commands.start("run", str(commands.job))
    try:
        said = listen(process)
        eventually(lambda: said, 30, "the run's id is told")
        run = said[0].split()[1]
        streaming(installation, run)
        eventually(lambda: any("following: lag" in line for line in said), 20, "the lag is shown")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        eventually(lambda: f"tailrace stop {run}" in said[-1], 10, "how to go on is told")
    finally:
        process.kill()

    code, out, err = commands.ask("run", str(commands.job), "--detach")
    assert (code, out.strip()) == (0, run)
    assert "already running" in err

    code, out, err = commands.ask("pause", run, "--json")
    assert (code, json.loads(out)["state"]) == (0, "paused"), err
    pair.source.run_sql("UPDATE customer SET balance = balance + 1;", pair.name)
    before = pair.digest()
    held = next(p.port for p in installation.group.all() if p.name.startswith("reader"))
    series = f'tailrace_changes_held_bytes{{lane="0",run="{run}",'
    eventually(lambda: told(held, series) > 0, 20, "what waits on Kafka is told")
    assert pair.digest() == before
    assert commands.ask("resume", run)[0] == 0
    caught_up(pair)
    assert pair.digest() != before
    eventually(lambda: told(held, series) == 0, 20, "nothing waits any more")
    assert "lag" in commands.ask("status")[1]

    code, out, err = commands.ask("resync", run, "public.product")
    assert code == 0, out + err
    assert "public.product: loaded" in out

    code, out, err = commands.ask("stop", run)
    assert code == 0, out + err
    assert "changes followed" in out
    assert slots(pair) == []
    code, _, err = commands.ask("pause", run)
    assert (code, "run.over" in err) == (2, True)


def listen(process: subprocess.Popen[str]) -> list[str]:
    """The lines of its standard error, as they come."""
    said: list[str] = []

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)

    threading.Thread(target=read, daemon=True).start()
    return said


def told(port: int, series: str) -> float:
    """The value of a series, as a service tells it now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(series))
