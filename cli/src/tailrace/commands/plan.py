"""``tailrace plan``."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from tailrace.commands.options import AsJson, JobFile
from tailrace.console import Output
from tailrace_shared.errors import ExitCode
from tailrace_shared.job.load import load_job
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import PlanResult


def plan(
    job_file: JobFile,
    columns: Annotated[bool, typer.Option("--columns/--no-columns", help="Show every column's generator.")] = True,
    proofs: Annotated[bool, typer.Option("--proofs", help="Show every constraint, also what is proved of it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do, and what would stop it. Changes nothing.

    Tables, generators, what is proved of every constraint, what is away while loading, and about how much and how long.
    Reads both databases' catalogues with the URLs of this environment. Ends with 3 when something stands against the
    run; every such problem comes with its remedy. `tailrace schema plan` describes the JSON.

    Example: [bold]tailrace plan job.yaml --json > plan.json[/bold]
    """
    from tailrace.plan_document import document
    from tailrace.plan_view import plan_text

    output = Output(as_json=as_json)
    result = asyncio.run(_plan(load_job(job_file)))
    output.say(plan_text(result, columns=columns, proofs=proofs))
    output.data(document(result))
    raise typer.Exit(ExitCode.REFUSED if any(p.severity == "error" for p in result.problems) else ExitCode.OK)


async def _plan(job: Job) -> PlanResult:
    from tailrace.planning import databases, plan_of, with_source

    async with databases(job) as ends:
        return await with_source(await plan_of(job, ends), job, ends)
