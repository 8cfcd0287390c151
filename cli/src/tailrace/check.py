"""The preflight: everything about a job's surroundings that a run would find out later. Changes nothing anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tailrace.check_brokers import brokers_named, check_brokers, known_runs
from tailrace.check_databases import check_databases
from tailrace.check_findings import Finding
from tailrace.check_secrets import check_secrets
from tailrace_shared.job.spec import Job


async def preflight(job: Job, environ: Mapping[str, str] = os.environ) -> tuple[Finding, ...]:
    """The findings, area by area: secrets, brokers, services, source, destination, plan. Raises for nothing foreseeable."""
    areas = [check_secrets(job, environ, brokers=brokers_named(environ))]
    areas += await check_brokers(job, environ)
    areas += await check_databases(job, environ, await known_runs(environ))
    return tuple(finding for area in areas for finding in area.all)
