"""Preflight of both databases, and of the plan between them. Everything is only read."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

import asyncpg

from tailrace.check_destination import check_destination
from tailrace.check_findings import Findings
from tailrace.check_following import check_following, check_left_over
from tailrace.check_source import check_source
from tailrace.planning import Databases, plan_of
from tailrace.problem_lines import NAMED_MAX, together
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import RunRecord
from tailrace_shared.plan.model import Problem
from tailrace_shared.postgres import connect
from tailrace_shared.secrets import lookup, name_of, resolve

APPLICATION = "tailrace/check"
LISTED_MAX = 10
"""Problems of a plan that are listed; `tailrace plan` shows them all."""
PRIVILEGES = frozenset({"plan.privilege", "plan.row-security"})
"""Problems of a plan that a GRANT solves: they belong to the database that lacks it."""


async def check_databases(
    job: Job, environ: Mapping[str, str], runs: Mapping[str, RunRecord] | None = None
) -> tuple[Findings, Findings, Findings]:
    """Source, destination, plan. A side that cannot be reached leaves the other one to be looked at. ``runs``: those known."""
    source, destination, plan = Findings("source"), Findings("destination"), Findings("plan")
    async with AsyncExitStack() as stack:
        ours = await _open(job, job.source.url, environ, stack, source)
        theirs = await _open(job, job.destination.url, environ, stack, destination)
        asked: set[Problem] = set()
        if ours:
            asked = await check_source(job, *ours, resolve(job.source.url, environ), source)
            if job.mode == "continuous":
                await check_following(job, *ours, source)
            await check_left_over(ours[0], runs, source)
        problems: tuple[Problem, ...] = ()
        if ours and theirs:
            with plan.attempt("catalogues"):
                result = await plan_of(job, Databases(ours[0], theirs[0], ours[1], theirs[1]), environ)
                problems = tuple(dict.fromkeys((*result.problems, *(result.plan.warnings if result.plan else ()))))
                _plan([p for p in problems if p.code not in PRIVILEGES], plan)
        else:
            plan.unknown("catalogues", "nothing is planned without both databases")
        if theirs:
            lacking = [p for p in problems if p.code in PRIVILEGES and p not in asked] if ours else None
            await check_destination(job, *theirs, ours[1] if ours else None, lacking, destination)
    return source, destination, plan


async def _open(
    job: Job, reference: str, environ: Mapping[str, str], stack: AsyncExitStack, found: Findings
) -> tuple[asyncpg.Connection, Catalogue] | None:
    """A session and what the catalogue says; None where that failed, or where the variable is missing."""
    name = name_of(reference)
    with found.attempt("connection"):
        if lookup(name, environ) is None:
            found.unknown("connection", f"{name} is not set")
            return None
        session = await connect(resolve(reference, environ), APPLICATION, variable=name)
        stack.push_async_callback(session.close)
        catalogue = await read_catalogue(session, job.schemas, ask_rows=reference == job.destination.url)
        found.ok("connection", f"database {catalogue.database} as role {catalogue.role}, a direct session")
        return session, catalogue
    return None


def _plan(problems: list[Problem], plan: Findings) -> None:
    errors = [problem for problem in problems if problem.severity == "error"]
    kinds = together(errors)
    for said in kinds[:LISTED_MAX]:
        plan.refused(said.where(NAMED_MAX), said.problem.code, said.problem.message, said.problem.remedy)
    if len(kinds) > LISTED_MAX:
        more = len(kinds) - LISTED_MAX
        plan.refused("more", "plan.refused", f"{more} more", "`tailrace plan` lists all of them.")
    warnings = len(problems) - len(errors)
    if warnings:
        noun = "warning" if warnings == 1 else "warnings"
        plan.warning("warnings", f"{warnings} {noun} about single columns and tables", "`tailrace plan` lists them.")
    if not errors:
        plan.ok("tables and columns", "every column has a generator, and both catalogues go together")
