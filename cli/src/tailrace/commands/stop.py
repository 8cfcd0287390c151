"""``tailrace stop``."""

from __future__ import annotations

import asyncio

import typer

from tailrace.commands.options import AsJson, NoWait, RunName
from tailrace.console import Output
from tailrace.follow import LeftAlone
from tailrace.operating import continuous_run, see_to_it, told
from tailrace.runs import connect
from tailrace.settings import CommandSettings
from tailrace_shared.errors import ExitCode
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import StopRequested
from tailrace_shared.settings import kafka_settings, load_settings


def stop(run: RunName, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """End a continuous run in good order: its rows stay.

    What the source has committed by now is applied, slot and publication are dropped, everything that was away is rebuilt, and
    the destination is verified; waits for all of that. `tailrace cancel` ends a run at once, and truncates what it has loaded.
    A run that still loads is stopped once it has loaded. Ends with 0 when all is verified, else with 1.

    Example: [bold]tailrace stop 01JDC9[/bold]
    """
    raise typer.Exit(asyncio.run(_stop(run, Output(as_json=as_json), wait=not no_wait)))


async def _stop(run: str, output: Output, *, wait: bool) -> ExitCode:
    async with connect(Kafka(kafka_settings()), load_settings(CommandSettings).namespace) as runs:
        record = continuous_run(await runs.latest(), run)
        if record.terminal:
            return told(record, output, good=record.state == "done")
        request = None if record.stop_requested else StopRequested(run=record.run)
        try:
            found = await see_to_it(runs, record, request, output, lambda r: r.terminal, wait=wait, asked="a stop")
        except LeftAlone:
            return ExitCode.INTERRUPTED
        return ExitCode.OK if found is None else told(found, output, good=found.state == "done")
