"""``tailrace quality``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.options import AsJson
from tailrace.console import Output
from tailrace_shared.errors import ExitCode
from tailrace_shared.job.load import load_job

if TYPE_CHECKING:
    from tailrace.quality.model import QualityReport
    from tailrace_shared.plan.model import Problem


def quality(
    job_file: Annotated[
        Path,
        typer.Argument(
            help="The job file (YAML); or a Parquet file of real rows.",
            metavar="JOB.YAML|REAL.PARQUET",
            show_default=False,
        ),
    ],
    made: Annotated[
        Path | None,
        typer.Argument(help="Beside real rows in a file: those that were drawn.", metavar="[MADE.PARQUET]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.HTML", help="Write a page for people there, in one file."),
    ] = None,
    tables: Annotated[
        list[str] | None, typer.Option("--table", metavar="TABLE", help="Only this table. Repeatable.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=100, max=1_000_000, help="Rows per table and sample.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Of the samples.")] = 1,
    k: Annotated[int, typer.Option("--k", min=2, max=1000, help="Fewest rows behind anything that is shown.")] = 10,
    held_out: Annotated[
        list[str] | None,
        typer.Option(
            "--held-out",
            metavar="TABLE=CONDITION",
            help="Rows of the source that nothing was learned from. Repeatable. Beside files: a Parquet file of them.",
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="TABLE=COLUMN", help="The column that a model is to predict. Repeatable."),
    ] = None,
    orders: Annotated[
        list[str] | None,
        typer.Option(
            "--order", metavar="TABLE=COLUMN", help="The column by which the rows of a parent are ordered. Repeatable."
        ),
    ] = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            "--metrics", metavar="FILE.prom", help="Write the headline figures for Prometheus' node exporter."
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="The run that loaded the destination; default: the last that is done."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a destination's distributions with its source's, and see what its rows give away. Changes nothing.

    Draws bounded random samples of both databases through read-only sessions and measures, per table: each column's
    distribution, how columns go together, what follows what; of masked rows whom the unmasked columns single out; of
    synthetic rows whether they repeat what was learned. No value of a single row is written or printed.
    Ends with 1 when a privacy gate fails. docs/quality.md explains every figure.

    With two Parquet files it compares those: no database is needed.

    Example: [bold]tailrace quality job.yaml -o quality.html[/bold]
    """
    from tailrace.problem_lines import problem_lines
    from tailrace.quality.assemble import wanted_of
    from tailrace.quality.metrics_file import metrics_text
    from tailrace.quality.page import page
    from tailrace.quality.produce import quality_of, write_whole
    from tailrace.quality.view import quality_lines
    from tailrace.report import require_writable

    output = Output(as_json=as_json)
    for path in (out, metrics):
        if path is not None:
            require_writable(path)
    if made is not None:
        from tailrace.quality.from_files import quality_of_files

        problems: list[Problem] = []
        target = targets[-1].rpartition("=")[2] if targets else None
        with output.busy("comparing"):
            found: QualityReport | None = quality_of_files(
                job_file, made, held_out or [], target, rows=rows, seed=seed, k=k
            )
    else:
        job = load_job(job_file)
        wanted = wanted_of(rows, seed, held_out or [], targets or [], orders or [])
        problems, found = asyncio.run(quality_of(job, tables or [], wanted, k, run, output))
    if found is None:
        output.data({"problems": [problem.model_dump(mode="json") for problem in problems]})
        output.say(*problem_lines(problems), "[bold red]the job cannot be planned[/bold red]")
        raise typer.Exit(ExitCode.REFUSED)
    if out is not None:
        write_whole(out, page(found))
    if metrics is not None:
        write_whole(metrics, metrics_text(found))
    output.data(found)
    output.say(*quality_lines(found))
    if out is not None:
        output.say(f"page {out}")
    raise typer.Exit(ExitCode.FAILED if found.verdict == "fail" else ExitCode.OK)
