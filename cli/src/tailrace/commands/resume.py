"""``tailrace resume``."""

from __future__ import annotations

import asyncio

import typer

from tailrace.commands.options import AsJson, NoWait, RunName
from tailrace.console import Output
from tailrace.follow import LeftAlone
from tailrace.operating import continuous_run, require_not_over, see_to_it, told
from tailrace.runs import connect
from tailrace.settings import CommandSettings
from tailrace_shared.errors import ExitCode
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import ResumeRequested, RunRecord
from tailrace_shared.settings import kafka_settings, load_settings


def resume(run: RunName, no_wait: NoWait = False, as_json: AsJson = False) -> None:
    """Let a paused run follow its source again, from where it was held.

    Also a run that a failure has paused, once what failed is put right. Waits until the run follows; catching up may take
    longer, `tailrace status` shows the lag. Ends with 0 when the run follows its source, with 1 when it has ended.

    Example: [bold]tailrace resume 01JDC9[/bold]
    """
    raise typer.Exit(asyncio.run(_resume(run, Output(as_json=as_json), wait=not no_wait)))


async def _resume(run: str, output: Output, *, wait: bool) -> ExitCode:
    async with connect(Kafka(kafka_settings()), load_settings(CommandSettings).namespace) as runs:
        record = continuous_run(await runs.latest(), run)
        require_not_over(record)
        if not _held(record):
            return told(record, output, good=True)
        try:
            found = await see_to_it(
                runs, record, ResumeRequested(run=record.run), output, lambda r: not _held(r), wait=wait, asked="a resumption"
            )  # fmt: skip
        except LeftAlone:
            return ExitCode.INTERRUPTED
        return ExitCode.OK if found is None else told(found, output, good=not found.terminal)


def _held(record: RunRecord) -> bool:
    return record.state == "paused" or record.pause_requested
