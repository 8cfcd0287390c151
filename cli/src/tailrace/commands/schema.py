"""``tailrace schema``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer


class Kind(StrEnum):
    """What has a schema."""

    JOB = "job"
    PLAN = "plan"
    REPORT = "report"
    QUALITY = "quality"


def schema(
    kind: Annotated[
        Kind, typer.Argument(help="What to describe: job files, `plan --json`, reports, `quality --json`.")
    ] = Kind.JOB,
) -> None:
    """Print the JSON Schema of job files, for editors; or of what `plan --json`, `verify --report` and `quality --json` write.

    Example: [bold]tailrace schema > job.schema.json[/bold], and in the job file's first line
    [bold]# yaml-language-server: $schema=job.schema.json[/bold]
    """
    typer.echo(json.dumps(_schema(kind), indent=2, ensure_ascii=False))


def _schema(kind: Kind) -> dict[str, Any]:
    if kind is Kind.PLAN:
        from tailrace.plan_document import PlanDocument

        return PlanDocument.model_json_schema(mode="serialization")
    if kind is Kind.REPORT:
        from tailrace.report import Report

        return Report.model_json_schema(mode="serialization")
    if kind is Kind.QUALITY:
        from tailrace.quality.model import QualityReport

        return QualityReport.model_json_schema(mode="serialization")
    from tailrace_shared.job.schema import json_schema

    return json_schema()
