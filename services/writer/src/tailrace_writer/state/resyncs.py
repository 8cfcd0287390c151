"""Facts of tables that are loaded anew while a run streams. As all facts, each changes nothing where it comes twice or too late."""

from __future__ import annotations

import json

import asyncpg

from tailrace_shared import messages as m
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.resync import rule_beside

_FOLLOWING = "r.state IN ('streaming', 'paused')"


async def requested(connection: asyncpg.Connection, fact: m.ResyncRequested) -> None:
    """Somebody asks for it: the table has all its tries again. A table that the plan does not have is looked for in the source."""
    if fact.columns:
        await _rules(connection, fact)
    status = await connection.execute(
        'UPDATE tailrace."table" t SET resync_requested = true, tries = 0, retry_at = NULL FROM tailrace.run r '
        "WHERE r.run = $1 AND t.run = r.run AND t.attempt = r.attempt AND t.schema_name || '.' || t.name = $2",
        fact.run, fact.table,
    )  # fmt: skip
    if status == "UPDATE 0":
        await _add(connection, fact.run, None, fact.table, "it was asked for")


async def changed(connection: asyncpg.Connection, fact: m.TableChanged) -> None:
    """What is there of the table is not right any more: it is left alone until it is loaded again."""
    status = await connection.execute(
        "UPDATE tailrace.\"table\" t SET state = 'quarantined', why = $5 FROM tailrace.run r "
        f"WHERE r.run = $1 AND {_FOLLOWING} AND r.attempt = $2 AND coalesce(nullif(r.revision, ''), r.digest) = $4 "
        "AND t.run = r.run AND t.attempt = r.attempt AND t.table_no = $3 AND t.state = 'loaded'",
        fact.run, fact.attempt, fact.table, fact.plan, fact.why,
    )  # fmt: skip
    if status == "UPDATE 1":
        await _turn(connection, fact.run)


async def appeared(connection: asyncpg.Connection, fact: m.TableAppeared) -> None:
    """A table is added to those of the run, to be loaded."""
    current = await connection.fetchval(
        f"SELECT true FROM tailrace.run r WHERE run = $1 AND {_FOLLOWING} AND attempt = $2 "
        "AND coalesce(nullif(revision, ''), digest) = $3",
        fact.run, fact.attempt, fact.plan,
    )  # fmt: skip
    if current:
        await _add(connection, fact.run, fact.attempt, fact.table, "it has appeared in the source")


async def grows(connection: asyncpg.Connection, fact: m.ColumnsAppeared) -> None:
    """The capture waits for a plan that has them. Who does not follow is loaded anew with them anyway."""
    await connection.execute(
        'UPDATE tailrace."table" t SET grows = true FROM tailrace.run r '
        f"WHERE r.run = $1 AND {_FOLLOWING} AND r.attempt = $2 AND coalesce(nullif(r.revision, ''), r.digest) = $4 "
        "AND t.run = r.run AND t.attempt = r.attempt AND t.table_no = $3 AND t.state = 'loaded'",
        fact.run, fact.attempt, fact.table, fact.plan,
    )  # fmt: skip


async def planned(connection: asyncpg.Connection, fact: m.ResyncPlanned) -> None:
    """The first offer counts."""
    await connection.execute(
        "UPDATE tailrace.run SET resync_plan = $4, resync_tables = $5, resync_refused = $6 WHERE run = $1 AND attempt = $2 "
        "AND resync_no = $3 AND resync_state = 'asked' AND resync_plan = ''",
        fact.run, fact.attempt, fact.number, fact.digest, list(fact.tables), json.dumps(fact.refused),
    )  # fmt: skip


async def failed(connection: asyncpg.Connection, fact: m.ResyncFailed) -> None:
    """The first reason counts."""
    await connection.execute(
        "UPDATE tailrace.run SET resync_why = $4, resync_refused = $5, resync_passing = $6 WHERE run = $1 AND attempt = $2 "
        "AND resync_no = $3 AND resync_state <> '' AND resync_why = ''",
        fact.run, fact.attempt, fact.number, _said(fact.failure), json.dumps(fact.refused), fact.passing,
    )  # fmt: skip


async def rewritten(connection: asyncpg.Connection, fact: m.SourceRewritten) -> None:
    """A table that is being loaded was rewritten in the source, and its snapshot shows nothing of it."""
    await connection.execute(
        "UPDATE tailrace.run r SET resync_why = $4 WHERE run = $1 AND attempt = $2 AND resync_state = 'loading' "
        "AND resync_why = '' "
        'AND EXISTS (SELECT 1 FROM tailrace."table" t WHERE t.run = r.run AND t.attempt = r.attempt AND t.table_no = $3 '
        "AND t.state = 'resync')",
        fact.run, fact.attempt, fact.table, "the source has rewritten the table while it was loaded",
    )  # fmt: skip


def _said(failure: m.Failure) -> str:
    where = f"{failure.where}: " if failure.where else ""
    return f"{where}{failure.message.rstrip('.')}. {failure.remedy}".strip()


async def _add(connection: asyncpg.Connection, run: str, attempt: int | None, table: str, why: str) -> None:
    schema, _, name = table.partition(".")
    await connection.execute(
        'INSERT INTO tailrace."table" (run, attempt, table_no, schema_name, name, state, why, planned_ranges, resync_requested) '
        "SELECT r.run, r.attempt, greatest(l.tables, (SELECT max(table_no) + 1 FROM tailrace.\"table\" o WHERE o.run = r.run "
        "AND o.attempt = r.attempt)), $3, $4, 'quarantined', $5, 0, $2::int IS NULL "
        "FROM tailrace.run r JOIN tailrace.lane l ON l.run = r.run AND l.attempt = r.attempt "
        f"WHERE r.run = $1 AND {_FOLLOWING} AND r.attempt = coalesce($2, r.attempt) AND NOT EXISTS (SELECT 1 FROM "
        'tailrace."table" o WHERE o.run = r.run AND o.attempt = r.attempt AND (o.schema_name, o.name) = ($3, $4)) '
        "ON CONFLICT DO NOTHING",
        run, attempt, schema, name, why,
    )  # fmt: skip


async def _rules(connection: asyncpg.Connection, fact: m.ResyncRequested) -> None:
    """Rules for columns become the job's: the next plan of the table has them."""
    text = await connection.fetchval(
        f"SELECT job FROM tailrace.run r WHERE run = $1 AND {_FOLLOWING} FOR UPDATE", fact.run
    )
    if text is None:
        return
    job = Job.model_validate_json(text)
    schema, _, name = fact.table.partition(".")
    rule = rule_beside(job, TableName(schema_name=schema, name=name))
    rule = rule.model_copy(update={"columns": {**rule.columns, **fact.columns}})
    # The name first: among patterns and names an exact one wins, wherever it stands.
    job = job.model_copy(update={"tables": {**job.tables, fact.table: rule}})
    await connection.execute("UPDATE tailrace.run SET job = $2 WHERE run = $1", fact.run, job.model_dump_json())


async def _turn(connection: asyncpg.Connection, run: str) -> None:
    """Whoever follows the lane looks at its tables again. Not in the lane's row: who applies a large transaction has that locked
    for minutes, and facts would wait."""
    await connection.execute("UPDATE tailrace.run SET tables_version = tables_version + 1 WHERE run = $1", run)
