"""``tailrace report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tailrace.commands.options import AsJson
from tailrace.console import Output


def report(
    what: Annotated[
        str,
        typer.Argument(
            help="Id of a run, or the beginning or end of it; or a file that `verify --report` wrote.",
            metavar="RUN|REPORT.JSON",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FOLDER", help="Of a run: where its files are written.")
    ] = Path(),
    job_file: Annotated[
        Path | None,
        typer.Option(
            "--job", metavar="JOB.YAML", help="Of a run: ask the job's destination, and no broker, what the run was."
        ),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            metavar="TABLE=CONDITION",
            help="Of a run: rows of the source that nothing was learned from. Repeatable.",
        ),
    ] = None,
    all_lines: Annotated[
        bool, typer.Option("--all", help="Of a file: a line for every check, also for what holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the report of a run; or show a signed one, and prove its signature with TAILRACE_REPORT_KEY.

    Of a run that is done: what became of every table, column by column, how its privacy stands, and what the run has checked, as
    a page for people, JSON and figures for Prometheus. `tailrace quality` has more options. Needs the URLs of source and
    destination. Ends with 1 when a privacy gate or the run failed.

    Of a file: ends with 0 when the signature is valid, with 1 when it is not, and with 3 when there is none.

    Example: [bold]tailrace report 01JDC9 -o reports[/bold]
    """
    from tailrace.quality.of_run import write_report_of
    from tailrace.report_shown import show

    output = Output(as_json=as_json)
    if _is_file(what):
        code = show(Path(what), output, all_lines=all_lines)
    else:
        code = write_report_of(what, out, job_file, held_out or [], output)
    raise typer.Exit(code)


def _is_file(what: str) -> bool:
    """No run's id has a dot or a slash in it."""
    return "." in what or "/" in what or Path(what).is_file()
