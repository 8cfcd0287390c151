"""Preflight of the source: version, snapshot, standby, and the rights that reading asks for."""

from __future__ import annotations

import re
from typing import Final

import asyncpg
from pydantic import SecretStr

from tailrace.check_findings import Findings
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.errors import ExitCode, TerminalError
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import PlannedTable, Problem
from tailrace_shared.plan.privileges import check_source as lacking_rights
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.ranges import leaves_of
from tailrace_shared.plan.scope import scope_of
from tailrace_shared.postgres import connect, translated
from tailrace_shared.secrets import name_of

NEWEST_TESTED: Final = 18
"""The newest major version that Tailrace is tested with."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_ID: Final = re.compile(r"[0-9A-Fa-f-]{1,64}")


async def check_source(
    job: Job, session: asyncpg.Connection, catalogue: Catalogue, url: SecretStr, found: Findings
) -> set[Problem]:
    """Everything about the source; returns the rights that it lacks, as planning would report them."""
    version_line(catalogue, found)
    with found.attempt("snapshot"):
        await _snapshot(job, session, url)
        found.ok("snapshot", "can be exported, and imported by another session")
    with found.attempt("standby"):
        if job.mode == "once":  # a source that is followed is asked for more
            await _standby(session, found)
    return _rights(job, catalogue, found)


def version_line(catalogue: Catalogue, found: Findings) -> None:
    """A version below 14 has failed before: its catalogue is not read."""
    major = catalogue.server_version // 10000
    if major > NEWEST_TESTED:
        found.warning(
            "version",
            f"PostgreSQL {major} is newer than what this release is tested with",
            f"Try it on a copy first, or use version 14 to {NEWEST_TESTED}.",
        )
    else:
        found.ok("version", f"PostgreSQL {major}.{catalogue.server_version % 10000}")


async def _snapshot(job: Job, session: asyncpg.Connection, url: SecretStr) -> None:
    """Export a snapshot and import it in a second session, as every reader but the first does."""
    await session.execute(_BEGIN)
    try:
        snapshot = await session.fetchval("SELECT pg_catalog.pg_export_snapshot()")
        if not _ID.fullmatch(snapshot):
            raise TerminalError("check.snapshot", "the source names its snapshots in an unknown way")
        second = await connect(url, "tailrace/check", variable=name_of(job.source.url))
        try:
            await second.execute(_BEGIN)
            await second.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        except (asyncpg.UndefinedObjectError, asyncpg.InvalidParameterValueError):
            raise TerminalError(
                "check.snapshot",
                "a second session does not find the snapshot of the first: the URL leads to more than one server",
                f"Name one server in {name_of(job.source.url)}, not a balancer of several.",
                exit_code=ExitCode.UNAVAILABLE,
            ) from None
        finally:
            second.terminate()
    finally:
        if not session.is_closed():
            with translated():
                await session.execute("ROLLBACK")


async def _standby(session: asyncpg.Connection, found: Findings) -> None:
    if not await session.fetchval("SELECT pg_catalog.pg_is_in_recovery()"):
        found.ok("standby", "a primary server")
    elif await session.fetchval("SELECT pg_catalog.current_setting('hot_standby_feedback') = 'on'"):
        found.ok("standby", "a hot standby with hot_standby_feedback: the primary keeps what the snapshot needs")
    else:
        found.warning(
            "standby",
            "a hot standby without hot_standby_feedback may cancel a long snapshot, and the run starts again",
            "Set hot_standby_feedback = on there, or raise max_standby_streaming_delay.",
        )


def _rights(job: Job, catalogue: Catalogue, found: Findings) -> set[Problem]:
    """USAGE, SELECT on every heap, and row security: what planning asks, of the source alone."""
    problems = Problems()
    planned = [
        PlannedTable(
            number=number,
            name=scoped.name,
            mode="carry" if scoped.loaded else "truncate",
            leaves=leaves_of(scoped.table),
            estimated_rows=scoped.table.rows,
        )
        for number, scoped in enumerate(scope_of(job, catalogue, Problems()).values())
    ]
    lacking_rights(planned, catalogue, problems)
    for problem in problems.all:
        found.refused(problem.where, problem.code, problem.message, problem.remedy)
    if not problems.all:
        read = sum(table.mode != "truncate" for table in planned)
        found.ok("privileges", f"may read {read} of {read} tables, and no policy hides rows")
    return set(problems.all)
