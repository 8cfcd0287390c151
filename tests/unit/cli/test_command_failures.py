"""Failures as words: one line and a remedy, no trace, no markup read from what an error says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tailrace.console import Output, duration, size
from tailrace.failures import report, report_unexpected
from tailrace_shared.errors import ExitCode, TransientError, UsageError


def raised(text: str) -> Exception:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


def test_a_foreseeable_error_is_one_line_and_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    code = report(UsageError("job.invalid", "column [red] of [x] is wrong", "Correct [it]."), Output())
    said = capsys.readouterr()
    assert code == ExitCode.USAGE
    assert said.out == ""
    assert said.err.splitlines() == ["error: column [red] of [x] is wrong (job.invalid)", "remedy: Correct [it]."]


def test_the_exit_code_is_the_errors_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(TransientError("kafka.unreachable", "no broker"), Output()) == ExitCode.UNAVAILABLE


def test_a_long_error_is_not_wrapped_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    report(UsageError("x", "word " * 100), Output())
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unexpected_error_names_type_and_file_and_never_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    code = report_unexpected(raised("mary.smith@example.org"), Output(), {})
    said = capsys.readouterr().err
    assert code == ExitCode.FAILED
    assert "unexpected ValueError" in said
    assert "Traceback" not in said
    path = re.search(r"\S+tailrace-error-\S+\.log", said)
    assert path is not None
    places = Path(path[0]).read_text()
    Path(path[0]).unlink()
    assert "test_command_failures.py" in places
    assert "builtins.ValueError" in places
    assert "mary.smith" not in said + places


def test_the_trace_is_shown_to_who_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    report_unexpected(raised("[bold]boom[/bold]"), Output(), {"TAILRACE_DEBUG": "1"})
    said = capsys.readouterr().err
    Path(re.search(r"\S+tailrace-error-\S+\.log", said)[0]).unlink()  # type: ignore[index]
    assert "Traceback" in said
    assert "[bold]boom[/bold]" in said


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (59.96, "60.0 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (64 << 20, "64.0 MiB"), (3 << 30, "3.0 GiB")]
)
def test_sizes_read_well(value: int, text: str) -> None:
    assert size(value) == text


def test_the_page_of_exit_codes_lists_every_code() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "exit-codes.md").read_text()
    listed = {int(code): name for code, name in re.findall(r"^\| (\d+) \| (\w+) \|", page, re.MULTILINE)}
    assert listed == {code.value: code.name.lower() for code in ExitCode}
