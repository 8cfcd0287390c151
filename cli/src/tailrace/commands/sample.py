"""``tailrace sample``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tailrace.commands.options import AsJson
from tailrace.console import Output, duration, number
from tailrace_shared.errors import UsageError
from tailrace_shared.synthesis import Artefact


def sample(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's file, as `tailrace models -o` writes it.")],
    rows: Annotated[int, typer.Option("--rows", min=0, max=10**12, help="How many rows.")],
    to: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write them: .parquet or .csv.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same model and seed give the same rows.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Draw rows from a saved model into a file; no database and no broker is needed.

    Of a model of entities and their events, so many entities; their events go to a second file, NAME-events.

    Example: [bold]tailrace sample customers.safetensors --rows 100000 -o customers.parquet[/bold]
    """
    import time

    from tailrace.model_store import headers_of, read_model

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
    began, table = time.monotonic(), headers_of(artefact)[0].table
    told: dict[str, Any] = {"model": artefact.digest, "table": table, "rows": rows, "seed": seed, "file": str(to)}
    with output.busy(f"drawing {number(rows)} rows of {table}"):
        if isinstance(artefact, Artefact):
            write_rows(artefact, seed, rows, to)
        else:
            beside = to.with_stem(f"{to.stem}-events")
            told |= {"events": write_pair(artefact, seed, rows, to, beside), "events_file": str(beside)}
    output.data(told)
    if "events" in told:
        output.note(f"wrote {number(told['events'])} events of them to {told['events_file']}")
    output.note(f"wrote {number(rows)} rows to {to} in {duration(time.monotonic() - began)}")
