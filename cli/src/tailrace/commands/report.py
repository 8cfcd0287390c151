"""``tailrace report``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tailrace.commands.options import AsJson
from tailrace.console import Output
from tailrace_shared.errors import ExitCode

if TYPE_CHECKING:
    from tailrace.live_report import LiveReport
    from tailrace.signature import Verdict


def report(
    file: Annotated[Path, typer.Argument(help="A file that `verify --report` wrote.", metavar="REPORT.JSON")],
    all_lines: Annotated[bool, typer.Option("--all", help="A line for every check, also for what holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a report, and prove its signature with TAILRACE_REPORT_KEY.

    Ends with 0 when the signature is valid, with 1 when it is not, and with 3 when there is none.

    Example: [bold]tailrace report report.json[/bold]
    """
    from pydantic import ValidationError

    from tailrace.live_report import LiveReport
    from tailrace.report import Report, read_report
    from tailrace.signature import prove, report_key
    from tailrace.summary import check_lines
    from tailrace_shared.errors import UsageError

    output = Output(as_json=as_json)
    envelope = read_report(file)
    verdict = prove(envelope, report_key(os.environ))
    try:
        if envelope["report"].get("format") == "tailrace-live-report-1":
            _live(LiveReport.model_validate(envelope["report"]), verdict, output, all_lines)
            return
        found = Report.model_validate(envelope["report"])
    except ValidationError:
        raise UsageError(
            "report.format",
            f"{file} is a report of another release, or none",
            "Read it with the release that wrote it.",
        ) from None
    output.data(
        {"signature": verdict, "passed": found.passed, "job": found.job, "run": found.run.run if found.run else ""}
    )
    of = f"run {found.run.run}" if found.run else f"no run ({found.why_no_run})"
    output.say(f"job {found.job}, {of}, verified {found.made_at} by release {found.release}")
    output.say(check_lines(found.checks, all_lines=all_lines))
    output.say(f"digest {found.digest.overall}{' (keyed)' if found.digest.keyed else ''}")
    output.say("[green]everything held[/green]" if found.passed else "[bold red]something did not hold[/bold red]")
    _ended(verdict, output)


def _live(found: LiveReport, verdict: Verdict, output: Output, all_lines: bool) -> None:
    from tailrace.summary import check_lines

    output.data({"signature": verdict, "passed": found.passed, "job": found.job, "run": found.run})
    output.say(
        f"job {found.job}, run {found.run}, compared live {found.made_at} at {found.point} by release {found.release}"
    )
    output.say(check_lines(found.checks, all_lines=all_lines))
    output.say(*(f"[yellow]left out[/yellow] {escape(left.table)}: {escape(left.why)}" for left in found.left_out))
    output.say(
        "[green]both sides were the same[/green]" if found.passed else "[bold red]something was not the same[/bold red]"
    )
    _ended(verdict, output)


def _ended(verdict: Verdict, output: Output) -> None:
    style = {"valid": "bold green", "invalid": "bold red", "unsigned": "bold yellow"}[verdict]
    output.say(f"signature: [{style}]{verdict}[/]")
    raise typer.Exit({"valid": ExitCode.OK, "invalid": ExitCode.FAILED, "unsigned": ExitCode.REFUSED}[verdict])
