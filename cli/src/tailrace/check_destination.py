"""Preflight of the destination: writable, the rights of the job's mode, room on disk, and other runs on its tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import asyncpg

from tailrace.check_findings import Findings
from tailrace.check_source import version_line
from tailrace.console import size
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import TERMINAL_STATES
from tailrace_shared.plan.model import Problem
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import scope_of
from tailrace_shared.types import quote_ident

REPLICATION_ROLE_SINCE: Final = 150000
"""The first version where the right to set session_replication_role can be granted."""
ROOM_FACTOR: Final = 2.0
"""Heaps, indexes that are built again, and WAL take about twice what the source's heaps take."""
APPEND_ROOM_FACTOR: Final = 4.0
"""In the mode append rows are there twice until the run is done, in staging tables and in the tables, and were logged twice."""
_CLAIMS: Final = (
    "SELECT c.schema_name || '.' || c.name AS name, c.run, r.state FROM tailrace.claim c "
    "JOIN tailrace.run r ON r.run = c.run ORDER BY 1"
)


async def check_destination(
    job: Job,
    session: asyncpg.Connection,
    catalogue: Catalogue,
    source: Catalogue | None,
    lacking: Sequence[Problem] | None,
    found: Findings,
) -> None:
    """Everything about the destination; ``lacking`` are the rights that the plan misses, None where there is none."""
    version_line(catalogue, found)
    with found.attempt("writable"):
        await _writable(session, catalogue, found)
        await session.execute("SET default_transaction_read_only = on")  # the server holds us to it from here on
    _rights(catalogue, lacking, found)
    _replication_role(job, catalogue, found)
    carried = {str(name) for name in scope_of(job, source, Problems())} if source else None
    with found.attempt("other runs"):
        await _claims(session, carried, found)
    with found.attempt("disk"):
        await _disk(job, session, source, found)


async def _writable(session: asyncpg.Connection, catalogue: Catalogue, found: Findings) -> None:
    if await session.fetchval("SELECT pg_catalog.pg_is_in_recovery()"):
        found.refused(
            "writable", "postgres.read-only", "a standby server takes no writes", "Name the primary as destination."
        )
    elif await session.fetchval("SELECT pg_catalog.current_setting('default_transaction_read_only')") == "on":
        role, database = quote_ident(catalogue.role), quote_ident(catalogue.database)
        found.refused(
            "writable",
            "postgres.read-only",
            "default_transaction_read_only is on: the role may not write",
            f"ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = off;",
        )
    else:
        found.ok("writable", "a primary server that takes writes")


def _rights(catalogue: Catalogue, lacking: Sequence[Problem] | None, found: Findings) -> None:
    if lacking is not None:
        for problem in lacking:
            found.refused(problem.where, problem.code, problem.message, problem.remedy)
        if not lacking:
            found.ok("privileges", f"the role {catalogue.role} may do all that the plan asks for")
        return
    found.unknown("privileges", "on tables not known: they follow from the plan, which needs the source")
    if not catalogue.can_create:
        found.refused(
            "tailrace",
            "plan.privilege",
            f"the role {catalogue.role} may not make the schema tailrace, where runs keep their state",
            f"GRANT CREATE ON DATABASE {quote_ident(catalogue.database)} TO {quote_ident(catalogue.role)};",
        )


def _replication_role(job: Job, catalogue: Catalogue, found: Findings) -> None:
    """Asked for in respect mode only, and there by cycles only: the plan refuses those without it. A run that follows its source
    keeps foreign keys in force with it."""
    if catalogue.can_replicate:
        found.ok("session_replication_role", "may be set: triggers and foreign keys can be silenced")
    elif job.mode == "continuous" and job.destination.constraints != "respect":
        found.warning(
            "session_replication_role",
            "may not be set: foreign keys of carried tables are absent while the run follows, and come back when it is stopped",
            f"GRANT SET ON PARAMETER session_replication_role TO {quote_ident(catalogue.role)}; (15 and above)",
        )
    elif job.destination.constraints != "respect":
        found.ok("session_replication_role", f"is not needed with constraints: {job.destination.constraints}")
    elif catalogue.server_version < REPLICATION_ROLE_SINCE:
        found.warning(
            "session_replication_role",
            "only a superuser may set it before version 15: foreign keys that form a cycle do not load",
            "Use constraints: bypass where tables refer to each other.",
        )
    else:
        found.warning(
            "session_replication_role",
            "may not be set: foreign keys that form a cycle do not load",
            f"GRANT SET ON PARAMETER session_replication_role TO {quote_ident(catalogue.role)};",
        )


async def _claims(session: asyncpg.Connection, carried: set[str] | None, found: Findings) -> None:
    """Tables that another run has taken hold of; a second run on one of them is refused."""
    if not await session.fetchval("SELECT pg_catalog.to_regclass('tailrace.claim') IS NOT NULL"):
        found.ok("other runs", "none: no run has been here")
        return
    try:
        rows = await session.fetch(_CLAIMS)
    except asyncpg.InsufficientPrivilegeError:
        found.unknown("other runs", "the schema tailrace is another role's, and its tables may not be read")
        return
    taken = [row for row in rows if carried is None or row["name"] in carried]
    busy = [row for row in taken if row["state"] not in TERMINAL_STATES]
    if busy:
        names = ", ".join(row["name"] for row in busy[:3]) + (f" and {len(busy) - 3} more" if len(busy) > 3 else "")
        found.refused(
            "other runs",
            "claim.taken",
            f"run {busy[0]['run']} ({busy[0]['state']}) holds {names}",
            f"Wait for it, or end it: tailrace cancel {busy[0]['run']}",
        )
    else:
        found.ok("other runs", "none holds a table of this job")


async def _disk(job: Job, session: asyncpg.Connection, source: Catalogue | None, found: Findings) -> None:
    """PostgreSQL does not tell what is free; where its data directory is on this machine, the file system does."""
    if source is None:
        found.unknown("disk", "how much will be written is not known without the source")
        return
    loaded = sum(scoped.table.bytes for scoped in scope_of(job, source, Problems()).values() if scoped.loaded)
    factor, what = (APPEND_ROOM_FACTOR, "staging tables, ") if job.destination.mode == "append" else (ROOM_FACTOR, "")
    need = loaded * factor
    try:
        directory = await session.fetchval("SELECT pg_catalog.current_setting('data_directory')")
    except asyncpg.InsufficientPrivilegeError:
        directory = None
    free = _free_bytes(directory) if directory and await _is_here(session) else None
    about = f"{size(loaded)} of heaps are loaded, which takes about {size(need)} with {what}indexes and WAL"
    if free is None:
        found.unknown("disk", f"{about}; the server does not tell how much is free")
    elif free < need:
        found.warning(
            "disk", f"{about}, and {size(free)} are free", "Free disk space there, or carry less (tables, where)."
        )
    else:
        found.ok("disk", f"{about}; {size(free)} are free")


async def _is_here(session: asyncpg.Connection) -> bool:
    """Whether the server's end of the connection is on this machine: a Unix socket, or the loopback on both ends."""
    return bool(
        await session.fetchval(
            "SELECT pg_catalog.inet_server_addr() IS NULL"
            " OR (pg_catalog.inet_server_addr() <<= '127.0.0.0/8' AND pg_catalog.inet_client_addr() <<= '127.0.0.0/8')"
        )
    )


def _free_bytes(directory: str) -> int | None:
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
