"""``tailrace cancel``."""

from __future__ import annotations

import asyncio

import typer

from tailrace.commands.options import AsJson, NoWait, RunName
from tailrace.console import Output
from tailrace.follow import LeftAlone, watch
from tailrace.interrupts import Interrupts
from tailrace.live import display
from tailrace.runs import connect, find
from tailrace.settings import CommandSettings
from tailrace.summary import headline
from tailrace_shared.errors import ExitCode
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import CancelRequested, RunRecord
from tailrace_shared.settings import kafka_settings, load_settings


def cancel(run: RunName, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """Cancel a run: what it loaded is truncated, what it dropped is rebuilt.

    Waits until that is done. `tailrace stop` ends a continuous run and keeps its rows. Ends with 0 when the run is cancelled,
    with 1 when it had ended otherwise.

    Example: [bold]tailrace cancel 01JDC9[/bold]
    """
    output = Output(as_json=as_json)
    raise typer.Exit(asyncio.run(_cancel(run, output, wait=not no_wait)))


async def _cancel(run: str, output: Output, *, wait: bool) -> ExitCode:
    async with connect(Kafka(kafka_settings()), load_settings(CommandSettings).namespace) as runs:
        record = find(await runs.latest(), run)
        if not record.terminal:
            await runs.ask(CancelRequested(run=record.run))
            if not wait:
                output.say(f"asked for the cancellation of run {record.run}")
                output.data({"run": record.run, "cancel_requested": True})
                return ExitCode.OK
            with Interrupts() as interrupts, display(output) as shown:
                try:
                    record = (await watch(runs, record.run, shown, interrupts)).record
                except LeftAlone:
                    output.note(f"The cancellation goes on. See it with `tailrace status {record.run}`.")
                    return ExitCode.INTERRUPTED
        return _ended(record, output)


def _ended(record: RunRecord, output: Output) -> ExitCode:
    output.say(f"run {record.run}", headline(record))
    output.data(record)
    return ExitCode.OK if record.state == "cancelled" else ExitCode.FAILED
