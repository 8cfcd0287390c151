"""The published copy of a run's row: built from a picture, its version raised with every publication."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

import asyncpg

from tailrace_shared.job.spec import Job
from tailrace_shared.messages import (
    TERMINAL_STATES,
    Check,
    ComparisonProgress,
    Failure,
    LaneProgress,
    ModelProgress,
    ReplicaLost,
    ResyncProgress,
    RunRecord,
    ServiceName,
    Snapshot,
    StageProgress,
    TableProgress,
)
from tailrace_shared.plan.model import Problem
from tailrace_writer.lane.laying import lane_progress
from tailrace_writer.lane.table_lag import TableLags
from tailrace_writer.state.learning import model_progress
from tailrace_writer.state.read import Picture, live_snapshots


def record_of_row(row: asyncpg.Record, job: Job | None = None) -> RunRecord:
    """The record that a run's row makes on its own: what was last stored of its progress included."""
    progress = json.loads(row["progress"])
    failure = Failure.model_validate_json(row["failure"]) if row["failure"] else None
    stopped = row["state"] in TERMINAL_STATES or row["state"] == "stopping"
    return RunRecord(
        run=row["run"],
        version=row["version"],
        state=row["state"],
        attempt=row["attempt"],
        job=job or Job.model_validate_json(row["job"]),
        submitted_at=row["submitted_at"],
        updated_at=datetime.now(UTC),
        leader=row["leader"],
        digest=row["digest"],
        revision=row["revision"],
        resync=_resync(row),
        queued=row["queued"],
        waiting_for="" if row["state"] in TERMINAL_STATES else row["waiting_for"],
        cancel_requested=row["cancel_requested"],
        snapshots=tuple(Snapshot(**s) for s in progress.get("snapshots", ())),
        credit_used=0 if stopped else progress.get("credit_used", 0),
        credit_bytes=progress.get("credit_bytes", 0),
        stages={name: StageProgress(**stage) for name, stage in progress.get("stages", {}).items()},
        tables=tuple(TableProgress(**table) for table in progress.get("tables", ())),
        lanes=tuple(LaneProgress.model_validate(lane) for lane in progress.get("lanes", ())),
        comparison=ComparisonProgress.model_validate(progress["comparison"]) if progress.get("comparison") else None,
        models=tuple(ModelProgress.model_validate(model) for model in progress.get("models", ())),
        protection=progress.get("protection", {}),
        unprotected=progress.get("unprotected", 0),
        lost=tuple(ReplicaLost(**loss) for loss in progress.get("lost", ())),
        pause_requested=row["pause_requested"],
        stop_requested=row["stop_requested"],
        checks=tuple(Check(**check) for check in json.loads(row["checks"])),
        problems=tuple(Problem(**problem) for problem in json.loads(row["problems"])),
        failure=failure,
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )


def progress_of(picture: Picture, former: dict[str, Any], lag_s: float | None = None) -> dict[str, Any]:
    """What is stored with a publication: counts that would otherwise go with the working rows. ``lag_s``: its lane's."""
    if picture.view.state in TERMINAL_STATES:
        return former | {"snapshots": []}
    opened: dict[int, list[int]] = {}
    for ranged in picture.view.open:
        read, loaded = opened.setdefault(ranged.key.table, [0, 0])
        opened[ranged.key.table] = [read + (ranged.rows if ranged.read else 0), loaded + ranged.ledger_rows]
    lags = None if picture.lane is None else TableLags(picture.lane, picture.now)
    before = {table["table"]: table for table in former.get("tables", ())}
    tables = [
        TableProgress(
            table=t["table_no"],
            name=f"{t['schema_name']}.{t['name']}",
            state=_table_state(t, opened),
            why=t["why"],
            load=t["load"],
            estimated_rows=t["estimated_rows"],
            rows_read=t["rows_read"] + opened.get(t["table_no"], (0, 0))[0],
            rows_loaded=t["rows_loaded"] + opened.get(t["table_no"], (0, 0))[1],
            **({} if lags is None else lags.of(t["table_no"], t["state"], before.get(t["table_no"]))),
        ).model_dump(mode="json")
        for t in picture.tables
    ]
    return {
        "credit_used": picture.view.outstanding_bytes,
        "credit_bytes": picture.view.credit_bytes,
        "snapshots": [{"replica": replica, "id": snapshot} for replica, snapshot in live_snapshots(picture)],
        "stages": _stages(picture, sum(t["rows_loaded"] for t in tables)),
        "tables": tables or former.get("tables", []),
        "models": [model_progress(m).model_dump(mode="json") for m in picture.models] or former.get("models", []),
        "lanes": [] if picture.lane is None else [lane_progress(picture.lane, lag_s).model_dump(mode="json")],
    }


def _resync(row: Any) -> ResyncProgress | None:
    if not row["resync_state"]:
        return None
    return ResyncProgress(
        number=row["resync_no"],
        order=row["resync_order"],
        tables=tuple(row["resync_tables"]),
        loading=row["resync_state"] == "loading",
    )


def _table_state(
    table: Any, opened: dict[int, list[int]]
) -> Literal["waiting", "loading", "loaded", "quarantined", "resync"]:
    for state in ("loaded", "quarantined", "resync"):
        if table["state"] == state:
            return state
    return "loading" if table["table_no"] in opened or table["rows_loaded"] else "waiting"


def _stages(picture: Picture, loaded: int) -> dict[str, Any]:
    """Replicas alive now; sums over all that were ever seen, so that a restart takes nothing back."""
    made: dict[str, Any] = {}
    names: tuple[ServiceName, ...] = ("reader", "generator", "writer")
    for name in names:
        seen = [r for r in picture.replicas if r["service"] == name]
        made[name] = StageProgress(
            replicas=sum(r["service"] == name and r["refused"] is None for r in picture.live),
            rows=loaded if name == "writer" else sum(r["rows"] for r in seen),
            bytes=sum(r["bytes"] for r in seen),
        ).model_dump()
    return made
