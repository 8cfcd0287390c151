"""Saved models: those of a destination's schema ``tailrace``, and files. A model's bytes are tensors and JSON, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.postgres import connect, translated
from tailrace_shared.secrets import name_of, resolve
from tailrace_shared.synthesis import Artefact, Header, SequenceArtefact, load_model
from tailrace_shared.synthesis.sequence import HIDDEN

APPLICATION = "tailrace/models"


Model = Artefact | SequenceArtefact


class SavedModel(NamedTuple):
    """A model as a destination keeps it."""

    digest: str
    table: str
    job: str
    run: str
    made_at: datetime
    artefact: Model


async def saved(job: Job, asked: str = "", environ: Mapping[str, str] = os.environ) -> list[SavedModel]:
    """The models of the job's destination whose digest begins like this, newest first. Raises the mapped errors of the database."""
    reference = job.destination.url
    session = await connect(resolve(reference, environ), APPLICATION, variable=name_of(reference))
    try:
        with translated():
            if not await session.fetchval("SELECT pg_catalog.to_regclass('tailrace.saved_model') IS NOT NULL"):
                return []
            rows = await session.fetch(
                "SELECT digest, table_name, job, run, made_at, data FROM tailrace.saved_model WHERE starts_with(digest, $1) "
                "ORDER BY made_at DESC, digest",
                asked,
            )
    finally:
        await session.close()
    return [
        SavedModel(r["digest"], r["table_name"], r["job"], r["run"], r["made_at"], load_model(r["data"])) for r in rows
    ]


def one_of(models: list[SavedModel], asked: str) -> SavedModel:
    """The only one. Raises UsageError (``models.unknown``) where there is none, or several begin so."""
    if len(models) != 1:
        said = "no model begins so" if not models else f"{len(models)} models begin so"
        raise UsageError(
            "models.unknown", f"{asked}: {said} in this destination", "`tailrace models JOB.YAML` lists what there is."
        )
    return models[0]


def read_model(path: Path) -> Model:
    """A model from a file. Raises UsageError (``models.file``) where it cannot be read, TerminalError where it is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            "models.file",
            f"{path} cannot be read: {error.strerror}",
            "Write one with `tailrace models JOB.YAML MODEL -o FILE`.",
        ) from None
    return load_model(data)


def headers_of(artefact: Model) -> tuple[Header, ...]:
    """Of its table, or of the entities and their events."""
    return (artefact.header,) if isinstance(artefact, Artefact) else (artefact.entity.header, artefact.events.header)


def described(artefact: Model) -> dict[str, Any]:
    """What a model says of itself, for people and machines: no value of a column but its number of categories."""
    first = headers_of(artefact)[0]
    told = {
        "digest": artefact.digest,
        "table": first.table,
        "bytes": len(artefact.data),
        "format": first.format,
        "version": first.version,
        "privacy": first.privacy.model_dump(),
        **_learned(first),
    }
    if isinstance(artefact, SequenceArtefact):
        events, timeline = artefact.events.header, artefact.header.timeline
        told["events"] = {
            "table": events.table,
            "order": timeline.column if timeline else None,
            "length_max": artefact.header.length_max,
            **_learned(events),
        }
    return told


def _learned(header: Header) -> dict[str, Any]:
    columns = []
    for column in header.columns:
        kept = getattr(column, "labels", None) or getattr(column, "patterns", None) or ()
        for name, kind in zip(column.columns, column.types, strict=True):
            if name not in HIDDEN:
                columns.append(
                    {"name": name, "type": kind.name, "form": column.form, "kept": len(kept), "nulls": column.nulls}
                )
    return {"training": header.training.model_dump(), "columns": columns}
