"""Nothing that was started outlives the process that started it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tailrace.embedded.environment import plain_environment
from tailrace.embedded.reaper import Registrations, end_all, living, start_mark, with_descendants
from tailrace.embedded.supervisor import Supervisor
from tailrace_shared.errors import TerminalError

SLEEP = ["/bin/sleep", "300"]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as started:
        yield started


def runs(pid: int) -> bool:
    try:
        return bool(living([psutil.Process(pid)]))
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_closing_ends_what_still_runs_and_removes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with Supervisor() as supervisor:
        supervisor.remove_at_end(folder)
        child = supervisor.start("sleeper", SLEEP, environment={}, log=folder / "log")
        assert child.alive
    assert not child.alive
    assert not folder.exists()
    assert not runs(supervisor.reaper_pid)


def test_a_program_below_in_a_session_of_its_own_is_ended_too(tmp_path: Path) -> None:
    """Its starter is gone and it was never registered: the token in its environment gives it away."""
    note = tmp_path / "pid"
    script = "setsid sh -c 'echo $$ > $0; exec sleep 300' $0 & sleep 0"
    with Supervisor() as supervisor:
        child = supervisor.start(
            "parent", ["/bin/sh", "-c", script, str(note)], environment=plain_environment(), log=tmp_path / "log"
        )
        assert eventually(lambda: note.exists() and note.read_text().strip() != "")
        assert child.wait(5)
        below = int(note.read_text())
        assert runs(below)
    assert not runs(below)


def test_a_suspended_program_can_be_stopped(supervisor: Supervisor, tmp_path: Path) -> None:
    child = supervisor.start("sleeper", SLEEP, environment={}, log=tmp_path / "log")
    child.suspend()
    assert eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_STOPPED)
    assert child.stop(signal.SIGTERM, grace_seconds=5)
    assert child.exit_status == -signal.SIGTERM


def test_a_program_that_ignores_the_signal_is_killed_after_the_grace(supervisor: Supervisor, tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    log = tmp_path / "log"
    child = supervisor.start("stubborn", ["/bin/sh", "-c", script], environment=plain_environment(), log=log)
    assert eventually(lambda: "ready" in log.read_text())
    assert not child.stop(signal.SIGTERM, grace_seconds=0.2)
    assert child.exit_status == -signal.SIGKILL


def test_a_program_sees_the_given_environment_only(supervisor: Supervisor, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("SOURCE_URL", "canary")
    log = tmp_path / "log"
    child = supervisor.start("env", ["/usr/bin/env"], environment={"GIVEN": "1"}, log=log)
    assert child.wait(5)
    assert sorted(line.partition("=")[0] for line in log.read_text().splitlines()) == [
        "GIVEN",
        "TAILRACE_EMBEDDED_TOKEN",
    ]


def test_a_program_that_does_not_exist_is_named(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match=r"broker cannot be started.*/no/such"):
        supervisor.start("broker", ["/no/such/program"], environment={}, log=tmp_path / "log")


def test_after_closing_nothing_can_be_started(tmp_path: Path) -> None:
    supervisor = Supervisor()
    supervisor.close()
    supervisor.close()
    with pytest.raises(TerminalError, match="stopped"):
        supervisor.start("late", SLEEP, environment={}, log=tmp_path / "log")


def test_without_its_watchdog_nothing_is_left_started(tmp_path: Path) -> None:
    supervisor = Supervisor()
    psutil.Process(supervisor.reaper_pid).kill()
    supervisor._reaper.wait()
    before = {process.pid for process in psutil.Process().children()}
    with pytest.raises(TerminalError, match="watchdog"):
        supervisor.start("orphan", SLEEP, environment={}, log=tmp_path / "log")
    assert {process.pid for process in psutil.Process().children()} == before


def test_kill_minus_nine_of_the_starter_ends_everything_and_removes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    script = textwrap.dedent(
        """
        import json, sys, time
        from pathlib import Path
        from tailrace.embedded.environment import plain_environment
        from tailrace.embedded.supervisor import Supervisor
        folder = Path(sys.argv[1]); folder.mkdir()
        s = Supervisor(); s.remove_at_end(folder)
        kids = [s.start(str(n), ["/bin/sleep", "300"], environment={}, log=folder / "log") for n in range(3)]
        kids[1].suspend()
        print(json.dumps([s.reaper_pid, *(k.pid for k in kids)]), flush=True)
        time.sleep(300)
        """
    )
    starter = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    pids = json.loads(starter.stdout.readline())
    assert all(runs(pid) for pid in pids)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert eventually(lambda: not any(runs(pid) for pid in pids))
    assert eventually(lambda: not folder.exists())


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone() -> None:
    stranger = subprocess.Popen(SLEEP)
    try:
        mark = start_mark(stranger.pid)
        assert mark is not None
        assert with_descendants(stranger.pid, mark)
        registrations = Registrations()
        registrations.apply(json.dumps({"watch": stranger.pid, "started": mark - 1, "signal": 15}))
        end_all(registrations, token="nobody carries this", grace_seconds=0)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_commands_that_were_cut_off_or_are_unknown_change_nothing() -> None:
    registrations = Registrations()
    for line in ('{"watch": 5, "star', "[]", '{"other": 1}', '{"forget": 77}', "null"):
        registrations.apply(line)
    assert registrations == Registrations()
    registrations.apply('{"watch": 5, "started": 9, "signal": 3}')
    registrations.apply('{"remove": "/x"}')
    assert registrations == Registrations(processes={5: (9, 3)}, folders={"/x"})
    registrations.apply('{"forget": 5}')
    assert registrations.processes == {}
