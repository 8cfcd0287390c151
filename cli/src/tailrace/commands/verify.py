"""``tailrace verify``."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from tailrace.commands.options import AsJson, JobFile
from tailrace.console import Output
from tailrace_shared.errors import ExitCode
from tailrace_shared.job.load import load_job
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import Problem


def verify(
    job_file: JobFile,
    all_lines: Annotated[bool, typer.Option("--all", help="A line for every check, also for what holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a loaded destination with its source. Changes nothing.

    Row counts, foreign keys by anti-join, unique and NOT NULL, sequences, leaks of original values, canaries; with the
    URLs and canaries of this environment, and with the source as it is now. Ends with 1 when something does not hold.

    Example: [bold]tailrace verify job.yaml --all[/bold]
    """
    from tailrace.summary import check_lines, problem_text

    output = Output(as_json=as_json)
    problems, checks = asyncio.run(_verify(load_job(job_file), output))
    failed = [check for check in checks if not check.passed]
    output.data(
        {
            "passed": not failed and not problems,
            "checks": [check.model_dump(mode="json") for check in checks],
            "problems": [problem.model_dump(mode="json") for problem in problems],
        }
    )
    if problems:
        output.say(*(problem_text(problem) for problem in problems), "[bold red]the job cannot be planned[/bold red]")
        raise typer.Exit(ExitCode.REFUSED)
    output.say(check_lines(checks, all_lines=all_lines))
    if failed:
        output.say(f"[bold red]{len(failed)} of {len(checks)} checks failed[/bold red]")
        raise typer.Exit(ExitCode.FAILED)
    output.say(f"[bold green]all {len(checks)} checks hold[/bold green]")


async def _verify(job: Job, output: Output) -> tuple[list[Problem], list[Check]]:
    from tailrace.planning import databases, plan_of
    from tailrace.verification import as_if_empty, verify
    from tailrace_shared.verify.canaries import resolve_canaries

    wanted, canaries = as_if_empty(job), resolve_canaries(job.verify.canaries)
    async with databases(job) as ends:
        result = await plan_of(wanted, ends)
        if result.plan is None:
            return [problem for problem in result.problems if problem.severity == "error"], []
        with output.busy("comparing"):
            return [], [check async for check in verify(ends, result.plan, canaries)]
