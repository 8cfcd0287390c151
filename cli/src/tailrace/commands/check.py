"""``tailrace check``."""

from __future__ import annotations

import asyncio

import typer

from tailrace.commands.options import AsJson, JobFile
from tailrace.console import Output
from tailrace_shared.job.load import load_job


def check(job_file: JobFile, as_json: AsJson = False) -> None:
    """Look at everything that a run of the job needs, before it runs. Changes nothing.

    Secrets by name, brokers and services, versions, snapshot, standby or pooler, privileges with the GRANT that is
    missing, other runs on the same tables, disk space where it can be known. Works without brokers, too. Ends with 0
    when nothing stands against a run, else with 2 (a variable), 4 (not reachable) or 3 (a run would be refused).

    Example: [bold]tailrace check job.yaml[/bold]
    """
    from tailrace.check import preflight
    from tailrace.check_findings import exit_code, findings_text

    output = Output(as_json=as_json)
    job = load_job(job_file)
    with output.busy("looking"):
        findings = asyncio.run(preflight(job))
    code = exit_code(findings)
    output.say(findings_text(findings))
    output.data({"ready": code == 0, "findings": [finding.model_dump(mode="json") for finding in findings]})
    raise typer.Exit(code)
