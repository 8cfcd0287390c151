"""The source's schema for the mode ``create``: pg_dump's statements, in the snapshot, as far as the job carries them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import asyncpg
from pydantic import SecretStr

from tailrace_reader.schema_dump_choose import choose
from tailrace_reader.schema_dump_entries import entries_of
from tailrace_reader.schema_dump_graph import PG_CLASS, Key
from tailrace_reader.schema_dump_program import find_program, run_program
from tailrace_reader.schema_dump_queries import look_around, relations
from tailrace_reader.schema_dump_split import Unsplittable
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.errors import TerminalError
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.create_model import SourceSchema
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import rule_for, scope_of

TIMEOUT_S: Final = 300.0
"""Longest time for pg_dump; thousands of tables take some ten seconds."""
LOCK_WAIT_MS: Final = 10_000
"""Longest that it waits for a table's lock: whoever comes after would wait behind it."""
_WHAT: Final = (
    "--schema-only", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-publications", "--no-subscriptions",
    "--no-security-labels", "--no-password", "--verbose", f"--lock-wait-timeout={LOCK_WAIT_MS}",
)  # fmt: skip


async def schema_of(
    connection: asyncpg.Connection, job: Job, catalogue: Catalogue, source: SourceServer, snapshot: str
) -> tuple[SourceSchema | None, TerminalError | None]:
    """What the mode create makes, in the snapshot; or why that cannot be known. Neither in the other modes."""
    if job.destination.mode != "create":
        return None, None
    try:
        return await read_schema(connection, job, catalogue, source.url, source.application_name, snapshot), None
    except TerminalError as error:
        return None, error


async def read_schema(
    connection: asyncpg.Connection,
    job: Job,
    catalogue: Catalogue,
    url: SecretStr,
    application_name: str,
    snapshot: str | None = None,
) -> SourceSchema:
    """Asks in the current transaction, which is in ``snapshot`` where that is given: pg_dump then sees the same.

    Raises UsageError and TerminalError where pg_dump is missing, too old or refused, TransientError where it takes too long.
    """
    program = await find_program(catalogue.server_version // 10_000)
    found = await relations(connection)
    carried, opaque = carried_relations(job, catalogue, found)
    left_out = {(PG_CLASS, row["oid"]): f"{row['schema']}.{row['name']}" for row in found if row["oid"] not in carried}
    excluded = [f"--exclude-table={pattern(row['schema'], row['name'])}" for row in found if row["oid"] not in carried]
    arguments = [*_WHAT, *excluded, *([f"--snapshot={snapshot}"] if snapshot else [])]
    script = await run_program(program, arguments, url, application_name, TIMEOUT_S)
    try:
        entries = await asyncio.to_thread(entries_of, script)
    except Unsplittable as error:
        raise TerminalError(
            "create.script", f"what pg_dump {program.major} wrote cannot be read: {error}", "Please report this."
        ) from None
    keys = [entry.key for entry in entries if entry.key[0]]
    around = await look_around(connection, keys, found, left_out, opaque)
    return choose(entries, around, job.schemas, program.major)


def carried_relations(job: Job, catalogue: Catalogue, found: Iterable[Any]) -> tuple[set[int], set[Key]]:
    """OIDs of what is made: tables of the job with their partitions, and views that it does not exclude; and of those, the views
    that are carried as tables."""
    scope = scope_of(job, catalogue, Problems())
    tables = {scoped.table.oid for scoped in scope.values()}
    carried: set[int] = set()
    for row in found:
        if row["root"] in tables:
            carried.add(row["oid"])
        elif row["kind"] in "vm" and row["schema"] in job.schemas:
            _, rule = rule_for(job, TableName(schema_name=row["schema"], name=row["name"]))
            if rule is None or rule.mode != "exclude":
                carried.add(row["oid"])
    opaque = {(PG_CLASS, s.table.oid) for s in scope.values() if s.table.kind in ("v", "m")}
    return carried, opaque


def pattern(schema: str, name: str) -> str:
    """A pattern of pg_dump that matches this relation alone."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))
