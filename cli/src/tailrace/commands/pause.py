"""``tailrace pause``."""

from __future__ import annotations

import asyncio

import typer

from tailrace.commands.options import AsJson, NoWait, RunName
from tailrace.console import Output
from tailrace.follow import LeftAlone
from tailrace.operating import BEFORE_LOADING, continuous_run, require_not_over, see_to_it, told
from tailrace.runs import connect
from tailrace.settings import CommandSettings
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import PauseRequested
from tailrace_shared.settings import kafka_settings, load_settings


def pause(run: RunName, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """Hold a continuous run: its destination stays as it is, its source's changes wait on Kafka.

    Waits until it is held; what is being applied is finished first. Capture goes on, so that the source keeps no WAL, up to the
    job's `continuous.disk_bytes`. Ends with 0 when the run is paused, with 1 when it has ended.

    Example: [bold]tailrace pause 01JDC9[/bold]
    """
    raise typer.Exit(asyncio.run(_pause(run, Output(as_json=as_json), wait=not no_wait)))


async def _pause(run: str, output: Output, *, wait: bool) -> ExitCode:
    async with connect(Kafka(kafka_settings()), load_settings(CommandSettings).namespace) as runs:
        record = continuous_run(await runs.latest(), run)
        require_not_over(record)
        if record.state in BEFORE_LOADING or record.state == "stopping":
            raise UsageError(
                "run.not-streaming",
                f"run {record.run} is {record.state}, there is nothing to pause",
                f"See `tailrace status {record.run}`; it can be paused once it loads.",
            )
        if record.state == "paused":
            return told(record, output, good=True)
        try:
            found = await see_to_it(
                runs, record, PauseRequested(run=record.run), output, lambda r: r.state == "paused", wait=wait, asked="a pause"
            )  # fmt: skip
        except LeftAlone:
            return ExitCode.INTERRUPTED
        return ExitCode.OK if found is None else told(found, output, good=found.state == "paused")
