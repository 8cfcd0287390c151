"""The picture of a run for the decider: a handful of cheap queries, whatever the number of ranges and ledger rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from tailrace_shared.job.spec import Job
from tailrace_shared.messages import Failure
from tailrace_shared.plan.model import ORDER
from tailrace_shared.postgres import translated
from tailrace_writer.state.learning import read_models
from tailrace_writer.state.moves import NoRow
from tailrace_writer.state.pools import read_pools
from tailrace_writer.state.resyncing import TRIES
from tailrace_writer.state.view import (
    Candidate,
    LaneView,
    LeakView,
    OpenRange,
    RangeKey,
    ResyncView,
    RunView,
    TableView,
    releasable,
)

_LANE = """
SELECT l.run, l.lane, l.position, l.kafka_offset, l.committed_at, l.applied_at, l.changes, coalesce(c.replica, '') AS replica,
  c.slot, c.seen_at,
  coalesce(c.source_end, 0) AS source_end, coalesce(c.held_back, false) AS held_back, coalesce(c.broken, '') AS broken,
  coalesce(c.why, '') AS why, c.ended_at, coalesce(l.position >= c.ended_at, false) AS caught_up, coalesce(c.tail, 0) AS tail,
  coalesce(c.behind_s, 0) AS behind_s, coalesce(c.waits, '[]') AS waits
FROM tailrace.lane l LEFT JOIN tailrace.capture c ON c.run = l.run AND c.lane = l.lane AND c.attempt = l.attempt
WHERE l.run = $1 AND l.attempt = $2 AND l.lane = 0
"""
"""A lane's row, and what is told of its beginning."""
CANDIDATES = 64
"""Ranges looked at per turn: more than a credit of 256 MiB holds at 32 MiB each."""

_HINDRANCE_S = 150.0
"""A writer that is hindered says so once a minute; what is older than this is not so any more."""

_OPEN = """
SELECT r.table_no, r.load, r.range_no, r.leaf, r.estimated_bytes, r.sent, r.state = 'read' AS read,
       extract(epoch FROM r.released_at)::float8 AS released_at, extract(epoch FROM r.read_at)::float8 AS read_at,
       r.rows, r.batches, r.bytes,
       coalesce(l.complete, 0) AS ledger_batches, coalesce(l.rows, 0)::bigint AS ledger_rows,
       coalesce(l.bytes, 0)::bigint AS ledger_bytes, extract(epoch FROM l.at)::float8 AS applied_at
FROM tailrace.range r
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE b.have = b.parts) AS complete, sum(b.rows) AS rows, sum(b.bytes) AS bytes, max(b.at) AS at
    FROM (
        SELECT count(*) AS have, max(parts) AS parts, sum(rows) AS rows, max(bytes) AS bytes, max(applied_at) AS at
        FROM tailrace.ledger l
        WHERE l.run = r.run AND l.attempt = r.attempt AND l.table_no = r.table_no AND l.load = r.load
          AND l.range_no = r.range_no
        GROUP BY batch_no
    ) b
) l ON true
WHERE r.run = $1 AND r.attempt = $2 AND r.state IN ('released', 'read')
ORDER BY r.table_no, r.range_no
"""
_TABLES = f"""
SELECT t.table_no, t.schema_name, t.name, t.after_tables, t.state, t.why, t.load,
       t.state = 'loaded' AS loaded, t.estimated_rows, t.rows_loaded,
       t.rows_read,
       t.state <> 'loaded' AND EXISTS (
           SELECT 1 FROM tailrace.range r
           WHERE r.run = t.run AND r.attempt = t.attempt AND r.table_no = t.table_no AND r.state <> 'done'
       ) AS unfinished,
       EXISTS (
           SELECT 1 FROM tailrace.range r
           WHERE r.run = t.run AND r.attempt = t.attempt AND r.table_no = t.table_no AND r.state <> 'done' AND r.leaf >= 0
       ) AS unread,
       t.state IN ('loaded', 'quarantined') AND (t.resync_requested OR t.state = 'quarantined' AND t.tries < {TRIES}
           AND (SELECT r.job #>> '{{continuous,ddl}}' IS DISTINCT FROM 'ask' FROM tailrace.run r WHERE r.run = t.run)
           AND coalesce(t.retry_at <= clock_timestamp(), true)) AS wants,
       t.grows AND t.state = 'loaded' AS grows
FROM tailrace."table" t WHERE t.run = $1 AND t.attempt = $2 ORDER BY t.table_no
"""
_REPLICAS = """
SELECT run, replica, service, attempt, snapshot, resync, fingerprints, refused, hindrance,
       extract(epoch FROM clock_timestamp() - seen_at)::float8 AS age, rows, bytes, memory_bytes,
       memory_limit, leaving
FROM tailrace.replica WHERE run IN ($1, '')
"""


class KnownJob:
    """A run's job, validated when its text is another one than before: of 500 tables that takes longer than the rest of a look."""

    def __init__(self) -> None:
        self._text = ""
        self._job: Job | None = None

    def of(self, text: str) -> Job:
        if self._job is None or text != self._text:
            self._text, self._job = text, Job.model_validate_json(text)
        return self._job


@dataclass(frozen=True, slots=True)
class Picture:
    """The decider's view, and what a published record says beyond it."""

    view: RunView
    now: float
    """Seconds since the epoch, by the destination's clock."""
    row: asyncpg.Record
    job: Job
    tables: tuple[asyncpg.Record, ...]
    replicas: tuple[asyncpg.Record, ...]
    """All that were ever seen in the run, and the destination's writers."""
    live: tuple[asyncpg.Record, ...]
    lane: asyncpg.Record | None = None
    models: tuple[asyncpg.Record, ...] = ()

    @property
    def plan(self) -> str:
        """Digest of the newest plan of the attempt."""
        return str(self.row["revision"] or self.row["digest"])


async def read_picture(
    connection: asyncpg.Connection,
    run: str,
    *,
    active: bool,
    stale_s: float,
    settled: Callable[[float, float | None], bool],
    known: KnownJob | None = None,
) -> Picture:
    """Look at a run. Raises the mapped driver error; NoRow when the run is not there.

    ``settled`` judges, from this look's time and the age of its youngest heartbeat, whether silence means something: a judgement
    of the look before would take everybody for gone after the leader itself has been held up.
    """
    with translated():
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            row = await connection.fetchrow(
                "SELECT *, extract(epoch FROM clock_timestamp())::float8 AS now, "
                "extract(epoch FROM tasked_at)::float8 AS tasked, extract(epoch FROM resync_at)::float8 AS resync_asked "
                "FROM tailrace.run WHERE run = $1",
                run,
            )
            if row is None:
                raise NoRow(run)
            attempt = row["attempt"]
            replicas = await connection.fetch(_REPLICAS, run)
            loading = row["state"] == "loading" or row["resync_state"] == "loading"
            tables = await connection.fetch(_TABLES, run, attempt)
            seen = tuple(
                TableView(
                    t["table_no"], tuple(t["after_tables"]), t["loaded"], t["unfinished"], made=not t["unread"],
                    resync=t["state"] == "resync", wants=t["wants"],
                    grows=t["grows"],
                )
                for t in tables
            )  # fmt: skip
            opened = await connection.fetch(_OPEN, run, attempt) if loading else []
            models, learned = await read_models(connection, run, attempt)
            pools = await read_pools(connection, run, attempt) if loading else ()
            candidates = (
                await _candidates(connection, run, attempt, releasable(seen, learned, pools)) if loading else ()
            )
            undone = await connection.fetchval(
                "SELECT count(*) FROM tailrace.ddl WHERE run = $1 AND rebuilt < cardinality(rebuild) AND trouble = ''",
                run,
            )
            leaks = await connection.fetch(
                "SELECT table_no, column_name, extract(epoch FROM asked_at)::float8 AS asked_at, found IS NOT NULL AS answered "
                "FROM tailrace.leak WHERE run = $1 AND attempt = $2",
                run, attempt,
            )  # fmt: skip
            lane = await connection.fetchrow(
                _LANE, run, attempt,
            )  # fmt: skip
    job = (known or KnownJob()).of(row["job"])
    # Writers beat once for all runs of the destination; what one has to say of a run is a row beside that.
    remarks = {r["replica"]: r for r in replicas if r["service"] == "writer" and r["run"]}
    replicas = [r for r in replicas if r["service"] != "writer" or not r["run"]]
    fresh = [r for r in replicas if r["age"] < stale_s]
    said = [remarks[r["replica"]] for r in fresh if r["service"] == "writer" and r["replica"] in remarks]
    out = {r["replica"] for r in said if r["refused"] is not None}
    live = [r for r in fresh if r["service"] != "writer" or r["replica"] not in out]
    working = [r for r in live if r["refused"] is None]
    unavailable = set(row["unavailable"])
    beats = [r["age"] for r in replicas if r["service"] != "writer"]  # writers beat past Kafka
    view = RunView(
        run=run,
        state=row["state"],
        attempt=attempt,
        epoch=row["epoch"],
        restarts=job.limits.restarts,
        credit_bytes=job.limits.credit_bytes,
        digest=row["digest"],
        active=active,
        prepared=row["prepared"],
        cancel_requested=row["cancel_requested"],
        failed=row["failure"] is not None,
        outcome=row["outcome"],
        restart_because=row["restart_because"],
        tasked_at=row["tasked"],
        undone=undone,
        fingerprints=any(r["fingerprints"] is not None for r in working if r["service"] == "generator"),
        readers=sum(r["service"] == "reader" for r in working),
        generators=sum(r["service"] == "generator" for r in working),
        writers=sum(r["service"] == "writer" for r in working),
        refusal=_refusal([*live, *said], {r["service"] for r in working}),
        hindrance=next((r["hindrance"] for r in said if r["hindrance"] and r["age"] < _HINDRANCE_S), ""),
        snapshots=len(_live_snapshots(working, attempt, resync_of(row), unavailable)),
        settled=settled(row["now"], min(beats, default=None)),
        tables=seen,
        open=tuple(map(_open_range, opened)),
        candidates=candidates,
        last_applied_at=max((o["applied_at"] for o in opened if o["applied_at"] is not None), default=0.0),
        verified=row["verified_at"] is not None,
        continuous=job.mode == "continuous",
        pause_requested=row["pause_requested"],
        stop_requested=row["stop_requested"],
        lane=None if lane is None else _lane_view(lane),
        models=learned,
        pools=pools,
        trainers=tuple(sorted(r["replica"] for r in working if r["service"] == "trainer")),
        resync=_resync_view(row),
        keeps=job.mode == "continuous" and _failure_code(row) == "verify.failed",
        slot_lost=job.continuous.slot_lost,
        leaks=tuple(LeakView(k["table_no"], k["column_name"], k["asked_at"], k["answered"]) for k in leaks),
    )
    return Picture(view, row["now"], row, job, tuple(tables), tuple(replicas), tuple(live), lane, models)


def live_snapshots(picture: Picture) -> list[tuple[str, str]]:
    """(replica, snapshot id) pairs that a joining reader may try."""
    working = [r for r in picture.live if r["refused"] is None]
    return _live_snapshots(working, picture.view.attempt, resync_of(picture.row), set(picture.row["unavailable"]))


def resync_of(row: Any) -> int:
    """Number of the resync whose snapshot is read; 0: of none, but the attempt's own."""
    return int(row["resync_no"]) if row["resync_state"] else 0


def _live_snapshots(
    replicas: list[asyncpg.Record], attempt: int, resync: int, unavailable: set[str]
) -> list[tuple[str, str]]:
    return [
        (r["replica"], r["snapshot"])
        for r in replicas
        if r["attempt"] == attempt and r["resync"] == resync and r["snapshot"] and r["snapshot"] not in unavailable
    ]


def _refusal(live: list[asyncpg.Record], working: set[str]) -> str:
    for replica in live:
        if replica["refused"] is not None and replica["service"] not in working:
            failure = Failure.model_validate(json.loads(replica["refused"]))
            return f"a {replica['service']} replica that can take part: {failure.message}"
    return ""


async def _candidates(
    connection: asyncpg.Connection, run: str, attempt: int, tables: tuple[int, ...]
) -> tuple[Candidate, ...]:
    rows = await connection.fetch(
        "SELECT table_no, load, range_no, leaf, estimated_bytes FROM tailrace.range "
        "WHERE run = $1 AND attempt = $2 AND state = 'pending' AND table_no = ANY($3::int[]) "
        f"ORDER BY table_no, range_no LIMIT {CANDIDATES}",
        run, attempt, list(tables),
    )  # fmt: skip
    return tuple(
        Candidate(RangeKey(r["table_no"], r["load"], r["range_no"]), r["estimated_bytes"], made=r["leaf"] == ORDER)
        for r in rows
    )


def _failure_code(row: Any) -> str:
    return str(json.loads(row["failure"])["code"]) if row["failure"] else ""


def _resync_view(row: Any) -> ResyncView | None:
    if not row["resync_state"]:
        return None
    return ResyncView(
        number=row["resync_no"],
        loading=row["resync_state"] == "loading",
        planned=bool(row["resync_plan"]),
        asked_at=row["resync_asked"] or 0.0,
        why=row["resync_why"],
    )


def _lane_view(row: Any) -> LaneView:
    broken = f"{row['why']} ({row['broken']})" if row["broken"] else ""
    return LaneView(broken, row["ended_at"] is not None, bool(row["caught_up"]))


def _open_range(row: Any) -> OpenRange:
    read = row["read"]
    return OpenRange(
        key=RangeKey(row["table_no"], row["load"], row["range_no"]),
        estimated_bytes=row["estimated_bytes"],
        sent=row["sent"],
        released_at=row["released_at"],
        read_at=row["read_at"] if read else None,
        rows=row["rows"] or 0,
        batches=row["batches"] or 0,
        bytes=row["bytes"] or 0,
        ledger_batches=row["ledger_batches"],
        ledger_rows=row["ledger_rows"],
        ledger_bytes=row["ledger_bytes"],
        made=row["leaf"] == ORDER,
    )
