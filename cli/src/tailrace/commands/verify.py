"""``tailrace verify``."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from tailrace.commands.options import AsJson, JobFile
from tailrace.console import Output
from tailrace.report import Report, write_report
from tailrace.signature import report_key, sealed
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.job.load import load_job
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import ComparisonProgress
from tailrace_shared.plan.model import Problem


def verify(
    job_file: JobFile,
    all_lines: Annotated[bool, typer.Option("--all", help="A line for every check, also for what holds.")] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write the report there, signed with TAILRACE_REPORT_KEY."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(
            "--run", metavar="RUN", help="The run that the report belongs to; default: the last that is done."
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Compare a continuous run's destination while it follows its source, both at one point."
        ),
    ] = False,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--table", metavar="SCHEMA.TABLE", help="With --live: this table only; may be given several times."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a loaded destination with its source. Changes nothing.

    Row counts, foreign keys by anti-join, unique, NOT NULL and checks, sequences, structure, leaks of original values,
    canaries, and a digest that equal runs share; with the URLs and canaries of this environment, and with the source as it
    is now. Ends with 1 when something does not hold.

    With --live the services compare a destination that follows its source: they mask a snapshot of the source anew, and
    compare it row by row, as sums of hashes, with what the stream has made of the destination. Neither side stops.

    Example: [bold]tailrace verify job.yaml --all --report report.json[/bold]
    """
    from tailrace.problem_lines import problem_lines
    from tailrace.report import require_writable
    from tailrace.summary import check_lines

    output = Output(as_json=as_json)
    key = report_key(os.environ)
    if report is not None:
        require_writable(report)
    job = load_job(job_file)
    if live:
        raise typer.Exit(asyncio.run(_live(job, run, tables or [], report, key, output, all_lines)))
    if tables:
        raise UsageError("verify.table", "--table is of --live", "Give --live, too, or leave --table out.")
    problems, made = asyncio.run(_verify(job, run, key, output))
    if made is None:
        output.data({"passed": False, "checks": [], "problems": [p.model_dump(mode="json") for p in problems]})
        output.say(*problem_lines(problems), "[bold red]the job cannot be planned[/bold red]")
        if job.destination.mode == "create" and any(p.code == "plan.missing-table" for p in problems):
            output.say("A run of this job makes its tables: verify after it.")
        raise typer.Exit(ExitCode.REFUSED)
    if report is not None:
        write_report(report, made, key)
    envelope = sealed(made.model_dump(mode="json"), key)
    output.data({"passed": made.passed, "checks": envelope["report"]["checks"], "problems": []} | envelope)
    output.say(check_lines(made.checks, all_lines=all_lines))
    output.say(f"digest {made.digest.overall}{' (keyed)' if made.digest.keyed else ''}")
    if report is not None:
        belongs = f"of run {made.run.run}" if made.run else f"of no run: {made.why_no_run}"
        output.say(f"report {report}, {'signed' if key else 'unsigned'}, {belongs}")
    failed = [check for check in made.checks if not check.passed]
    if failed:
        output.say(f"[bold red]{len(failed)} of {len(made.checks)} checks failed[/bold red]")
    elif not made.passed and made.run:
        output.say(f"[bold red]run {made.run.run} is {made.run.state}, or a check of its own failed[/bold red]")
    else:
        output.say(f"[bold green]all {len(made.checks)} checks hold[/bold green]")
    raise typer.Exit(ExitCode.OK if made.passed else ExitCode.FAILED)


async def _live(
    job: Job, run: str | None, tables: list[str], report: Path | None, key: bytes | None, output: Output, all_lines: bool
) -> ExitCode:  # fmt: skip
    from tailrace.live_report import live_report
    from tailrace.live_verification import compare, equal, exit_code_of, live_run, require_known, words_of
    from tailrace.runs import connect
    from tailrace.settings import CommandSettings
    from tailrace.summary import check_lines
    from tailrace_shared.kafka import Kafka
    from tailrace_shared.settings import kafka_settings, load_settings

    last = ""

    def said(made: ComparisonProgress) -> None:
        nonlocal last
        if (words := words_of(made)) != last:
            output.note(last := words)

    async with connect(Kafka(kafka_settings()), load_settings(CommandSettings).namespace) as runs:
        record = live_run(await runs.latest(), job, run)
        require_known(record, tables)
        output.note(f"comparing run {record.run} with its source; both go on")
        record, made = await compare(runs, record, tables, said=said)
    found = live_report(job, record, made)
    if report is not None:
        write_report(report, found, key)
    output.data(sealed(found.model_dump(mode="json"), key))
    output.say(check_lines(made.checks, all_lines=all_lines))
    output.say(*(f"[yellow]left out[/yellow] {escape(left.table)}: {escape(left.why)}" for left in made.left_out))
    if report is not None:
        output.say(f"report {report}, {'signed' if key else 'unsigned'}, of run {record.run}")
    wrong = sum(not check.passed for check in made.checks)
    if equal(made):
        output.say(
            f"[bold green]{_tables(len(made.checks))} the same on both sides[/bold green] at {made.point}, {made.rows:,} rows"
        )
    elif wrong:
        output.say(f"[bold red]{wrong} of {_tables(len(made.checks))} differ from the source[/bold red]")
    else:
        output.say("[bold red]nothing could be compared[/bold red]")
    return exit_code_of(made)


def _tables(count: int) -> str:
    return "1 table" if count == 1 else f"{count} tables"


async def _verify(job: Job, run: str | None, key: bytes | None, output: Output) -> tuple[list[Problem], Report | None]:
    from tailrace.planning import databases, plan_of
    from tailrace.report import digest_report, make_report
    from tailrace.report_runs import attached_run
    from tailrace.verification import as_if_empty, verify
    from tailrace_shared.postgres import translated
    from tailrace_shared.verify.canaries import resolve_canaries
    from tailrace_shared.verify.digest import table_digests

    wanted, canaries = as_if_empty(job), resolve_canaries(job.verify.canaries)
    async with databases(job) as ends:
        attached, why = await attached_run(ends.destination, job, run)
        result = await plan_of(wanted, ends)
        if result.plan is None:
            return [problem for problem in result.problems if problem.severity == "error"], None
        with output.busy("comparing"):
            checks = [check async for check in verify(ends, result.plan, canaries, job)]
            with translated():
                digests = await table_digests(ends.destination, result.plan)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        digest = digest_report(digests, key)
        return [], make_report(job, ends, result.plan, checks, digest, attached, why_no_run=why, made_at=now)
