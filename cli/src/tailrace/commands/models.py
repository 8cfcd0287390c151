"""``tailrace models``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from tailrace.commands.options import AsJson, JobFile
from tailrace.console import Output, number, size
from tailrace_shared.errors import UsageError
from tailrace_shared.job.load import load_job


def models(
    job_file: JobFile,
    model: Annotated[
        str,
        typer.Argument(metavar="[MODEL]", help="Digest of one, or its beginning: what is in it.", show_default=False),
    ] = "",
    to: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write that model to a file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models that the job's destination keeps, or show what is in one.

    A job draws from a saved model, without learning anew, when its table says `train: {model: DIGEST}`.

    Example: [bold]tailrace models job.yaml 3f2a -o customers.safetensors[/bold]
    """
    from tailrace.model_store import described, one_of, saved

    output = Output(as_json=as_json)
    if to is not None and not model:
        raise UsageError("models.unknown", "-o writes one model, and none is named", "Name one by its digest.")
    found = asyncio.run(saved(load_job(job_file), model))
    if not model:
        output.data(
            [{**described(m.artefact), "run": m.run, "job": m.job, "made_at": m.made_at.isoformat()} for m in found]
        )
        output.say(_list(found) if found else "no model is saved in this destination")
        return
    chosen = one_of(found, model)
    told = described(chosen.artefact)
    output.data(told)
    output.say(*inside(told))
    if to is not None:
        try:
            to.write_bytes(chosen.artefact.data)
        except OSError as error:
            raise UsageError("models.file", f"{to} cannot be written: {error.strerror}", "Name another file.") from None
        output.note(f"wrote {to}, {size(len(chosen.artefact.data))}")


def _list(found: list[Any]) -> Table:
    from tailrace.model_store import described, headers_of

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("model", "table", "made", "learned from", "columns", "protection", "bytes"):
        table.add_column(name)
    for saved in found:
        told, header = described(saved.artefact), headers_of(saved.artefact)[0]
        sides = [told, *([told["events"]] if "events" in told else [])]
        table.add_row(
            saved.digest[:12],
            escape(" and ".join(side["table"] for side in sides)),
            f"{saved.made_at:%Y-%m-%d %H:%M}",
            " + ".join(number(side["training"]["rows"] + side["training"]["held_out"]) for side in sides) + " rows",
            " + ".join(str(len(side["columns"])) for side in sides),
            f"k {header.privacy.k}" + (f", ε {header.privacy.epsilon:g}" if header.privacy.epsilon is not None else ""),
            size(len(saved.artefact.data)),
        )
    return table


def inside(told: dict[str, Any]) -> list[Any]:
    """A model in words."""
    training, privacy = told["training"], told["privacy"]
    rare = (
        "drawn again among the others" if privacy["rare"] == "resample" else f"replaced by {privacy['replacement']!r}"
    )
    return [
        f"[bold]{told['digest']}[/bold]",
        f"{escape(told['table'])}, {size(told['bytes'])}, by release {told['version']}",
        f"learned from {number(training['rows'])} rows in {training['epochs']} epochs" + _losses(training),
        f"{privacy['k']} distinct entities or more behind everything that is kept; rare categories are {escape(rare)}",
        *_guarantee(privacy, training),
        _columns(told["columns"]),
        *(_events(told["events"]) if "events" in told else ()),
    ]


def _events(told: dict[str, Any]) -> list[Any]:
    """What belongs to the rows of the first table."""
    training, order = told["training"], f"in order of {told['order']}" if told["order"] else "in no order"
    return [
        f"with its events {escape(told['table'])}, {escape(order)}, {number(told['length_max'])} at most of one: "
        f"learned from {number(training['rows'])} in {training['epochs']} epochs" + _losses(training),
        _columns(told["columns"]),
    ]


def _columns(columns: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("column", "type", "form", "kept"):
        table.add_column(name)
    for column in columns:
        table.add_row(
            *(escape(str(cell)) for cell in (column["name"], column["type"], column["form"], column["kept"] or ""))
        )
    return table


def _losses(training: dict[str, Any]) -> str:
    if training.get("account"):
        return "; none is held out and no loss told: either would cost a part of the guarantee"
    return (
        f", {number(training['held_out'])} held out: "
        f"loss {training['loss']:.3f}, of the held out ones {training['held_out_loss']:.3f} nats per row"
    )


def _guarantee(privacy: dict[str, Any], training: dict[str, Any]) -> list[str]:
    """What differential privacy was asked for, and how it was spent."""
    if privacy["epsilon"] is None:
        return []
    told, account = (
        [f"differentially private: ε {privacy['epsilon']:g}, δ {privacy['delta']:g}"],
        training.get("account"),
    )
    if account:
        told.append(
            f"sampling rate {account['sampling_rate']:.3g} in {number(account['steps'])} steps, noise {account['noise']:.2f}; "
            f"histograms of {account['histogram_units']:g} units, noise {account['histogram_noise']:.2f}"
        )
    return ["; ".join(told)]
