"""``tailrace resync``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from tailrace.commands.options import AsJson, NoWait, RunName
from tailrace.console import Output
from tailrace.follow import LeftAlone, Until
from tailrace.operating import BEFORE_LOADING, continuous_run, require_not_over, see_to_it, told
from tailrace.runs import connect
from tailrace.settings import CommandSettings
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.generators import GeneratorSpec, parse_rule
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import ResyncRequested, RunRecord, TableProgress
from tailrace_shared.settings import kafka_settings, load_settings


def resync(
    run: RunName,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="The table, as `schema.table`.")],
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=GENERATOR", help="Rule for a column that has appeared; may be given several times."
        ),
    ] = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Load one table of a continuous run again while the source goes on.

    For a table in quarantine, one that was changed behind Tailrace's back, or a new one that the job's patterns name. Waits until
    it is loaded and follows again; capture drains on meanwhile. Ends with 0 then, with 1 where it failed or the run has ended.

    Example: [bold]tailrace resync 01JDC9 public.customer --rule nickname=mock.first_name[/bold]
    """
    rules = rules_of(rule or [])
    raise typer.Exit(asyncio.run(_resync(run, table, rules, Output(as_json=as_json), wait=not no_wait)))


def rules_of(given: Sequence[str]) -> dict[str, GeneratorSpec]:
    """Rules by column from ``column=generator``. Raises UsageError (``resync.rule``, and of a generator that there is not)."""
    found = {}
    for text in given:
        column, equals, generator = text.partition("=")
        if not column or not equals:
            raise UsageError(
                "resync.rule", f"{text!r} is no rule", "Write COLUMN=GENERATOR, such as nickname=mask.text."
            )
        found[column] = parse_rule(generator)
    return found


async def _resync(run: str, table: str, rules: dict[str, GeneratorSpec], output: Output, *, wait: bool) -> ExitCode:
    async with connect(Kafka(kafka_settings()), load_settings(CommandSettings).namespace) as runs:
        record = continuous_run(await runs.latest(), run)
        require_not_over(record)
        before = _known(record, table)
        if record.state in BEFORE_LOADING or record.state == "stopping":
            raise UsageError(
                "run.not-streaming",
                f"run {record.run} is {record.state}: it does not follow its tables",
                f"See `tailrace status {record.run}`; a table can be loaded again while the run follows its source.",
            )
        if before is None:
            output.note(f"{table} is none of the run's tables yet; it is added if the job's patterns name it.")
        asked = ResyncRequested.model_validate({"run": record.run, "table": table, "columns": rules})
        try:
            found = await see_to_it(
                runs, record, asked, output, loaded_again(table, before),
                wait=wait, asked=f"a resync of {table}",
            )  # fmt: skip
        except LeftAlone:
            return ExitCode.INTERRUPTED
        if found is None:
            return ExitCode.OK
        now = _table(found, table)
        if now is not None and not found.terminal:
            output.say(f"{table}: {now.state}" + (f", {now.why}" if now.why else ""))
        return told(found, output, good=now is not None and now.state == "loaded" and not found.terminal)


def loaded_again(table: str, before: TableProgress | None) -> Until:
    """Whether the table has been loaded once more since, or given up again. For the records of one run in their order."""
    loads, why = (before.load, before.why) if before is not None else (-1, "")
    begun = False

    def over(record: RunRecord) -> bool:
        nonlocal begun
        now = _table(record, table)
        if now is None:
            return False
        begun = begun or now.load > loads or now.state == "resync"
        if now.state == "quarantined":
            return (begun or now.why != why) and record.resync is None
        return now.state == "loaded" and now.load > loads

    return over


def _known(record: RunRecord, table: str) -> TableProgress | None:
    """The table, where it is one of the run's. Raises UsageError for one that can never be."""
    schema, _, name = table.partition(".")
    if not name or schema not in record.job.schemas:
        raise UsageError(
            "run.unknown-table",
            f"run {record.run} has no table {table}",
            f"Name it as schema.table; the job's schemas are {', '.join(record.job.schemas)}.",
        )
    return _table(record, table)


def _table(record: RunRecord, table: str) -> TableProgress | None:
    return next((t for t in record.tables if t.name == table), None)
