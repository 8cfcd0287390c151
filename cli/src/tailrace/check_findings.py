"""What a preflight finds: one line per thing looked at, with what to do about it, and the exit code of them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

from rich.text import Text

from tailrace_shared.errors import ExitCode, TailraceError
from tailrace_shared.postgres import translated
from tailrace_shared.types import Frozen

Status = Literal["ok", "warning", "failed", "unknown"]
MARKS: Final[dict[Status, tuple[str, str]]] = {
    "ok": ("✓", "green"),
    "warning": ("!", "yellow"),
    "failed": ("✗", "bold red"),
    "unknown": ("–", "dim"),
}
PRECEDENCE: Final = (ExitCode.USAGE, ExitCode.UNAVAILABLE, ExitCode.REFUSED, ExitCode.FAILED)
"""Which failure decides the exit code: what must be corrected first comes first."""


class Finding(Frozen):
    """One line of a preflight."""

    area: str
    """``secrets``, ``brokers``, ``services``, ``source``, ``destination`` or ``plan``."""
    name: str
    """What was looked at: ``snapshot``."""
    status: Status
    detail: str
    remedy: str = ""
    code: str = ""
    """Of a failure: as in docs/errors.md."""
    exit_code: ExitCode = ExitCode.OK
    """What the failure alone would end a command with."""


class Findings:
    """Collects the lines of one area."""

    def __init__(self, area: str) -> None:
        self.area = area
        self.all: list[Finding] = []

    def ok(self, name: str, detail: str) -> None:
        """It is as a run needs it."""
        self._add(name, "ok", detail)

    def warning(self, name: str, detail: str, remedy: str) -> None:
        """A run works, and somebody should know."""
        self._add(name, "warning", detail, remedy)

    def unknown(self, name: str, detail: str, remedy: str = "") -> None:
        """It could not be looked at, and nothing says that it is wrong."""
        self._add(name, "unknown", detail, remedy)

    def refused(self, name: str, code: str, detail: str, remedy: str) -> None:
        """A run would not start, or would fail."""
        self._add(name, "failed", detail, remedy, code, ExitCode.REFUSED)

    def error(self, name: str, error: TailraceError) -> None:
        """What an attempt raised."""
        self._add(name, "failed", error.message, error.remedy, error.code, error.exit_code)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Foreseeable errors inside become a line; the checks after it go on."""
        try:
            with translated():
                yield
        except TailraceError as error:
            self.error(name, error)

    def _add(
        self,
        name: str,
        status: Status,
        detail: str,
        remedy: str = "",
        code: str = "",
        exit_code: ExitCode = ExitCode.OK,
    ) -> None:
        self.all.append(
            Finding(
                area=self.area,
                name=name,
                status=status,
                detail=detail,
                remedy=remedy,
                code=code,
                exit_code=exit_code,
            )
        )


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """What the command ends with: 0 unless something has failed, else the code of what must be corrected first."""
    failed = {finding.exit_code for finding in findings if finding.status == "failed"}
    return next((code for code in PRECEDENCE if code in failed), ExitCode.FAILED if failed else ExitCode.OK)


def findings_text(findings: Iterable[Finding]) -> Text:
    """The lines, each with its remedy under it, and the sum of them."""
    text = Text()
    count = 0
    for finding in findings:
        mark, style = MARKS[finding.status]
        text.append(f"{mark} {finding.area} {finding.name}", style)
        text.append(f": {finding.detail}" + (f" [{finding.code}]\n" if finding.code else "\n"))
        if finding.remedy:
            text.append("  remedy: ", "bold")
            text.append(f"{finding.remedy}\n")
        count += finding.status == "failed"
    if count:
        text.append(f"{count} {'thing stands' if count == 1 else 'things stand'} against a run", "bold red")
    else:
        text.append("nothing stands against a run", "bold green")
    return text
