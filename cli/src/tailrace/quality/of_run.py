"""The report of one run, as files named after it: a page for people, JSON for machines, figures for Prometheus."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from rich.markup import escape

from tailrace.console import Output
from tailrace.problem_lines import problem_lines
from tailrace.quality.assemble import wanted_of
from tailrace.quality.metrics_file import metrics_text
from tailrace.quality.model import QualityReport
from tailrace.quality.page import page
from tailrace.quality.produce import TAKEN_BACK, quality_of, write_whole
from tailrace.quality.view import quality_lines
from tailrace.runs import PublishedRecords, find
from tailrace.settings import CommandSettings
from tailrace_shared.errors import ExitCode, UsageError
from tailrace_shared.job.load import load_job
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka
from tailrace_shared.settings import kafka_settings, load_settings

ROWS: Final = 10_000
SEED: Final = 1
K: Final = 10
"""What `tailrace quality` takes where nothing else is asked for."""


def write_report_of(run: str, folder: Path, job_file: Path | None, held_out: list[str], output: Output) -> ExitCode:
    """Make a run's report and write its files. Raises UsageError for a run that is not known or has not loaded anything yet."""
    wanted = wanted_of(ROWS, SEED, held_out, [], [])
    if not folder.is_dir():
        raise UsageError("report.file", f"there is no folder {folder}", "Make it, or name another one with -o.")
    named, job = asyncio.run(_job_of(run)) if job_file is None else (run, load_job(job_file))
    problems, found = asyncio.run(quality_of(job, [], wanted, K, named, output))
    if found is None:
        output.data({"problems": [problem.model_dump(mode="json") for problem in problems]})
        output.say(*problem_lines(problems), "[bold red]the job cannot be planned any more[/bold red]")
        return ExitCode.REFUSED
    files = [folder / f"tailrace-{found.run.run if found.run else run}.{end}" for end in ("html", "json", "prom")]
    for path, text in zip(files, (page(found), found.model_dump_json(indent=2), metrics_text(found)), strict=True):
        write_whole(path, text)
    output.data(found)
    output.say(*_run_lines(found), *quality_lines(found), f"wrote {', '.join(map(str, files))}")
    failed = found.verdict == "fail" or (found.run is not None and found.run.state in TAKEN_BACK)
    return ExitCode.FAILED if failed else ExitCode.OK


async def _job_of(run: str) -> tuple[str, Job]:
    """A run's whole id and its job, as its published record has them."""
    records = PublishedRecords(Kafka(kafka_settings()), load_settings(CommandSettings).namespace)
    record = find(await records.latest(), run)
    return record.run, record.job


def _run_lines(found: QualityReport) -> list[str]:
    run = found.run
    if run is None:
        return []
    held = sum(check.passed for check in run.checks)
    lines = [f"run {run.run} of the job {found.job}: {run.state}, {held} of {len(run.checks)} checks hold"]
    lines += [
        f"[red]does not hold[/red] {escape(check.name)}: {escape(check.detail)}"
        for check in run.checks
        if not check.passed
    ]
    lines += [f"[red]{escape(run.why)}[/red]"] if run.why else []
    if run.later:
        lines.append(
            f"[yellow]run {run.later} has loaded this destination since: its rows may be what is compared[/yellow]"
        )
    return lines
