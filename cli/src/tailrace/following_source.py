"""What a source must be and grant so that a run can follow it: looked at before a slot is made, by `check` and by `plan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import asyncpg

from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.errors import TailraceError
from tailrace_shared.job.spec import Job
from tailrace_shared.plan.model import Problem
from tailrace_shared.plan.problems import Problems
from tailrace_shared.plan.scope import scope_of
from tailrace_shared.postgres import translated
from tailrace_shared.types import qualified, quote_ident

UNLIMITED = -1
_Refuse = Callable[[str, str, str], None]
_FACTS = """
SELECT pg_catalog.pg_is_in_recovery() AS standby, pg_catalog.current_setting('wal_level') AS wal_level,
  (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS replication,
  pg_catalog.current_setting('max_replication_slots')::int AS slots_max,
  (SELECT count(*) FROM pg_catalog.pg_replication_slots)::int AS slots,
  pg_catalog.current_setting('max_wal_senders')::int AS senders_max,
  (SELECT count(*) FROM pg_catalog.pg_stat_replication)::int AS senders,
  (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') AS keep_mb,
  pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS may_create,
  current_user::text AS role, pg_catalog.current_database()::text AS database
"""
_OTHERS = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS asked (space, name)
  ON n.nspname = asked.space AND c.relname = asked.name
WHERE NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2
"""


class SourceFacts(NamedTuple):
    """What following asks of a source, as it is."""

    standby: bool
    wal_level: str
    replication: bool
    """The role may make and read slots."""
    slots_max: int
    slots: int
    senders_max: int
    senders: int
    keep_mb: int
    """``max_slot_wal_keep_size``; −1 without a limit."""
    may_create: bool
    """The role may make a publication in the database."""
    role: str
    database: str
    others: tuple[TableName, ...] = ()
    """Carried tables that are not the role's own, nor of a role that it is in."""


def followed(job: Job, source: Catalogue) -> list[TableName]:
    """Tables whose changes the job would follow."""
    return [scoped.name for scoped in scope_of(job, source, Problems()).values() if scoped.loaded]


async def look(session: asyncpg.Connection, tables: Sequence[TableName]) -> SourceFacts:
    """Ask the source. Raises mapped errors."""
    with translated():
        row = await session.fetchrow(_FACTS)
        others = await session.fetch(_OTHERS, [t.schema_name for t in tables], [t.name for t in tables])
    assert row is not None
    return SourceFacts(**dict(row), others=tuple(TableName(schema_name=o[0], name=o[1]) for o in others))


def judge(job: Job, facts: SourceFacts) -> list[Problem]:
    """What stands against following, as planning reports it. Pure."""
    found = []

    def _refuse(code: str, message: str, remedy: str) -> None:
        found.append(Problem(severity="error", code=code, where=job.name, message=message, remedy=remedy))

    if facts.standby:
        _refuse(
            "capture.standby", "the source is a standby: what is running on its primary cannot be seen there",
            "Name the primary server as source of a continuous job.",
        )  # fmt: skip
    if facts.wal_level != "logical":
        _refuse(
            "capture.wal-level", f"the source has wal_level = {facts.wal_level}",
            "Set wal_level = logical on the source and restart it.",
        )  # fmt: skip
    if not facts.replication:
        _refuse(
            "capture.privilege", f"the role {facts.role} may not use replication slots",
            f"ALTER ROLE {quote_ident(facts.role)} REPLICATION;",
        )  # fmt: skip
    if facts.slots >= facts.slots_max:
        _refuse(
            "capture.no-slot", f"all {facts.slots_max} replication slots of the source are taken",
            "Raise max_replication_slots there and restart it, or drop slots that nobody reads: "
            "SELECT slot_name FROM pg_replication_slots WHERE NOT active;",
        )  # fmt: skip
    if facts.senders >= facts.senders_max:
        _refuse(
            "capture.no-walsender", f"all {facts.senders_max} walsenders of the source are busy",
            "Raise max_wal_senders there and restart it.",
        )  # fmt: skip
    if job.continuous.publication is None:
        _publishing(facts, _refuse)
    return found


def _publishing(facts: SourceFacts, _refuse: _Refuse) -> None:
    """The run's own publication: PostgreSQL lets only a table's owner publish it."""
    instead = (
        "or make a publication of the carried tables with publish_via_partition_root = true and name it in the job"
    )
    if not facts.may_create:
        _refuse(
            "plan.privilege", f"the role {facts.role} may not make a publication",
            f"GRANT CREATE ON DATABASE {quote_ident(facts.database)} TO {quote_ident(facts.role)}; {instead}.",
        )  # fmt: skip
    if facts.others:
        names = ", ".join(map(str, facts.others[:3])) + (
            f" and {len(facts.others) - 3} more" if facts.others[3:] else ""
        )
        first = qualified(facts.others[0].schema_name, facts.others[0].name)
        _refuse(
            "plan.privilege", f"the role {facts.role} does not own {names}, and only owners may publish tables",
            f"ALTER TABLE {first} OWNER TO {quote_ident(facts.role)}; or grant it the owning role; {instead}.",
        )  # fmt: skip


async def following_problems(job: Job, session: asyncpg.Connection, source: Catalogue) -> list[Problem]:
    """All of it, with what a named publication lacks. Raises mapped errors."""
    tables = followed(job, source)
    found = judge(job, await look(session, tables))
    if (unpublished := await _unpublished(job, session, tables)) is not None:
        found.append(unpublished)
    return found


async def _unpublished(job: Job, session: asyncpg.Connection, tables: Sequence[TableName]) -> Problem | None:
    """What is wrong with the publication, or with publishing the tables; as the reader would find it."""
    try:
        from tailrace_reader.capture.publication import check_identities, check_publication
    except ImportError:  # the command without the services' code: the reader says it when it plans
        return None
    try:
        if job.continuous.publication is None:
            await check_identities(session, tables)
        else:
            await check_publication(session, job.continuous.publication, tables)
    except TailraceError as error:
        return Problem(severity="error", code=error.code, where=job.name, message=error.message, remedy=error.remedy)
    return None
