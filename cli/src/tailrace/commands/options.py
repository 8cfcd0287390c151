"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JobFile = Annotated[Path, typer.Argument(help="The job file (YAML).", metavar="JOB.YAML", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, or the beginning or end of it.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Ask for it and return at once.")]
