"""The demo from the first process to the last word."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from tailrace.console import Output, duration
from tailrace.demo.compare import sample, side_by_side
from tailrace.demo.databases import DESTINATION, SOURCE, DemoDatabases, describe_databases, fill
from tailrace.demo.dump import job_text
from tailrace.embedded.runtime import Runtime, external_kafka
from tailrace.environment import MASK_SECRET
from tailrace.execute import execute
from tailrace.follow import Ended
from tailrace.interrupts import Interrupts
from tailrace.live import display
from tailrace.local import Installation, installation
from tailrace.runs import connect
from tailrace.summary import closing, exit_code
from tailrace_shared.errors import ExitCode
from tailrace_shared.job.load import parse_job
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka

_MASK_SECRET = "the demo's secret is no secret"  # noqa: S105
"""Fixed, so that everybody's demo shows the same rows; a real one comes from a vault."""
_CLUSTER = "demo"
SOURCE_URL = "TAILRACE_DEMO_SOURCE"
DESTINATION_URL = "TAILRACE_DEMO_DESTINATION"
CANARIES_OF = "DEMO_CANARIES"
"""The variables that the demo's job refers to."""
CANARIES = ("MARY.SMITH@sakilacustomer.org", "PATRICIA.JOHNSON@sakilacustomer.org")
"""Two customers of pagila, who are nobody."""

NEXT_STEPS = """\
Next:
  tailrace demo --keep               leaves both databases up, to look around in
  tailrace schema                    the JSON Schema of job files; docs/job-example.yaml is a commented one
  tailrace plan job.yaml             what a job of yours would do, and what would stop it; changes nothing
  tailrace run job.yaml --embedded   does it, with broker and services on this machine"""


def show(output: Output, *, keep: bool) -> ExitCode:
    """Run the demo; everything it started is stopped when it returns, whatever happened."""
    job = parse_job(job_text(), "demo/job.yaml")
    output.say(
        f"[bold]tailrace demo[/bold]: pagila, a DVD rental chain, goes from database [red]{SOURCE}[/red] to "
        f"[green]{DESTINATION}[/green]; customers and staff do not arrive as who they are."
    )
    with ExitStack() as stack:
        databases, here = started(output, job, stack)
        ended = asyncio.run(carry(output, job, here))
        if ended is None:
            return ExitCode.INTERRUPTED
        record = ended.record
        output.say(closing(*ended))
        if record.state == "failed":
            output.note(f"The services' logs are in {here.keep_logs()}.")
        if record.state == "done":
            output.say("", side_by_side(asyncio.run(sample(databases))))
        if keep and record.state != "cancelled":
            asyncio.run(_keep(output, databases, here))
        elif record.state == "done":
            output.say(NEXT_STEPS)
        return exit_code(record)


def started(
    output: Output,
    job: Job,
    stack: ExitStack,
    prepare: Callable[[DemoDatabases], None] = fill,
    *,
    replicas: Mapping[str, int] | None = None,
    what: str = "pagila",
) -> tuple[DemoDatabases, Installation]:
    """Databases, broker and services; ``stack`` stops them. ``prepare`` fills the databases, while the services start."""
    runtime = Runtime.in_temporary_directory(kafka=external_kafka())
    stack.callback(_stop, output, runtime)
    with _step(output, "starting PostgreSQL 18 and Apache Kafka"):
        runtime.start({_CLUSTER: {"fsync": False}})
    databases = describe_databases(runtime.databases[_CLUSTER])
    with _step(output, f"loading {what}; starting the services"), ThreadPoolExecutor(1) as pool:
        filled = pool.submit(prepare, databases)
        here = stack.enter_context(
            installation(job, replicas=replicas, environ=environment(databases), runtime=runtime)
        )
        filled.result()
    return databases, here


async def carry(output: Output, job: Job, here: Installation) -> Ended | None:
    """How the run ended; None when the person went away."""
    async with connect(Kafka(here.kafka), here.namespace) as runs:
        _, ended = await execute(runs, job, display(output), check=here.require_alive)
    return ended


async def _keep(output: Output, databases: DemoDatabases, here: Installation) -> None:
    """Print where everything is and wait for Ctrl-C."""
    urls = environment(databases) | here.runtime.kafka_settings | {"TAILRACE_NAMESPACE": here.namespace}
    output.say("[bold]Still running.[/bold] In another shell:")
    for name, value in urls.items():
        output.out.print(f"  export {name}={shlex.quote(value)}", markup=False, soft_wrap=True)
    output.say("  tailrace status", f"  psql ${DESTINATION_URL}", "[bold]Ctrl-C[/bold] stops and removes everything.")
    with Interrupts() as interrupts:
        await interrupts.changed.wait()


def environment(databases: DemoDatabases) -> dict[str, str]:
    """What the job's references stand for."""
    return {
        SOURCE_URL: databases.source_url,
        DESTINATION_URL: databases.destination_url,
        CANARIES_OF: "\n".join(CANARIES),
        MASK_SECRET: _MASK_SECRET,
    }


@contextmanager
def _step(output: Output, text: str) -> Iterator[None]:
    """A step that takes seconds, and how many it took."""
    began = time.monotonic()
    with output.busy(text):
        yield
    output.note(f"[dim]{duration(time.monotonic() - began):>8}[/dim]  {text}")


def _stop(output: Output, runtime: Runtime) -> None:
    with output.busy("stopping everything"):
        runtime.stop()
