"""The report of a live comparison: what was compared at which point, and what came of it. It holds no value of a row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from tailrace.live_verification import equal
from tailrace.report import job_digest
from tailrace_shared import __version__
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Check, ComparisonProgress, LeftOut, RunRecord
from tailrace_shared.types import Frozen


class LiveReport(Frozen):
    """What ``tailrace verify --live --report`` writes, inside of the envelope with the signature."""

    format: Literal["tailrace-live-report-1"] = "tailrace-live-report-1"
    made_at: str
    """UTC, ISO 8601."""
    release: str = __version__
    job: str
    job_digest: str
    run: str
    attempt: int
    plan_digest: str
    same_job: bool
    """The run runs the very job that this report was made with."""
    comparison: int
    """Number of the comparison in its run."""
    point: str
    """Position in the source's WAL: both sides were compared with everything that was committed below."""
    cut_at: str
    """When the destination held exactly that."""
    passed: bool
    """Something was compared, and all of it was the same."""
    checks: tuple[Check, ...]
    left_out: tuple[LeftOut, ...]


def live_report(job: Job, record: RunRecord, made: ComparisonProgress) -> LiveReport:
    """The report of a comparison that is done."""
    return LiveReport(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        job=job.name,
        job_digest=job_digest(job),
        run=record.run,
        attempt=record.attempt,
        plan_digest=record.revision or record.digest,
        same_job=job_digest(record.job) == job_digest(job),
        comparison=made.number,
        point=made.point,
        cut_at=made.cut_at.isoformat() if made.cut_at else "",
        passed=equal(made),
        checks=made.checks,
        left_out=made.left_out,
    )
