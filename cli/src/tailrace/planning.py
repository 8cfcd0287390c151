"""Planning in this process: both catalogues are read with the command's own environment, nothing is changed anywhere."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
from ulid import ULID

from tailrace.environment import require
from tailrace.following_source import following_problems
from tailrace_shared.catalogue.ground import with_ground
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import catalogue_digest
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.create_model import SourceSchema
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import DataKey, Fingerprints, PlanResult, Problem
from tailrace_shared.postgres import connect, translated
from tailrace_shared.secrets import name_of, resolve

_APPLICATION = "tailrace/command"


@dataclass(frozen=True)
class Databases:
    """Both ends of a job, connected read-only, and what their catalogues say."""

    source: asyncpg.Connection
    destination: asyncpg.Connection
    source_catalogue: Catalogue
    destination_catalogue: Catalogue


@asynccontextmanager
async def databases(job: Job, environ: Mapping[str, str] = os.environ) -> AsyncIterator[Databases]:
    """Sessions on source and destination. Raises UsageError naming missing variables, and connection errors."""
    require((job.source.url, job.destination.url), environ)
    async with AsyncExitStack() as stack:
        sessions = []
        for reference in (job.source.url, job.destination.url):
            # Neither planning nor verification writes: the server holds us to it.
            session = await connect(
                resolve(reference, environ),
                _APPLICATION,
                variable=name_of(reference),
                default_transaction_read_only="on",
            )
            stack.push_async_callback(session.close)
            sessions.append(session)
        source, destination = sessions
        with translated():
            yield Databases(
                source,
                destination,
                await read_catalogue(source, job.schemas),
                await read_catalogue(destination, job.schemas, ask_rows=True),
            )


async def plan_of(
    job: Job, ends: Databases, environ: Mapping[str, str] = os.environ, *, whole: bool = True
) -> PlanResult:
    """What a run of the job would plan now. Its key and the secret's fingerprint are placeholders.

    Not ``whole``: in the mode create only what is of the rows, whatever the destination holds now.
    """
    creating = whole and job.destination.mode == "create"
    with translated():
        facts = await gather_facts(ends.source, job, ends.source_catalogue, ends.destination_catalogue, environ)
    schema, unread = await _schema(job, ends, environ) if creating else (None, None)
    result = build_plan(
        job,
        ends.source_catalogue,
        await with_ground(ends.destination, ends.destination_catalogue) if creating else ends.destination_catalogue,
        run=str(ULID()),
        attempt=1,
        fingerprints=Fingerprints(mask_secret="", catalogue=catalogue_digest(), pools=""),
        key=DataKey(id="", wrapped=""),
        facts=facts,
        schema=schema,
    )
    return result if unread is None else _with(result, unread)


async def with_source(result: PlanResult, job: Job, ends: Databases) -> PlanResult:
    """The result with what stands against following the source, where the job asks for that."""
    if job.mode == "once":
        return result
    with translated():
        problems = await following_problems(job, ends.source, ends.source_catalogue)
    return PlanResult(plan=None, problems=(*problems, *result.problems)) if problems else result


def _with(result: PlanResult, unread: Problem) -> PlanResult:
    """The result with why pg_dump did not tell, which says more than that it did not."""
    if unread.severity == "error":
        # What stands against the plan already is why pg_dump failed, and has the better remedy.
        return PlanResult(plan=None, problems=(unread, *result.problems)) if result.plan else result
    others = [problem for problem in result.problems if problem.code != "plan.create-unread"]
    said = tuple(sorted((*others, unread), key=lambda problem: problem.severity))
    return PlanResult(plan=result.plan and result.plan.model_copy(update={"warnings": said}), problems=said)


async def _schema(job: Job, ends: Databases, environ: Mapping[str, str]) -> tuple[SourceSchema | None, Problem | None]:
    """What the mode create makes; or why that cannot be seen here. A pg_dump that is missing here may be there for the reader."""
    try:
        from tailrace_reader.schema_dump import read_schema
    except ImportError:  # the command without the services' code; the plan says what it then cannot know
        return None, None
    try:
        return await read_schema(
            ends.source, job, ends.source_catalogue, resolve(job.source.url, environ), _APPLICATION
        ), None
    except TerminalError as error:
        here = error.code in ("create.pg-dump", "create.pg-dump-missing", "create.pg-dump-too-old")
        problem = Problem(
            severity="warning" if here else "error",
            code=error.code,
            where=job.name,
            message=error.message,
            remedy=error.remedy,
        )
        return None, problem
