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
from tailrace.follow import LeftAlone, watch
from tailrace.interrupts import Interrupts
from tailrace.live import display
from tailrace.operating import running
from tailrace.runs import Runs, connect
from tailrace.settings import CommandSettings
from tailrace.summary import closing, exit_code
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.job.load import load_job
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import RunRecord
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

    A job with `mode: continuous` goes on following its source: Ctrl-C leaves it running, `tailrace stop` ends it. Where it runs
    already it is followed, not started again. With --embedded, Ctrl-C stops it in good order.

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
            there = await _running(runs, job, output)
            run_id = await runs.submit(job) if there is None else there.run
            output.say(run_id)
            output.data({"run": run_id} if there is None else {"run": run_id, "already_running": True})
            return ExitCode.OK
        return await _follow(runs, job, output)


async def _follow(
    runs: Runs, job: Job, output: Output, *, embedded: bool = False, check: Callable[[], None] = lambda: None
) -> ExitCode:
    """Submit, see it through, close with the summary."""
    there = await _running(runs, job, output)
    if there is not None:
        return await _join(runs, there, output)
    run_id, ended = await execute(
        runs, job, display(output), submitted=lambda run_id: output.note(f"run {run_id} of job {job.name}"), check=check,
        embedded=embedded,
    )  # fmt: skip
    if ended is None:
        if embedded and job.mode == "continuous":
            output.note(
                "The embedded services end with this command: the run stops where it is, and its slot may be left in the source. "
                "`tailrace check` lists what is left, with the statements that remove it."
            )
        elif embedded:
            output.note("The embedded services end with this command: the run stops where it is.")
        else:
            output.note(_goes_on(run_id, job))
        return ExitCode.INTERRUPTED
    output.say(closing(*ended))
    output.data(ended.record)
    return exit_code(ended.record)


async def _running(runs: Runs, job: Job, output: Output) -> RunRecord | None:
    """The run that follows the job's source already, and says so."""
    if job.mode != "continuous":
        return None
    there = running(await runs.latest(), job)
    if there is not None:
        output.note(f"job {job.name} is already running: run {there.run}, {there.state}")
        if there.job != job:
            output.note(
                f"The job file differs from what that run was started with. To apply it: `tailrace stop {there.run}`, then run."
            )
    return there


async def _join(runs: Runs, there: RunRecord, output: Output) -> ExitCode:
    """Follow a run that somebody else has started: Ctrl-C leaves it alone."""
    with Interrupts() as interrupts, display(output) as shown:
        try:
            ended = await watch(runs, there.run, shown, interrupts)
        except LeftAlone:
            output.note(_goes_on(there.run, there.job))
            return ExitCode.INTERRUPTED
    output.say(closing(*ended))
    output.data(ended.record)
    return exit_code(ended.record)


def _goes_on(run: str, job: Job) -> str:
    """How to go on with a run that is left to itself."""
    if job.mode == "continuous":
        return (
            f"The run goes on by itself. `tailrace status {run}` shows it, `tailrace run` of the same job follows it again, "
            f"`tailrace stop {run}` ends it and keeps its rows."
        )
    return f"The run goes on by itself. See it with `tailrace status {run}`."
