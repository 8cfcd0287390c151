"""``tailrace sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tailrace.commands.options import AsJson
from tailrace.console import Output, duration, number
from tailrace_shared.errors import UsageError


def sample(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's file, as `tailrace models -o` writes it.")],
    to: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write them: .parquet or .csv.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same model and seed give the same rows.")] = 1,
    rows: Annotated[
        int | None,
        typer.Option(
            "--rows", min=0, max=10**12, help="How many rows; with --seed-file, by default as many as it has."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="CONDITION",
            help="Only such rows: 'age>=18', 'sex=F,X', or one column beside another: 'begun<=ended'. May be repeated.",
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option("--weight", metavar="COLUMN=VALUE:N,…", help="Only these values, each so many times as often."),
    ] = None,
    fix: Annotated[
        list[str] | None, typer.Option("--fix", metavar="COLUMN=VALUE", help="This value in every row.")
    ] = None,
    seed_file: Annotated[
        Path | None,
        typer.Option(
            "--seed-file", metavar="FILE", help="Rows in some columns, .parquet or .csv, which the model completes."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw rows from a saved model into a file; no database and no broker is needed.

    Of a model of entities and their events, so many entities; their events go to a second file, NAME-events.

    Example: [bold]tailrace sample customers.safetensors --rows 100000 --where 'age>=18' -o customers.parquet[/bold]
    """
    import time

    from tailrace.model_store import headers_of, read_model
    from tailrace.sample_options import Asked, asked_of
    from tailrace_shared.synthesis import Artefact
    from tailrace_shared.synthesis.conditions import exact

    try:
        from tailrace.sampling import write_pair, write_rows
    except ModuleNotFoundError as error:
        raise UsageError(
            "preview.services",
            f"rows are drawn by the generator's own code, and {error.name} is not installed here",
            "pip install 'tailrace[embedded]' brings the services' code.",
        ) from None
    output = Output(as_json=as_json)
    artefact = read_model(model)
    header = headers_of(artefact)[0]
    names = [name for column in header.columns for name in column.columns]
    asked = asked_of(names, where=where or (), weight=weight or (), fix=fix or (), seed_file=seed_file)
    if rows is None:
        if seed_file is None or asked.seeds is None:
            raise UsageError("models.asked", "how many rows is not said", "Add --rows N, or --seed-file FILE.")
        rows = asked.seeds.num_rows
    if asked != Asked() and not isinstance(artefact, Artefact):
        raise UsageError(
            "models.asked", "a model of entities and their events takes no conditions, rules or seeds here",
            "Leave them out; a job's columns take weights and limits.",
        )  # fmt: skip
    if asked.columns and not exact(header, asked.columns):
        output.note(
            f"{', '.join(sorted(asked.columns))}: not drawn first by this model, and what is drawn before does not agree with it. "
            "A model that is learned under such conditions draws their columns first."
        )
    began, table = time.monotonic(), header.table
    told: dict[str, Any] = {"model": artefact.digest, "table": table, "rows": rows, "seed": seed, "file": str(to)}
    with output.busy(f"drawing {number(rows)} rows of {table}"):
        if isinstance(artefact, Artefact):
            held = write_rows(artefact, seed, rows, to, asked)
            if asked.rules:
                told |= {"drawn": held.drawn, "rejected": held.rejected}
        else:
            beside = to.with_stem(f"{to.stem}-events")
            told |= {"events": write_pair(artefact, seed, rows, to, beside), "events_file": str(beside)}
    output.data(told)
    if told.get("drawn"):
        output.note(
            f"{100 * told['rejected'] / told['drawn']:.1f} % of the drawn rows broke a rule and were drawn again"
        )
    if "events" in told:
        output.note(f"wrote {number(told['events'])} events of them to {told['events_file']}")
    output.note(f"wrote {number(rows)} rows to {to} in {duration(time.monotonic() - began)}")
