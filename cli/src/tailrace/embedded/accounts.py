"""The operating system account that PostgreSQL runs under.

PostgreSQL refuses to run as root. Where we are root it runs as an account without rights, which must be able to reach
its programs and its data: every folder above them must let others pass.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailrace_shared.errors import TerminalError

_CANDIDATES = ("nobody", "daemon", "bin")
"""initdb looks its user up by id, so it has to be one that the system knows."""


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int

    def as_popen_arguments(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": ()}

    def own(self, path: Path) -> None:
        os.chown(path, self.uid, self.gid)

    def first_unreachable(self, path: Path) -> Path | None:
        """The topmost folder on the way to ``path`` (itself included) that this account cannot pass, or None.

        Decides by owner, group and mode, as access lists are rare on these paths.
        """
        resolved = path.resolve()
        for place in (*reversed(resolved.parents), resolved):
            status = place.stat()
            if not may_pass(status.st_mode, status.st_uid, status.st_gid, self.uid, self.gid):
                return place
        return None


def may_pass(mode: int, owner: int, group: int, uid: int, gid: int) -> bool:
    """Whether an account may enter a folder, or execute a file; only the first class that fits counts."""
    if owner == uid:
        return bool(mode & stat.S_IXUSR)
    if group == gid:
        return bool(mode & stat.S_IXGRP)
    return bool(mode & stat.S_IXOTH)


def unprivileged_account() -> Account | None:
    """The account to give PostgreSQL: None when we are not root and it simply runs as ourselves.

    Raises:
        TerminalError: we are root and the system has none of the usual accounts without rights.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise TerminalError(
        "embedded.no-account",
        f"PostgreSQL does not run as root, and this system has none of the users {', '.join(_CANDIDATES)}",
        "run as another user, or create the user nobody",
    )
