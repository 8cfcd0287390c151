"""``tailrace init``."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tailrace.console import Output
from tailrace_shared.errors import UsageError

if TYPE_CHECKING:
    from tailrace.init_draft import Draft
    from tailrace.init_rules import Preset
    from tailrace_shared.catalogue.model import Catalogue, TableName
    from tailrace_shared.job.spec import Job

PRESETS: Final[tuple[Preset, ...]] = ("deidentify", "mask", "mock")
SCRATCH: Final = "scratch"


def init(
    source: Annotated[
        str, typer.Option("--source", metavar="VARIABLE", help="Environment variable that holds the source's URL.")
    ],
    destination: Annotated[
        str | None,
        typer.Option(
            "--destination",
            metavar="VARIABLE",
            help="Environment variable that holds the destination's URL; without, the source's structure is assumed there.",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="deidentify: mock or mask what looks personal, duplicate the rest. mask: everything by its type. "
            "mock: mocks where names say what, masks elsewhere. scratch: every row made, none read.",
        ),
    ] = "deidentify",
    rows: Annotated[int, typer.Option("--rows", min=1, max=10**12, help="Preset scratch: rows per table.")] = 1000,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale",
            min=0.0,
            help="Preset scratch: rows in proportion to the source's (0.1: a tenth), where statistics tell them.",
        ),
    ] = None,
    schema: Annotated[
        list[str] | None, typer.Option("--schema", metavar="NAME", help="Schemas to carry; default: all. Repeatable.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="JOB.YAML", help="File to write; default: standard output.")
    ] = None,
    continuous: Annotated[
        bool,
        typer.Option("--continuous", help="The destination follows its source after the load (docs/continuous.md)."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Draft a job from two databases: every table and column with a generator, and why.

    Changes nothing. What is personal is guessed from names and types: no value is looked at, and every draft wants a review.
    Columns for which nothing safe fits are left without a rule, so that the plan stops and names them.

    Example: [bold]tailrace init --source SOURCE_URL --destination DESTINATION_URL -o job.yaml[/bold]
    """
    output = Output()
    chosen = None if preset == SCRATCH else _preset(preset)
    if to and to.exists() and not force:
        raise UsageError("init.file", f"{to} exists already", "Name another file, or add --force to write over it.")
    if chosen is None and continuous:
        raise UsageError(
            "init.preset", "made rows follow nothing: --continuous needs rows that are read", "Leave one of them out."
        )
    if chosen is None:
        text, said = asyncio.run(_scratch(source, destination, schema or [], rows, scale, output))
    else:
        draft, text = asyncio.run(_draft(source, destination, chosen, schema or [], output, continuous=continuous))
        undecided = sum(c.open for c in draft.choices.values())
        said = f"{len(draft.carried)} of {len(draft.scope)} tables travel, {undecided} columns to decide"
    if to is None:
        sys.stdout.write(text)
    else:
        try:
            to.write_text(text, "utf-8")
        except OSError as error:
            raise UsageError("init.file", f"{to} cannot be written: {error.strerror}", "Check the path.") from None
    output.note(said + (f"; written to {to}. Review it, then `tailrace plan {to}`." if to else ""))


def _preset(given: str) -> Preset:
    for known in PRESETS:
        if given == known:
            return known
    raise UsageError("init.preset", "there is no such preset", f"Use one of {', '.join((*PRESETS, SCRATCH))}.")


async def _draft(
    source: str, destination: str | None, preset: Preset, schemas: list[str], output: Output, *, continuous: bool
) -> tuple[Draft, str]:
    from tailrace.init_counted import settle_counted
    from tailrace.init_draft import begin
    from tailrace.init_read import read_ends, reference
    from tailrace.init_settle import gentler, settle
    from tailrace.init_write import job_text
    from tailrace_shared.plan.facts import SourceFacts, gather_facts
    from tailrace_shared.postgres import translated

    source_url = reference("--source", source)
    destination_url = reference("--destination", destination) if destination else None
    with output.busy("reading the catalogues"):
        async with read_ends(source_url, destination_url, schemas) as ends:
            draft = begin(
                preset,
                ends.source_catalogue,
                ends.destination_catalogue,
                name=job_name(ends.source_catalogue.database, preset),
                source_url=source_url,
                destination_url=destination_url or "${DESTINATION_URL}",
                schemas=ends.schemas,
            )
            if continuous:
                draft.head = draft.head.model_copy(update={"mode": "continuous"})
            if not draft.scope:
                raise _no_table(ends.schemas)
            settle(draft, SourceFacts())
            with translated():
                facts = await gather_facts(ends.source, draft.job, ends.source_catalogue)
                facts = await settle_counted(draft, facts, ends.source)
    draft = gentler(draft, facts)
    return draft, job_text(draft, _notes(draft, destination_given=destination is not None))


async def _scratch(
    source: str, destination: str | None, schemas: list[str], rows: int, scale: float | None, output: Output
) -> tuple[str, str]:
    """The file of the preset scratch, and what to say of it."""
    from tailrace.init_read import read_ends, reference
    from tailrace.scratch_draft import begin_scratch, settle_scratch
    from tailrace.scratch_write import scratch_text

    source_url = reference("--source", source)
    destination_url = reference("--destination", destination) if destination else None
    with output.busy("reading the catalogues"):
        async with read_ends(source_url, destination_url, schemas) as ends:
            draft = begin_scratch(
                ends.source_catalogue,
                ends.destination_catalogue,
                name=job_name(ends.source_catalogue.database, SCRATCH),
                source_url=source_url,
                destination_url=destination_url or "${DESTINATION_URL}",
                schemas=ends.schemas,
                rows=rows,
                scale=scale,
            )
    if not draft.tables:
        raise _no_table(ends.schemas)
    settle_scratch(draft)
    notes = _of_destination(draft.head, given=destination is not None)
    notes += _full(draft.destination, [name for name in draft.tables if name not in draft.modes])
    notes += [f"The plan will stop at {p.where}: {p.message}. {p.remedy}" for p in draft.left]
    notes += [f"Look at {p.where}: {p.message}." for p in draft.doubts]
    made = len(draft.tables) - len(draft.modes)
    return scratch_text(draft, notes), f"{made} of {len(draft.tables)} tables are made"


def _no_table(schemas: tuple[str, ...]) -> UsageError:
    return UsageError(
        "init.no-table",
        f"the source's role sees no table in {', '.join(schemas)}",
        "Check --schema, and that the role may use the schemas (docs/privileges.md).",
    )


def _full(destination: Catalogue, tables: Iterable[TableName]) -> list[str]:
    """A note about tables that hold rows."""
    full = [str(n) for n in tables if (t := destination.table(n)) and t.has_rows]
    if not full:
        return []
    return [
        f"{len(full)} tables of the destination hold rows ({', '.join(full[:3])}{' …' if len(full) > 3 else ''}): "
        "empty them, or set mode: truncate."
    ]


def job_name(database: str, preset: str) -> str:
    """A name that the job file takes: ``pagila-deidentify``."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{database}-{preset}".lower()).strip("-")
    return (slug if slug[:1].isalpha() else f"job-{slug}")[:63].rstrip("-")


def _of_destination(head: Job, *, given: bool) -> list[str]:
    from tailrace.init_create import MADE_NOTE

    if not given:
        return ["No destination was read: it is taken to have the source's structure."]
    return [MADE_NOTE] if head.destination.mode == "create" else []


def _notes(draft: Draft, *, destination_given: bool) -> list[str]:
    """What the draft cannot mend, each with its remedy."""
    return (
        _of_destination(draft.head, given=destination_given)
        + _full(draft.destination, draft.carried)
        + [f"The plan will stop at {p.where}: {p.message}. {p.remedy}" for p in draft.left]
    )
