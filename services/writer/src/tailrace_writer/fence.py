"""The first statements of every batch transaction: the fence, and the ledger row that makes a batch count once.

They are separate statements in one round trip: under READ COMMITTED each has a snapshot of its own, so the run's row is read
after the fence is held. ``INSERT 0 1`` means that the batch is to be applied; ``INSERT 0 0`` that it was before, or that
the run is not loading this attempt and load of the table any more.
"""

from __future__ import annotations

import re

from tailrace_shared.batch import BatchHead
from tailrace_shared.errors import TerminalError
from tailrace_writer.lock_keys import lock_key

APPLY = "INSERT 0 1"
_RUN = re.compile(r"[0-9A-Z]{26}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def opening(head: BatchHead, *, lock_timeout_s: float, replica_role: bool) -> str:
    """BEGIN, fence, ledger. Raises TerminalError for a head that is not of our making: it becomes part of the SQL."""
    i = head.id
    if not (_RUN.fullmatch(i.run) and _DIGEST.fullmatch(head.plan)):
        raise TerminalError(
            "batch.headers",
            "a message on a batch topic names no run or plan of ours",
            "Let nothing but Tailrace write to its topics.",
        )
    role = "SET LOCAL session_replication_role = replica; " if replica_role else ""
    return (
        "BEGIN; SET LOCAL synchronous_commit = on; "
        f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}; {role}"
        f"SELECT pg_catalog.pg_advisory_xact_lock_shared({lock_key('fence', i.run)}); "
        "INSERT INTO tailrace.ledger (run, attempt, table_no, load, range_no, batch_no, part_no, parts, last, rows, bytes, plan) "
        f"SELECT r.run, r.attempt, t.table_no, t.load, {int(i.range)}, {int(i.batch)}, {int(i.part)}, {int(head.parts)}, "
        f"{bool(head.last)}, {int(head.rows)}, {int(head.bytes)}, '{head.plan}' "
        'FROM tailrace.run r JOIN tailrace."table" t ON t.run = r.run AND t.attempt = r.attempt '
        f"WHERE r.run = '{i.run}' AND r.attempt = {int(i.attempt)} "
        f"AND (r.state = 'loading' AND t.state = 'loading' AND r.digest = '{head.plan}' "
        f"OR r.state IN ('streaming', 'paused') AND t.state = 'resync' AND t.plan = '{head.plan}') "
        f"AND t.table_no = {int(i.table)} AND t.load = {int(i.load)} ON CONFLICT DO NOTHING"
    )


IN_LEDGER = (
    "SELECT EXISTS (SELECT 1 FROM tailrace.ledger WHERE run = $1 AND attempt = $2 AND table_no = $3 AND load = $4 "
    "AND range_no = $5 AND batch_no = $6 AND part_no = $7)"
)
