"""A lane in the destination's state tables: laid out with the attempt's tables, and what is published of it."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from tailrace_shared.messages import LaneProgress, SlotState
from tailrace_shared.plan.model import Plan
from tailrace_writer.lane.position import lsn_of, lsn_text
from tailrace_writer.state.moves import Seat

ABSENT = {
    "replica-role": frozenset({"trigger", "create-rest"}),
    "bare": frozenset({"foreign-key", "trigger", "create-foreign-key", "create-rest"}),
}
"""What comes back only when a lane ends. Triggers must not fire by what is applied; foreign keys are absent unless that is done
under the replica role: tables of one transaction are applied one after the other, and a row may point nowhere for a moment."""


async def lay_out_lane(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> None:
    """The attempt's lane, at the beginning of its slot; its tables have seen the attempt's snapshot. In the caller's
    transaction."""
    follow = plan.continuous
    if follow is None:
        return
    for table in ("lane", "capture"):
        await connection.execute(f"DELETE FROM tailrace.{table} WHERE run = $1", seat.run)
    await connection.execute(
        "INSERT INTO tailrace.lane (run, lane, attempt, system, timeline, position, tables) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        seat.run, follow.lane, seat.attempt, follow.system, follow.timeline, lsn_of(follow.start), len(plan.tables),
    )  # fmt: skip
    await connection.execute(
        'UPDATE tailrace."table" SET snapshot = $3, filter_until = $4 WHERE run = $1 AND attempt = $2',
        seat.run, seat.attempt, follow.snapshot, lsn_of(follow.filter_until),
    )  # fmt: skip


def lane_progress(row: Any, lag_s: float | None) -> LaneProgress:
    """What a record says of a lane. ``row`` as ``state.read`` has it; the lag as ``lag.Lag`` has found it."""
    return LaneProgress(
        lane=row["lane"],
        position=lsn_text(row["position"]),
        committed_at=row["committed_at"],
        applied_at=row["applied_at"],
        lag_s=lag_s,
        lag_bytes=max(0, row["source_end"] - row["position"]),
        changes=row["changes"],
        capture=row["replica"],
        slot=SlotState(**json.loads(row["slot"])) if row["slot"] else None,
        held_back=row["held_back"],
    )
