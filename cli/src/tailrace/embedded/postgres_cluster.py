"""Making a PostgreSQL cluster: initdb, with a password of its own."""

from __future__ import annotations

import secrets
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from tailrace.embedded.accounts import Account
from tailrace.embedded.environment import plain_environment
from tailrace.embedded.logs import last_lines
from tailrace.embedded.postgres_programs import PostgresPrograms
from tailrace.embedded.supervisor import Supervisor
from tailrace_shared.errors import TerminalError

_INITDB_DEADLINE_SECONDS = 120.0
"""About 1 s on an idle core."""
_PASSWORD_BYTES = 24
BUILTIN_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
"""Sorts and folds alike on every system, whatever locales it has; 17 and above."""
LIBC_LOCALE = ("--locale=C.UTF-8",)
"""The system's own, for any version."""


def make_cluster(
    cluster: Path,
    programs: PostgresPrograms,
    account: Account | None,
    supervisor: Supervisor,
    *,
    name: str,
    superuser: str,
    password_file: Path,
    locale: Sequence[str] = BUILTIN_LOCALE,
) -> None:
    """Make the data directory ``cluster`` (UTF-8, SCRAM for every connection); the password is written to a file.

    It is made under another name and renamed when finished, so a half-made one is never started. Its parent must
    belong to ``account``.

    Raises:
        TerminalError: initdb failed; with its last lines.
    """
    unfinished = cluster.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.token_urlsafe(_PASSWORD_BYTES))
    if account is not None:
        account.own(password_file)
    log = cluster.with_name("initdb.log")
    child = supervisor.start(
        f"initdb of {name}",
        [
            *(programs["initdb"], "-D", str(unfinished), "-U", superuser, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"),
            *locale,
        ],
        environment=plain_environment(),
        log=log,
        account=account,
        stop_signal=signal.SIGTERM,  # its servers free their shared memory when they may end by themselves
    )
    try:
        ended = child.wait(_INITDB_DEADLINE_SECONDS)
    finally:
        child.kill()
    if not ended or child.exit_status != 0:
        raise TerminalError(
            "embedded.initdb-failed",
            f"the cluster of {name} could not be made: {last_lines(log, 4) or 'initdb said nothing'}",
            f"see {log}",
        )
    unfinished.rename(cluster)
