"""A signed report, shown and proved."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError
from rich.markup import escape

from tailrace.console import Output
from tailrace.live_report import LiveReport
from tailrace.report import Report, read_report
from tailrace.signature import Verdict, prove, report_key
from tailrace.summary import check_lines
from tailrace_shared.errors import ExitCode, UsageError


def show(file: Path, output: Output, *, all_lines: bool) -> ExitCode:
    """Say what is in the file and whether its signature holds. Raises UsageError for what is no report."""
    envelope = read_report(file)
    verdict = prove(envelope, report_key(os.environ))
    try:
        if envelope["report"].get("format") == "tailrace-live-report-1":
            _live(LiveReport.model_validate(envelope["report"]), verdict, output, all_lines)
        else:
            _verified(Report.model_validate(envelope["report"]), verdict, output, all_lines)
    except ValidationError:
        raise UsageError(
            "report.format",
            f"{file} is a report of another release, or none",
            "Read it with the release that wrote it.",
        ) from None
    style = {"valid": "bold green", "invalid": "bold red", "unsigned": "bold yellow"}[verdict]
    output.say(f"signature: [{style}]{verdict}[/]")
    return {"valid": ExitCode.OK, "invalid": ExitCode.FAILED, "unsigned": ExitCode.REFUSED}[verdict]


def _verified(found: Report, verdict: Verdict, output: Output, all_lines: bool) -> None:
    output.data(
        {"signature": verdict, "passed": found.passed, "job": found.job, "run": found.run.run if found.run else ""}
    )
    of = f"run {found.run.run}" if found.run else f"no run ({found.why_no_run})"
    output.say(f"job {found.job}, {of}, verified {found.made_at} by release {found.release}")
    output.say(check_lines(found.checks, all_lines=all_lines))
    output.say(f"digest {found.digest.overall}{' (keyed)' if found.digest.keyed else ''}")
    output.say("[green]everything held[/green]" if found.passed else "[bold red]something did not hold[/bold red]")


def _live(found: LiveReport, verdict: Verdict, output: Output, all_lines: bool) -> None:
    output.data({"signature": verdict, "passed": found.passed, "job": found.job, "run": found.run})
    output.say(
        f"job {found.job}, run {found.run}, compared live {found.made_at} at {found.point} by release {found.release}"
    )
    output.say(check_lines(found.checks, all_lines=all_lines))
    output.say(*(f"[yellow]left out[/yellow] {escape(left.table)}: {escape(left.why)}" for left in found.left_out))
    output.say(
        "[green]both sides were the same[/green]" if found.passed else "[bold red]something was not the same[/bold red]"
    )
