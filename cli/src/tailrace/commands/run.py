"""``tailrace run``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated

import typer

from tailrace.commands.options import AsJson, JobFile
from tailrace.console import Output
from tailrace.execute import execute
from tailrace.live import display
from tailrace.runs import Runs, connect
from tailrace.settings import CommandSettings
from tailrace.summary import closing, exit_code
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.job.load import load_job
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka
from tailrace_shared.settings import kafka_settings, load_settings


def run(
    job_file: JobFile,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded",
            help="Start broker and services on this machine for this run, with the secrets of this environment.",
        ),
    ] = False,
    replicas: Annotated[
        list[str] | None,
        typer.Option("--replicas", metavar="SERVICE=N", help="With --embedded: processes of a service. Repeatable."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the run's id and return at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a job: read, mask, load, verify.

    Follows the run until it has ended. Ctrl-C asks for its cancellation, a second one leaves it to itself.

    Example: [bold]tailrace run job.yaml --embedded --replicas generator=2[/bold]
    """
    output = Output(as_json=as_json)
    job = load_job(job_file)
    if embedded:
        if detach:
            raise UsageError(
                "usage.detach",
                "--detach and --embedded do not go together: the embedded services end with this command",
                "Leave one of them out.",
            )
        code = _run_embedded(job, replicas or [], output)
    else:
        if replicas:
            raise UsageError(
                "usage.replicas",
                "--replicas starts processes, and without --embedded this command starts none",
                "Add --embedded, or scale the services where they run.",
            )
        code = asyncio.run(_run(job, output, detach=detach))
    raise typer.Exit(code)


def _run_embedded(job: Job, replicas: list[str], output: Output) -> ExitCode:
    from tailrace.local import installation, parse_replicas

    with ExitStack() as stack:
        with output.busy("starting broker and services"):
            here = stack.enter_context(installation(job, replicas=parse_replicas(replicas)))

        async def body() -> ExitCode:
            async with connect(Kafka(here.kafka), here.namespace) as runs:
                return await _follow(runs, job, output, embedded=True, check=here.require_alive)

        code = asyncio.run(body())
        if code == ExitCode.FAILED:
            output.note(f"The services' logs are in {here.keep_logs()}.")
        return code


async def _run(job: Job, output: Output, *, detach: bool) -> ExitCode:
    namespace = load_settings(CommandSettings).namespace
    async with connect(Kafka(kafka_settings()), namespace) as runs:
        if detach:
            run_id = await runs.submit(job)
            output.say(run_id)
            output.data({"run": run_id})
            return ExitCode.OK
        return await _follow(runs, job, output)


async def _follow(
    runs: Runs, job: Job, output: Output, *, embedded: bool = False, check: Callable[[], None] = lambda: None
) -> ExitCode:
    """Submit, see it through, close with the summary."""
    run_id, ended = await execute(
        runs, job, display(output), submitted=lambda run_id: output.note(f"run {run_id} of job {job.name}"), check=check
    )
    if ended is None:
        if embedded:
            output.note("The embedded services end with this command: the run stops where it is.")
        else:
            output.note(f"The run goes on by itself. See it with `tailrace status {run_id}`.")
        return ExitCode.INTERRUPTED
    output.say(closing(*ended))
    output.data(ended.record)
    return exit_code(ended.record)
