"""``tailrace schema``."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON Schema of job files, for editors.

    Example: [bold]tailrace schema > job.schema.json[/bold], and in the job file's first line
    [bold]# yaml-language-server: $schema=job.schema.json[/bold]
    """
    from tailrace_shared.job.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
