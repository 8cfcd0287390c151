"""``tailrace preview``."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.commands.options import AsJson, JobFile
from tailrace.console import Output
from tailrace.local import EMBEDDED_REMEDY
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.generators.suggest import suggest
from tailrace_shared.job.load import load_job
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import Plan, PlannedTable, Problem

if TYPE_CHECKING:
    from tailrace.preview_rows import Preview


def preview(
    job_file: JobFile,
    tables: Annotated[
        list[str] | None, typer.Option("--table", metavar="TABLE", help="Only this table. Repeatable.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, max=1000, help="Rows per table.")] = 3,
    after_only: Annotated[bool, typer.Option("--after-only", help="Do not show original values.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show rows before and after, side by side. Changes nothing.

    Plans, reads the first rows of each table and masks them here, with the code and the mask secret of a run.
    [bold]It prints original values[/bold], and is the only command that does: mind who sees this terminal and where
    its output goes, or add --after-only. Needs the source's and the destination's URL and the mask secret.

    Example: [bold]tailrace preview job.yaml --table public.customer --rows 5[/bold]
    """
    output = Output(as_json=as_json)
    job = load_job(job_file)
    _require_services()
    from tailrace.preview_view import preview_data, preview_table
    from tailrace.problem_lines import problem_lines

    problems, found = asyncio.run(_preview(job, tables or [], rows))
    if problems:
        output.data({"problems": [problem.model_dump(mode="json") for problem in problems]})
        output.say(*problem_lines(problems), "[bold red]the job cannot be planned[/bold red]")
        raise typer.Exit(ExitCode.REFUSED)
    output.data({"tables": [preview_data(one, after_only=after_only) for one in found]})
    for one in found:
        if one.table.events_of is not None:
            output.note(
                f"{one.table.name}: as events of another table, its rows are drawn by a model that a run learns"
            )
        elif one.table.learning is not None:
            output.note(
                f"{one.table.name}: its learned columns are not shown, a run learns the model that they are drawn from"
            )
        output.say(preview_table(one, after_only=after_only) if one.after else f"{one.table.name} has no row to show")


async def _preview(job: Job, tables: list[str], rows: int) -> tuple[list[Problem], list[Preview]]:
    from tailrace.environment import require
    from tailrace.planning import databases, plan_of
    from tailrace.preview_rows import preview
    from tailrace.verification import as_if_empty
    from tailrace_generator.fingerprints import mask_secret

    require((job.source.url, job.destination.url, job.secret), os.environ)
    secret = mask_secret(job)
    wanted = job if job.destination.mode == "create" else as_if_empty(job)
    async with databases(wanted) as ends:
        result = await plan_of(wanted, ends, whole=False)
        if result.plan is None:
            return [problem for problem in result.problems if problem.severity == "error"], []
        chosen = chosen_tables(result.plan, tables)
        return [], [await preview(ends.source, result.plan, table, secret, rows) for table in chosen]


def chosen_tables(plan: Plan, wanted: list[str]) -> list[PlannedTable]:
    """The tables asked for, by ``schema.table`` or by a name that only one schema has; all that travel when none is."""
    loaded = [table for table in plan.tables if table.mode != "truncate"]
    if not wanted:
        return loaded
    found = []
    for name in wanted:
        matching = [t for t in loaded if str(t.name) == name] or [t for t in loaded if t.name.name == name]
        if len(matching) != 1:
            what = "several schemas have a table" if matching else "the job carries no table"
            raise UsageError(
                "preview.table", f"{what} {name}", suggest(name, [str(t.name) for t in matching or loaded][:30])
            )
        found += matching
    return found


def _require_services() -> None:
    """Reader and generator are no dependency of the command alone."""
    try:
        import tailrace.preview_rows  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            "preview.services",
            f"preview masks with the services' own code, and {error.name} is not installed here",
            EMBEDDED_REMEDY,
        ) from None
