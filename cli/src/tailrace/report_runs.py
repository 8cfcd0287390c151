"""The run that a report belongs to, read from the state tables in the destination: the truth, and no broker is needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import asyncpg
from pydantic import ValidationError

from tailrace.report import RunReport, job_digest
from tailrace_shared.errors import UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Check
from tailrace_shared.postgres import translated

_COLUMNS = "run, state, attempt, digest, submitted_at, finished_at, job, checks"
_LAST = f"SELECT {_COLUMNS} FROM tailrace.run WHERE state = 'done' AND job->>'name' = $1 ORDER BY run DESC LIMIT 1"
_NAMED = (
    f"SELECT {_COLUMNS} FROM tailrace.run WHERE run = $1 OR starts_with(run, $1) OR right(run, length($1)) = $1 "
    "ORDER BY run = $1 DESC LIMIT 2"
)

_AFTERMATH = """
SELECT failure, (SELECT max(run) FROM tailrace.run l WHERE l.run > $1 AND l.state IN ('done', 'streaming', 'paused')) AS later
FROM tailrace.run WHERE run = $1
"""


@dataclass(frozen=True)
class Aftermath:
    """What became of a run in its destination."""

    why: str = ""
    """Of its failure, in words."""
    later: str = ""
    """The last of the runs that have loaded this destination since."""


async def aftermath_of(connection: asyncpg.Connection, run: RunReport | None) -> Aftermath:
    """Why a run failed, and whether others have loaded the same destination since. Raises mapped PostgreSQL errors."""
    if run is None:
        return Aftermath()
    with translated():
        row = await connection.fetchrow(_AFTERMATH, run.run)
    failure = json.loads(row["failure"]) if row and row["failure"] else None
    return Aftermath(
        f"{failure['message']} ({failure['code']})" if failure else "", (row["later"] or "") if row else ""
    )


async def attached_run(connection: asyncpg.Connection, job: Job, asked: str | None) -> tuple[RunReport | None, str]:
    """The run that is ``asked`` for, else the job's last one that is done; and why there is none.

    Raises UsageError where one is asked for that the destination does not know, or knows several of.
    """
    rows: list[Any] = []
    why = f"no run of the job {job.name} is done in this destination"
    with translated():
        try:
            if await connection.fetchval("SELECT pg_catalog.to_regclass('tailrace.run') IS NOT NULL"):
                named = asked.strip().upper() if asked else ""
                rows = await connection.fetch(_NAMED if asked else _LAST, named if asked else job.name)
                if len(rows) > 1 and rows[0]["run"] != named:
                    raise UsageError(
                        "run.ambiguous", f"several runs are meant by {asked}", "Give more of the run's id."
                    )
            else:
                why = "no run has been in this destination"
        except asyncpg.InsufficientPrivilegeError:
            why = "the role may not read the schema tailrace in this destination"
    if rows:
        return _run(rows[0], job), ""
    if asked:
        raise UsageError(
            "run.unknown", f"no run {asked} is known in this destination: {why}", "`tailrace status` lists the runs."
        )
    return None, why


def _run(row: Any, job: Job) -> RunReport:
    try:
        same = job_digest(Job.model_validate_json(row["job"])) == job_digest(job)
    except ValidationError:  # of another release
        same = False
    return RunReport(
        run=row["run"],
        state=row["state"],
        attempt=row["attempt"],
        plan_digest=row["digest"],
        submitted_at=row["submitted_at"].isoformat(),
        finished_at=row["finished_at"].isoformat() if row["finished_at"] else "",
        same_job=same,
        checks=tuple(Check.model_validate(check) for check in json.loads(row["checks"])),
    )
