"""Runs what the README tells people to type, against two small databases. ``make readme``; every command must exit with 0."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tailrace.embedded.runtime import Runtime

ROOT = Path(__file__).resolve().parent.parent
NOT_HERE = {"make test"}
"""Run by whoever runs this."""
TABLES = """
CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL, email text, born date, city text);
CREATE TABLE purchase (id bigint PRIMARY KEY, customer integer NOT NULL REFERENCES customer, amount numeric(10,2) NOT NULL);
"""
ROWS = """
INSERT INTO customer SELECT i, 'Ann Example ' || i, 'ann' || i || '@mail.test', DATE '1980-01-01' + i, 'Springfield'
FROM generate_series(1, 500) i;
INSERT INTO purchase SELECT i, 1 + i % 500, i FROM generate_series(1, 2000) i;
"""


def blocks(language: str) -> list[str]:
    """Fenced blocks of that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def links() -> list[str]:
    """Relative link targets."""
    return [target for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()) if "://" not in target]


def main() -> int:
    """Check the links, then run the commands in order."""
    missing = [target for target in links() if not (ROOT / target).exists()]
    if missing:
        print(f"README links to what is not there: {missing}")
        return 1
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.strip() and line not in NOT_HERE]
    with (
        tempfile.TemporaryDirectory() as folder,
        Runtime.in_temporary_directory(kafka={"TAILRACE_KAFKA": "unused:1"}) as runtime,
    ):
        (job,) = blocks("yaml")
        (Path(folder) / "job.yaml").write_text(job)
        (Path(folder) / ".venv").symlink_to(ROOT / ".venv")
        (Path(folder) / "Makefile").symlink_to(ROOT / "Makefile")
        databases = runtime.start_postgres("readme", fsync=False)
        for name, script in (("source", TABLES + ROWS), ("destination", TABLES)):
            databases.create_database(name)
            databases.run_sql(script, name)
        environment = os.environ | {
            "SOURCE_URL": databases.url("source"),
            "DESTINATION_URL": databases.url("destination"),
            "TAILRACE_MASK_SECRET": "a secret for the README",
        }
        environment.pop("TAILRACE_KAFKA", None)
        for command in commands:
            where = ROOT if command.startswith("make") else Path(folder)
            done = subprocess.run(
                ["bash", "-c", command], cwd=where, env=environment, capture_output=True, text=True, timeout=600
            )
            print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {command}", flush=True)
            if done.returncode != 0:
                print(done.stdout[-3000:], done.stderr[-3000:])
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
