"""Preflight of following: the source's slots and rights, and slots and publications that nobody needs any more."""

from __future__ import annotations

import re
from collections.abc import Mapping

import asyncpg

from tailrace.check_findings import Findings
from tailrace.console import size
from tailrace.following_source import UNLIMITED, SourceFacts, followed, following_problems, look
from tailrace_shared.catalogue.model import Catalogue
from tailrace_shared.job.spec import Job
from tailrace_shared.messages import RunRecord
from tailrace_shared.types import quote_ident

_NAME = re.compile(r"tailrace_([0-9a-hjkmnp-tv-z]{26})_[0-9]{1,6}")
_OURS = """
SELECT slot_name::text AS name, 'slot' AS kind, active FROM pg_catalog.pg_replication_slots
WHERE database = pg_catalog.current_database() AND pg_catalog.starts_with(slot_name::text, 'tailrace_')
UNION ALL
SELECT pubname::text, 'publication', false FROM pg_catalog.pg_publication WHERE pg_catalog.starts_with(pubname::text, 'tailrace_')
ORDER BY 1, 2
"""


async def check_following(job: Job, session: asyncpg.Connection, source: Catalogue, found: Findings) -> None:
    """A line per thing that following asks of the source."""
    with found.attempt("following"):
        problems = await following_problems(job, session, source)
        for problem in problems:
            found.refused("following", problem.code, problem.message, problem.remedy)
        facts = await look(session, followed(job, source))
        if not problems:
            free = f"{facts.slots_max - facts.slots} slots and {facts.senders_max - facts.senders} walsenders free"
            named = job.continuous.publication
            published = f"publication {named} has every table" if named else "the role may publish every table"
            found.ok("following", f"wal_level = logical, {free}; {published}")
        _limit(facts, found)


def _limit(facts: SourceFacts, found: Findings) -> None:
    if facts.keep_mb == UNLIMITED:
        found.warning(
            "max_slot_wal_keep_size",
            "is unlimited: a slot that nobody reads fills the source's disk",
            "Set it to what the disk can spare: a run whose slot is given up loads everything again by itself.",
        )
    else:
        found.ok("max_slot_wal_keep_size", f"the source keeps at most {size(facts.keep_mb << 20)} for a slot")


async def check_left_over(session: asyncpg.Connection, runs: Mapping[str, RunRecord] | None, found: Findings) -> None:
    """Slots and publications of runs that are over, or that these brokers do not know; ``runs`` is None without brokers."""
    with found.attempt("left over"):
        left = [row for row in await session.fetch(_OURS) if _is_left(row, runs)]
        if not left:
            found.ok("left over", "no slot and no publication of a run that is over")
        for row in left:
            found.warning(
                "left over",
                f"{row['kind']} {row['name']} is of {_whose(row['name'], runs)}",
                f"Where no other installation uses it: {removal(row['kind'], row['name'])}",
            )


def removal(kind: str, name: str) -> str:
    """The statement that removes it; ``name`` is one of ours, of letters, digits and underscores."""
    if kind == "slot":
        return f"SELECT pg_drop_replication_slot('{name}');"
    return f"DROP PUBLICATION {quote_ident(name)};"


def _is_left(row: asyncpg.Record, runs: Mapping[str, RunRecord] | None) -> bool:
    """One that is being read is somebody's; and so is that of a run which is known to go on."""
    record = _record(row["name"], runs)
    return _NAME.fullmatch(row["name"]) is not None and not row["active"] and (record is None or record.terminal)


def _whose(name: str, runs: Mapping[str, RunRecord] | None) -> str:
    record = _record(name, runs)
    if record is not None:
        return f"run {record.run}, which is {record.state}"
    return (
        "a run that is not known without brokers"
        if runs is None
        else "a run that these brokers and this namespace do not know"
    )


def _record(name: str, runs: Mapping[str, RunRecord] | None) -> RunRecord | None:
    match = _NAME.fullmatch(name)
    return runs.get(match[1].upper()) if match and runs else None
