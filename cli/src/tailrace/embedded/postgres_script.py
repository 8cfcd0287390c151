"""Running SQL scripts by the wheel's psql."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import unquote

from tailrace.embedded.environment import plain_environment
from tailrace.embedded.postgres_programs import wheel_programs
from tailrace_shared.errors import TerminalError


def run_psql(script: str | Path, url: str) -> str:
    """Run a script (a path, or its text), stop at its first error, return what it printed.

    Rows come unaligned, without headings, fields parted by ``|``. A path may be a dump with psql's own commands.

    Raises:
        TerminalError: with the line and SQLSTATE, never with the server's words, which may quote values.
    """
    options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=sqlstate"]
    login, _, place = url.removeprefix("postgresql://").rpartition("@")
    user, _, password = login.partition(":")
    done = subprocess.run(
        [
            *(wheel_programs()["psql"], *options, "-d", f"postgresql://{user}@{place}"),
            *("-f", str(script.resolve()) if isinstance(script, Path) else "-"),
        ],
        input=b"" if isinstance(script, Path) else script.encode(),
        # The password not among the arguments, which every user of this machine can read.
        env={**plain_environment(), "PGPASSWORD": unquote(password), "PGCLIENTENCODING": "UTF8"},
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise TerminalError(
            "embedded.sql-failed",
            f"a script failed at {place}: {said[-1] if said else 'psql said nothing'}",
            "look the SQLSTATE up in PostgreSQL's appendix of error codes",
        )
    return done.stdout.decode()
