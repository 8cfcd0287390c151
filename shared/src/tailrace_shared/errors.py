"""What can go wrong, as two kinds: *transient* (try again) and *terminal* (somebody must change something).

Adapters map driver errors once, at the edge (``tailrace_shared.postgres``, ``tailrace_shared.kafka``). A message names the
thing and the remedy and **never carries a value**: PostgreSQL's DETAIL and CONTEXT hold values and are dropped there.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command and the services end with; scripts may rely on these."""

    OK = 0
    FAILED = 1
    """The run or the verification failed."""
    USAGE = 2
    """The command line, the job file or a setting is wrong."""
    REFUSED = 3
    """The plan found problems; nothing was changed."""
    UNAVAILABLE = 4
    """A broker or a database cannot be reached or refuses us."""
    CANCELLED = 5
    INTERRUPTED = 130


class TailraceError(Exception):
    """Base of all foreseeable errors.

    ``code`` is stable and greppable (``plan.unknown-column``), ``message`` says what is wrong with which thing,
    ``remedy`` what to do about it.
    """

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, code: str, message: str, remedy: str = "", *, exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message} — {self.remedy}" if self.remedy else self.message


class TransientError(TailraceError):
    """It may go away by itself: the caller retries with a schedule (``tailrace_shared.dataplane.retry``)."""

    exit_code = ExitCode.UNAVAILABLE


class TerminalError(TailraceError):
    """Trying again cannot help: the run fails with this code, message and remedy."""


class UsageError(TerminalError):
    """A wrong setting, job file or command line."""

    exit_code = ExitCode.USAGE


class Refused(TerminalError):
    """The plan found problems."""

    exit_code = ExitCode.REFUSED
