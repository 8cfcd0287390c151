"""The report of a verification: what was looked at, what came of it, how each column is protected. It holds no value of a row.

Its fields are integers, strings and truth values only, so that there is one way to write it down. The model is the reference;
``docs/report.md`` explains it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from tailrace.planning import Databases
from tailrace.signature import sealed
from tailrace_shared import __version__
from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Check
from tailrace_shared.plan.model import Plan
from tailrace_shared.types import Frozen
from tailrace_shared.verify.digest import FORMAT as DIGEST_FORMAT
from tailrace_shared.verify.digest import keyed, overall_digest

REPORT_BYTES_MAX: Final = 256 << 20
"""Of a file that is read as a report."""


class Server(Frozen):
    """One end of the job."""

    system: str
    """system_identifier of its cluster; empty where the role may not ask."""
    database: str
    version: int
    """server_version_num."""


class Protection(Frozen):
    """How one column travelled."""

    table: str
    column: str
    generator: str
    masked: bool
    """No original value may arrive in it."""
    why: str
    """Where the rule comes from."""


class DigestReport(Frozen):
    """The determinism digest."""

    format: str = DIGEST_FORMAT
    keyed: bool
    """With the report key: comparable among holders of the key only."""
    overall: str
    tables: dict[str, str]


class RunReport(Frozen):
    """The run that the report belongs to, as the destination's state table has it."""

    run: str
    state: str
    attempt: int
    plan_digest: str
    submitted_at: str
    finished_at: str
    same_job: bool
    """It ran the very job that this report was made with."""
    checks: tuple[Check, ...]
    """Of its own verification."""


class Report(Frozen):
    """What ``tailrace verify --report`` writes, inside of the envelope with the signature."""

    format: Literal["tailrace-report-1"] = "tailrace-report-1"
    made_at: str
    """UTC, ISO 8601."""
    release: str = __version__
    job: str
    job_digest: str
    """SHA-256 of the job in its normal form; two files that mean the same have one digest."""
    source: Server
    destination: Server
    run: RunReport | None = None
    why_no_run: str = ""
    passed: bool
    checks: tuple[Check, ...]
    digest: DigestReport
    protection: tuple[Protection, ...]


def job_digest(job: Job) -> str:
    """As a plan has it."""
    return hashlib.sha256(job.model_dump_json().encode()).hexdigest()


def digest_report(tables: Mapping[str, str], key: bytes | None) -> DigestReport:
    """Tables' digests and the overall one, keyed where there is a key."""
    overall = overall_digest(tables)
    if key is None:
        return DigestReport(keyed=False, overall=overall, tables=dict(tables))
    return DigestReport(
        keyed=True, overall=keyed(overall, key), tables={name: keyed(one, key) for name, one in tables.items()}
    )


def make_report(
    job: Job,
    ends: Databases,
    plan: Plan,
    checks: Sequence[Check],
    digest: DigestReport,
    run: RunReport | None,
    *,
    why_no_run: str,
    made_at: str,
) -> Report:
    """The report. It passes when every check of today holds and, where a run is attached, all of the run's did."""
    held = all(check.passed for check in (*checks, *(run.checks if run else ())))
    sides = [
        Server(system=c.system_id, database=c.database, version=c.server_version)
        for c in (ends.source_catalogue, ends.destination_catalogue)
    ]
    return Report(
        made_at=made_at,
        job=job.name,
        job_digest=job_digest(job),
        source=sides[0],
        destination=sides[1],
        run=run,
        why_no_run=why_no_run,
        passed=held and (run is None or run.state == "done"),
        checks=tuple(checks),
        digest=digest,
        protection=tuple(
            Protection(
                table=str(table.name), column=c.name, generator=c.rule.generator, masked=c.masked, why=c.why
            )
            for table in plan.tables for c in table.columns
        ),
    )  # fmt: skip


def write_report(path: Path, report: Frozen, key: bytes | None) -> None:
    """Write the report in its envelope. Raises UsageError where the file cannot be written."""
    text = json.dumps(sealed(report.model_dump(mode="json"), key), indent=2, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(
            "report.file", f"the report cannot be written to {path} ({error.strerror})", "Name another path."
        ) from None


def require_writable(path: Path) -> None:
    """Raise UsageError, before anything is compared, for a path where no file can be written."""
    if path.is_dir() or not path.parent.is_dir():
        why = "is a folder" if path.is_dir() else "is in no folder that exists"
        raise UsageError("report.file", f"the report cannot be written: {path} {why}", "Name another path.")


def read_report(path: Path) -> dict[str, Any]:
    """A report's envelope as it is in the file. Raises UsageError for what is none."""
    try:
        if path.stat().st_size > REPORT_BYTES_MAX:
            raise UsageError("report.format", f"{path} is too large for a report", "Name the report's file.")
        found = json.loads(path.read_text("utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise UsageError("report.file", f"{path} cannot be read ({error.strerror})", "Check the path.") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UsageError(
            "report.format", f"{path} is no report of Tailrace", "Name a file that `verify --report` wrote."
        )
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a key that is given twice may see different reports."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)
