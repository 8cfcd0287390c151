"""``tailrace init``."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tailrace.console import Output
from tailrace_shared.errors import UsageError

if TYPE_CHECKING:
    from tailrace.init_draft import Draft
    from tailrace.init_rules import Preset

PRESETS: Final[tuple[Preset, ...]] = ("deidentify", "mask", "mock")


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
            "mock: mocks where names say what, masks elsewhere.",
        ),
    ] = "deidentify",
    schema: Annotated[
        list[str] | None, typer.Option("--schema", metavar="NAME", help="Schemas to carry; default: all. Repeatable.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="JOB.YAML", help="File to write; default: standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
) -> None:
    """Draft a job from two databases: every table and column with a generator, and why.

    Changes nothing. What is personal is guessed from names and types: no value is looked at, and every draft wants a review.
    Columns for which nothing safe fits are left without a rule, so that the plan stops and names them.

    Example: [bold]tailrace init --source SOURCE_URL --destination DESTINATION_URL -o job.yaml[/bold]
    """
    output = Output()
    chosen = _preset(preset)
    if to and to.exists() and not force:
        raise UsageError("init.file", f"{to} exists already", "Name another file, or add --force to write over it.")
    draft, text = asyncio.run(_draft(source, destination, chosen, schema or [], output))
    if to is None:
        sys.stdout.write(text)
    else:
        try:
            to.write_text(text, "utf-8")
        except OSError as error:
            raise UsageError("init.file", f"{to} cannot be written: {error.strerror}", "Check the path.") from None
    undecided = sum(c.open for c in draft.choices.values())
    output.note(
        f"{len(draft.carried)} of {len(draft.scope)} tables travel, {undecided} columns to decide"
        + (f"; written to {to}. Review it, then `tailrace plan {to}`." if to else "")
    )


def _preset(given: str) -> Preset:
    if given == "scratch":
        raise UsageError(
            "init.scratch",
            "preset scratch makes rows out of nothing, and this release has no generator that does",
            f"Use one of {', '.join(PRESETS)}.",
        )
    for known in PRESETS:
        if given == known:
            return known
    raise UsageError("init.preset", "there is no such preset", f"Use one of {', '.join(PRESETS)}.")


async def _draft(
    source: str, destination: str | None, preset: Preset, schemas: list[str], output: Output
) -> tuple[Draft, str]:
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
            if not draft.scope:
                raise UsageError(
                    "init.no-table",
                    f"the source's role sees no table in {', '.join(ends.schemas)}",
                    "Check --schema, and that the role may use the schemas (docs/privileges.md).",
                )
            settle(draft, SourceFacts())
            with translated():
                facts = await gather_facts(ends.source, draft.job, ends.source_catalogue)
    draft = gentler(settle(draft, facts), facts)
    return draft, job_text(draft, _notes(draft, destination_given=destination is not None))


def job_name(database: str, preset: str) -> str:
    """A name that the job file takes: ``pagila-deidentify``."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{database}-{preset}".lower()).strip("-")
    return (slug if slug[:1].isalpha() else f"job-{slug}")[:63].rstrip("-")


def _notes(draft: Draft, *, destination_given: bool) -> list[str]:
    """What the draft cannot mend, each with its remedy."""
    notes = [] if destination_given else ["No destination was read: it is taken to have the source's structure."]
    full = [str(n) for n in draft.carried if (t := draft.destination.table(n)) and t.has_rows]
    if full:
        notes.append(
            f"{len(full)} tables of the destination hold rows ({', '.join(full[:3])}{' …' if len(full) > 3 else ''}): "
            "empty them, or set mode: truncate."
        )
    return notes + [f"The plan will stop at {p.where}: {p.message}. {p.remedy}" for p in draft.left]
