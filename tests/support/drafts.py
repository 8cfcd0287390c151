"""The command over a pair of databases: drafts, plans and previews."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tailrace.app import create_app
from tailrace.embedded.postgres import EmbeddedPostgres

SECRET = "a secret of more than sixteen characters"
RUN_SECONDS = 240


class Bench:
    """A source and a destination by name, and the command over them."""

    def __init__(self, source: EmbeddedPostgres, destination: EmbeddedPostgres, folder: Path) -> None:
        self.servers = {"source": source, "destination": destination}
        self.job = str(folder / "job.yaml")
        self.environment = {"TAILRACE_MASK_SECRET": SECRET}

    def fill(self, name: str, dump: str, structure: str) -> None:
        """The databases of that name, from now on the ones that the command sees."""
        for side, script in (("source", dump + "\nANALYZE;"), ("destination", structure)):
            server = self.servers[side]
            server.create_database(name)
            server.run_sql(script, name)
            self.environment[f"{side.upper()}_URL"] = server.url(name)

    def tailrace(self, *arguments: str) -> Any:
        return CliRunner(env=self.environment).invoke(create_app(), list(arguments))

    def init(self, *options: str) -> str:
        """The drafted job."""
        ends = ("--source", "SOURCE_URL", "--destination", "${DESTINATION_URL}", "-o", self.job, "--force")
        result = self.tailrace("init", *ends, *options)
        assert result.exit_code == 0, result.output + result.stderr
        return Path(self.job).read_text()

    def plan(self) -> tuple[int, list[dict[str, str]]]:
        """Exit code and the errors."""
        result = self.tailrace("plan", self.job, "--json")
        return result.exit_code, [p for p in json.loads(result.stdout)["problems"] if p["severity"] == "error"]

    def preview(self, *options: str) -> dict[str, dict[str, Any]]:
        """Previews by table."""
        result = self.tailrace("preview", self.job, "--json", *options)
        assert result.exit_code == 0, result.output + result.stderr
        return {one["table"]: one for one in json.loads(result.stdout)["tables"]}

    def run(self, command: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command on the job in a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "tailrace", command, self.job, *options],
            env=os.environ | self.environment | environment,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
