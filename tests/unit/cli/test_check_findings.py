"""Lines of the preflight: marks, remedies, and which failure decides the exit code."""

from __future__ import annotations

import pytest

from tailrace.check_findings import Findings, exit_code, findings_text
from tailrace_shared.errors import ExitCode, TailraceError, TerminalError, TransientError, UsageError

USAGE = UsageError("secret.missing", "X is not set", "Set X.")
AWAY = TransientError("postgres.unreachable", "no connection", "Is it up?")


def lines(*errors: TailraceError, refused: bool = False) -> Findings:
    found = Findings("source")
    found.ok("version", "PostgreSQL 18.1")
    found.warning("standby", "a hot standby", "Set hot_standby_feedback = on.")
    found.unknown("disk", "not known")
    for error in errors:
        found.error("connection", error)
    if refused:
        found.refused("public.t", "plan.privilege", "lacks SELECT", "GRANT SELECT;")
    return found


def test_warnings_and_what_is_not_known_stand_against_nothing() -> None:
    found = lines()
    assert exit_code(found.all) == ExitCode.OK
    text = findings_text(found.all).plain
    assert text.splitlines() == [
        "✓ source version: PostgreSQL 18.1",
        "! source standby: a hot standby",
        "  remedy: Set hot_standby_feedback = on.",
        "– source disk: not known",
        "nothing stands against a run",
    ]


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (lines(refused=True), ExitCode.REFUSED),
        (lines(AWAY, refused=True), ExitCode.UNAVAILABLE),
        (lines(AWAY, USAGE, refused=True), ExitCode.USAGE),
        (lines(TerminalError("postgres.version", "PostgreSQL 13 is too old")), ExitCode.FAILED),
    ],
)
def test_what_must_be_corrected_first_decides_the_exit_code(found: Findings, code: ExitCode) -> None:
    assert exit_code(found.all) == code


def test_a_failure_is_marked_with_its_code_and_its_remedy_and_counted() -> None:
    text = findings_text(lines(AWAY, refused=True).all).plain
    assert "✗ source connection: no connection [postgres.unreachable]\n  remedy: Is it up?\n" in text
    assert text.endswith("2 things stand against a run")


def test_foreseeable_errors_become_lines_and_others_do_not() -> None:
    found = Findings("brokers")
    with found.attempt("topics"):
        raise AWAY
    assert [finding.code for finding in found.all] == ["postgres.unreachable"]
    with pytest.raises(ZeroDivisionError), found.attempt("topics"):
        raise ZeroDivisionError
