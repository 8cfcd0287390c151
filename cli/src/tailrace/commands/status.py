"""``tailrace status``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from tailrace.commands.options import AsJson
from tailrace.console import Output, duration, number
from tailrace.live import following, panel
from tailrace.progress import Progress, stage_rows
from tailrace.runs import connect, find
from tailrace.settings import CommandSettings
from tailrace.summary import STATE_STYLE, closing, idle_lines, loss_lines, run_seconds, table_rows
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import RunRecord
from tailrace_shared.settings import kafka_settings, load_settings


def status(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="Id of a run, or the beginning or end of it; without, all runs."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs, or show one in detail.

    Example: [bold]tailrace status 01JDC9[/bold]
    """
    output = Output(as_json=as_json)
    records, foreign = asyncio.run(_latest())
    if foreign:
        output.say(_other_release(foreign))
    if run is not None:
        record = find(records, run)
        output.data(record)
        _detail(record, output)
        return
    newest_last = [records[key] for key in sorted(records)]
    output.data([record.model_dump(mode="json") for record in newest_last])
    output.say(_list(newest_last) if newest_last else "no runs yet: `tailrace run job.yaml` starts one")


async def _latest() -> tuple[dict[str, RunRecord], set[str]]:
    """Runs, and ids of those whose records are of a release with another format."""
    async with connect(Kafka(kafka_settings()), load_settings(CommandSettings).namespace) as runs:
        return await runs.latest(), runs.foreign


def _other_release(foreign: set[str]) -> str:
    count = "1 run is" if len(foreign) == 1 else f"{len(foreign)} runs are"
    named = ", ".join(escape(run) for run in sorted(foreign)[-3:])
    return f"[yellow]{count} led by another release ({named}): use the command of that release[/yellow]"


def _list(records: list[RunRecord]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("run", "job", "state", "rows loaded", "time", "submitted"):
        table.add_column(name, justify="right" if name in ("rows loaded", "time") else "left", no_wrap=name == "run")
    for record in records:
        state = "queued" if record.queued else record.state
        why = record.failure.message if record.failure else record.waiting_for
        said = "; ".join(part for part in (following(record), why) if part)
        shown = f"[{STATE_STYLE.get(state, 'cyan')}]{state}[/]" + (f"  {escape(said)}" if said else "")
        table.add_row(
            record.run,
            escape(record.job.name),
            shown,
            number(stage_rows(record)["loaded"]),
            duration(run_seconds(record)),
            f"{record.submitted_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        )
    return table


def _detail(record: RunRecord, output: Output) -> None:
    output.say(
        f"run {record.run} of job [bold]{escape(record.job.name)}[/bold], submitted {record.submitted_at:%F %T} UTC"
    )
    if record.terminal:
        output.say(closing(record))
        return
    age = (datetime.now(UTC) - record.updated_at).total_seconds()
    output.say(panel(Progress(-run_seconds(record)).view(record, 0.0)))
    if record.tables:
        output.say(table_rows(record))
    for line in (*idle_lines(record), *loss_lines(record)):
        output.say(line)
    output.say(f"leader {record.leader or 'none yet'}, last news {duration(max(0.0, age))} ago")
