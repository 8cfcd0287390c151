"""Continuous runs in tests: roles with the least rights, waiting until the destination has caught up, and what equal means."""

from __future__ import annotations

from support.databases import Pair
from support.installation import Installation, eventually
from tailrace_shared.messages import RunRecord

EVERY_TABLE = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace " \
    "WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'"  # fmt: skip


def let_follow(pair: Pair) -> None:
    """What a source's role needs for a publication of the run's own: REPLICATION, CREATE on the database, its tables."""
    role = f"{pair.name}_reader"
    pair.grant("source", "replicate", "publish")
    owned = "".join(f"ALTER TABLE {row[0]} OWNER TO {role};" for row in pair.fetch("source", EVERY_TABLE))
    pair.source.run_sql(owned, pair.name)


def streaming(installation: Installation, run: str, seconds: float = 90) -> RunRecord:
    """The record once the run follows its source; fails if it ends."""
    record = installation.wait(run, lambda r: r.state == "streaming" or r.terminal, seconds)
    assert record.state == "streaming", record.failure or record.problems
    return record


def caught_up(pair: Pair, seconds: float = 60) -> None:
    """Wait until the destination holds everything that is committed in the source now."""
    wanted = pair.value("source", "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
    # Something must come behind it: an idle lane says where it is only now and then.
    pair.source.run_sql("SELECT pg_logical_emit_message(true, 'tailrace.heartbeat', 'caught-up')", pair.name)
    eventually(
        lambda: (pair.value("destination", "SELECT coalesce(max(position), 0) FROM tailrace.lane") or 0) >= wanted,
        seconds,
        f"the destination has not come to {wanted}",
    )  # fmt: skip


def slots(pair: Pair) -> list[str]:
    """Slots and publications of ours that are in the source."""
    query = (
        "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database() "
        "UNION ALL SELECT pubname::text FROM pg_publication"
    )
    return [str(row[0]) for row in pair.fetch("source", query)]
