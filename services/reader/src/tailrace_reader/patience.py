"""How long a source may fail before the run does. A dead broker has no such limit: it delays a run and cannot spoil it."""

from __future__ import annotations

from tailrace_shared.errors import TailraceError, TerminalError, TransientError


class SourcePatience:
    """Time since the source's first failure after its last success. ``now`` is passed in: monotonic seconds."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: float | None = None

    def succeeded(self) -> None:
        """The source has answered."""
        self._since = None

    def judge(self, error: TailraceError, now: float) -> TailraceError:
        """The error itself while there is patience and for errors of anything else; a TerminalError when it is spent."""
        if not isinstance(error, TransientError) or not error.code.startswith("postgres."):
            return error
        self._since = now if self._since is None else self._since
        if now - self._since < self._limit_s:
            return error
        return TerminalError(
            "reader.source-failing",
            f"the source has failed for {self._limit_s:g} s: {error.message}",
            error.remedy or "Bring the source back and start the run again.",
            exit_code=error.exit_code,
        )
