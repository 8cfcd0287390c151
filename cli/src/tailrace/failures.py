"""How failures reach a person: one line that names the thing, one that says what to do; never a stack trace unasked."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tailrace.console import Output
from tailrace_shared import __version__
from tailrace_shared.errors import ExitCode, TailraceError
from tailrace_shared.secrets import redact


def report(error: TailraceError, output: Output) -> ExitCode:
    """Say a foreseeable error on standard error; returns the code to exit with."""
    output.error(error.message, error.remedy, code=error.code)
    return error.exit_code


def report_unexpected(error: BaseException, output: Output, environ: Mapping[str, str] = os.environ) -> ExitCode:
    """Say an error nobody foresaw: its type, and the file that holds where it happened.

    The file names places in the code only. An exception's text may quote a row, so it is shown nowhere, unless the
    person asks for it with ``TAILRACE_DEBUG=1``.
    """
    output.error(
        f"unexpected {type(error).__name__}; where it happened is in {_write_places(error)}",
        "Please report it with that file. TAILRACE_DEBUG=1 shows the whole trace, which may quote data.",
        code="unexpected",
    )
    if environ.get("TAILRACE_DEBUG") == "1":
        output.trace(redact("".join(traceback.format_exception(error))))
    return ExitCode.FAILED


def _write_places(error: BaseException) -> Path:
    """A new file with the frames of the exception and of what caused it."""
    lines = [f"tailrace {__version__}, {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"]
    cause: BaseException | None = error
    while cause is not None:
        lines.append(f"{type(cause).__module__}.{type(cause).__name__}")
        lines += [f"  {f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(cause.__traceback__)]
        cause = cause.__cause__ or cause.__context__
    descriptor, name = tempfile.mkstemp(prefix="tailrace-error-", suffix=".log", text=True)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
    return Path(name)
