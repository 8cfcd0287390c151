"""Facts become rows: idempotent, by any writer, in any order. Facts only leave evidence; the leader moves states by it.

A fact of a former attempt changes nothing: every statement names the attempt that the run must be in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import asyncpg

from tailrace_shared import messages as m
from tailrace_shared.plan.model import Problem
from tailrace_shared.postgres import translated
from tailrace_writer.comparison.state import apply_comparison_fact
from tailrace_writer.lane.position import lsn_of
from tailrace_writer.state import learning, pools, resyncs

_NAMED_PROBLEMS = 3
"""Problems quoted in a failure's message; the record carries all of them."""


async def apply_fact(connection: asyncpg.Connection, fact: m.Fact) -> None:
    """Apply one fact in one transaction. Raises the mapped driver error; applying again is always right."""
    with translated():
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '5s'")
            await _apply(connection, fact)


async def _apply(connection: asyncpg.Connection, fact: m.Fact) -> None:
    match fact:
        case m.RunSubmitted():
            await connection.execute(
                "INSERT INTO tailrace.run (run, job, submitted_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                fact.run, fact.job.model_dump_json(), fact.at,
            )  # fmt: skip
        case m.CancelRequested():
            await connection.execute(
                "UPDATE tailrace.run SET cancel_requested = true "
                "WHERE run = $1 AND state NOT IN ('stopping', 'done', 'failed', 'cancelled')",
                fact.run,
            )
        case m.PauseRequested():
            await connection.execute(
                "UPDATE tailrace.run SET pause_requested = true WHERE run = $1 AND state IN ('loading', 'finishing', 'streaming')",
                fact.run,
            )
        case m.ResumeRequested():
            await connection.execute(
                "UPDATE tailrace.run SET pause_requested = false, failure = CASE WHEN state = 'paused' THEN NULL ELSE failure END "
                "WHERE run = $1",
                fact.run,
            )
        case m.StopRequested():
            await connection.execute(
                "UPDATE tailrace.run SET stop_requested = true WHERE run = $1 AND job->>'mode' = 'continuous'", fact.run
            )
        case m.ResyncRequested():
            await resyncs.requested(connection, fact)
        case m.TableChanged():
            await resyncs.changed(connection, fact)
        case m.TableAppeared():
            await resyncs.appeared(connection, fact)
        case m.ColumnsAppeared():
            await resyncs.grows(connection, fact)
        case m.ResyncPlanned():
            await resyncs.planned(connection, fact)
            if fact.snapshot:
                await _holds(
                    connection,
                    fact.run,
                    fact.attempt,
                    fact.replica,
                    fact.snapshot,
                    resync=fact.number,
                    offer=fact.digest,
                )
        case m.ResyncFailed():
            await resyncs.failed(connection, fact)
        case m.ComparisonRequested() | m.ComparisonPoint() | m.ComparisonRead() | m.ComparisonFailed():
            await apply_comparison_fact(connection, fact)
        case m.CaptureSeen():
            await _capture_seen(connection, fact)
        case m.LaneBroken():
            await connection.execute(
                "INSERT INTO tailrace.capture (run, attempt, lane, broken, why) "
                "SELECT run, attempt, lane, $4, $5 FROM tailrace.lane "
                "WHERE run = $1 AND attempt = $2 AND lane = $3 ON CONFLICT (run, lane, attempt) DO UPDATE SET "
                "broken = excluded.broken, why = excluded.why WHERE capture.broken = ''",
                fact.run, fact.attempt, fact.lane, fact.code, fact.why,
            )  # fmt: skip
        case m.LaneEnded():
            await connection.execute(
                "INSERT INTO tailrace.capture (run, attempt, lane, ended_at) SELECT run, attempt, lane, $4 FROM tailrace.lane "
                "WHERE run = $1 AND attempt = $2 AND lane = $3 ON CONFLICT (run, lane, attempt) DO UPDATE SET "
                "ended_at = excluded.ended_at WHERE capture.ended_at IS NULL",
                fact.run, fact.attempt, fact.lane, lsn_of(fact.at),
            )  # fmt: skip
        case m.ReplicaSeen():
            await _seen(connection, fact)
        case m.ReplicaRefused():
            await connection.execute(
                "INSERT INTO tailrace.replica (run, replica, service, refused) "
                "SELECT run, $2, $3, $4 FROM tailrace.run WHERE run = $1 AND state NOT IN ('done', 'failed', 'cancelled') "
                "ON CONFLICT (run, replica) DO UPDATE SET refused = excluded.refused, seen_at = clock_timestamp()",
                fact.run, fact.replica, fact.service, fact.failure.model_dump_json(),
            )  # fmt: skip
        case m.Planned():
            await connection.execute(
                "UPDATE tailrace.run SET digest = $3 WHERE run = $1 AND attempt = $2 AND state = 'submitted' AND digest = ''",
                fact.run, fact.attempt, fact.digest,
            )  # fmt: skip
            await _holds(connection, fact.run, fact.attempt, fact.replica, fact.snapshot, digest=fact.digest)
        case m.PlanRefused():
            await connection.execute(
                "UPDATE tailrace.run SET problems = $3, failure = coalesce(failure, $4) "
                "WHERE run = $1 AND attempt = $2 AND state = 'submitted' AND digest = ''",
                fact.run, fact.attempt, json.dumps([p.model_dump() for p in fact.problems]),
                (await _refusal(connection, fact)).model_dump_json(),
            )  # fmt: skip
        case m.SnapshotHeld():
            await _holds(connection, fact.run, fact.attempt, fact.replica, fact.snapshot, resync=fact.resync)
        case m.SnapshotUnavailable():
            await connection.execute(
                "UPDATE tailrace.run SET unavailable = (SELECT array_agg(DISTINCT u) FROM unnest(unavailable || $3::text[]) u) "
                "WHERE run = $1 AND attempt = $2 AND NOT unavailable @> $3::text[]",
                fact.run, fact.attempt, list(fact.tried),
            )  # fmt: skip
        case m.SourceRewritten():
            await connection.execute(
                "UPDATE tailrace.run SET restart_because = $3 WHERE run = $1 AND attempt = $2 AND restart_because = '' "
                "AND state IN ('planned', 'preparing', 'loading')",
                fact.run, fact.attempt, f"table {fact.table} of the source was rewritten under the snapshot",
            )  # fmt: skip
            await resyncs.rewritten(connection, fact)
        case m.RangeRead():
            await _range_read(connection, fact)
            await learning.note_rejected(connection, fact)
        case m.SampleRead() | m.TrainingSeen() | m.ModelReady():
            await learning.apply_learning_fact(connection, fact)
        case m.PoolReady():
            await pools.apply_pool_ready(connection, fact)
        case m.StageFailed() | m.TrainingRefused():
            await connection.execute(
                "UPDATE tailrace.run SET failure = $3 WHERE run = $1 AND attempt = $2 AND failure IS NULL "
                "AND state NOT IN ('stopping', 'done', 'failed', 'cancelled')",
                fact.run, fact.attempt, fact.failure.model_dump_json(),
            )  # fmt: skip
        case m.LeaksChecked():
            await connection.execute(
                "UPDATE tailrace.leak l SET found = c.found, source_distinct = c.source_distinct, sampled = c.sampled "
                "FROM unnest($3::int[], $4::text[], $5::int[], $6::int[], $7::bigint[]) "
                "AS c(table_no, column_name, sampled, found, source_distinct) WHERE l.run = $1 AND l.attempt = $2 "
                "AND l.table_no = c.table_no AND l.column_name = c.column_name AND l.found IS NULL",
                fact.run, fact.attempt, [c.table for c in fact.counts], [c.column for c in fact.counts],
                [c.sampled for c in fact.counts], [c.found for c in fact.counts], [c.source_distinct for c in fact.counts],
            )  # fmt: skip


async def _capture_seen(connection: asyncpg.Connection, fact: m.CaptureSeen) -> None:
    """Facts of a former capture may come late: what is behind the known tail of a lane changes nothing."""
    await connection.execute(
        "INSERT INTO tailrace.capture (run, attempt, lane, replica, seen_at, slot, tail, source_end, held_back, behind_s, waits) "
        "SELECT run, attempt, lane, $4, clock_timestamp(), $5::jsonb, $6::bigint, $7::bigint, $8, $9, $10::jsonb "
        "FROM tailrace.lane "
        "WHERE run = $1 AND attempt = $2 AND lane = $3 ON CONFLICT (run, lane, attempt) DO UPDATE SET "
        "replica = excluded.replica, seen_at = excluded.seen_at, slot = excluded.slot, tail = excluded.tail, "
        "source_end = greatest(capture.source_end, excluded.source_end), held_back = excluded.held_back, "
        "behind_s = excluded.behind_s, waits = excluded.waits "
        "WHERE capture.tail <= excluded.tail",
        fact.run, fact.attempt, fact.lane, fact.replica, fact.slot.model_dump_json(), lsn_of(fact.tail),
        lsn_of(fact.source_end), fact.held_back, fact.behind_s,
        json.dumps([waits.model_dump(mode="json") for waits in fact.waits]),
    )  # fmt: skip


async def _seen(connection: asyncpg.Connection, fact: m.ReplicaSeen) -> None:
    await connection.execute(
        "INSERT INTO tailrace.replica (run, replica, service, release, fingerprints, rows, bytes, memory_bytes, memory_limit, "
        "leaving) "
        "SELECT run, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM tailrace.run "
        "WHERE run = $1 AND state NOT IN ('done', 'failed', 'cancelled') "
        "ON CONFLICT (run, replica) DO UPDATE SET seen_at = clock_timestamp(), release = excluded.release, "
        "fingerprints = excluded.fingerprints, memory_bytes = excluded.memory_bytes, memory_limit = excluded.memory_limit, "
        "leaving = excluded.leaving, "
        "rows = greatest(replica.rows, excluded.rows), bytes = greatest(replica.bytes, excluded.bytes)",
        fact.run, fact.replica, fact.service, fact.release,
        fact.fingerprints.model_dump_json() if fact.fingerprints else None,
        fact.rows, fact.bytes, fact.memory_bytes, fact.memory_limit, fact.leaving,
    )  # fmt: skip


async def _holds(
    connection: asyncpg.Connection,
    run: str,
    attempt: int,
    replica: str,
    snapshot: str,
    *,
    digest: str | None = None,
    resync: int = 0,
    offer: str | None = None,
) -> None:
    """A reader holds a snapshot of this attempt. A planner whose plan was not the first does not: its snapshot is another.
    Neither does one that holds the snapshot of a resync which is over, or whose offer was not the one that was taken."""
    await connection.execute(
        "INSERT INTO tailrace.replica (run, replica, service, attempt, snapshot, resync) "
        "SELECT run, $3, 'reader', $2, $4, $6 FROM tailrace.run WHERE run = $1 AND attempt = $2 "
        "AND state NOT IN ('done', 'failed', 'cancelled') AND ($5::text IS NULL OR digest = $5) "
        "AND ($6 = 0 OR resync_state <> '' AND resync_no = $6 AND ($7::text IS NULL OR resync_plan = $7)) "
        "ON CONFLICT (run, replica) DO UPDATE SET attempt = excluded.attempt, snapshot = excluded.snapshot, "
        "resync = excluded.resync, seen_at = clock_timestamp()",
        run, attempt, replica, snapshot, digest, resync, offer,
    )  # fmt: skip


async def _range_read(connection: asyncpg.Connection, fact: m.RangeRead) -> None:
    key = (fact.run, fact.attempt, fact.table, fact.load, fact.range)
    await connection.execute(
        "UPDATE tailrace.range SET state = 'read', sent = true, read_at = clock_timestamp(), "
        "released_at = coalesce(released_at, clock_timestamp()), rows = $6, batches = $7, bytes = $8 "
        "WHERE run = $1 AND attempt = $2 AND table_no = $3 AND load = $4 AND range_no = $5 "
        "AND state IN ('pending', 'released')",
        *key, fact.rows, fact.batches, fact.bytes,
    )  # fmt: skip
    if fact.rest is not None:
        # The child's number is a function of its parent's, so that batch ids do not depend on the order of facts:
        # the n planned ranges are 0 to n-1, the rests of range r are r + n, r + 2n and so on.
        await connection.execute(
            "INSERT INTO tailrace.range (run, attempt, table_no, load, range_no, leaf, low_block, low_item, "
            "high_block, high_item, parent_no, estimated_bytes) "
            "SELECT r.run, r.attempt, r.table_no, r.load, r.range_no + t.planned_ranges, r.leaf, $6, $7, "
            "r.high_block, r.high_item, r.range_no, (run.job #>> '{limits,range_bytes_max}')::bigint "
            'FROM tailrace.range r JOIN tailrace."table" t USING (run, attempt, table_no) JOIN tailrace.run run USING (run) '
            "WHERE r.run = $1 AND r.attempt = $2 AND r.table_no = $3 AND r.load = $4 AND r.range_no = $5 "
            "AND run.attempt = r.attempt AND (run.state = 'loading' OR run.resync_state = 'loading') ON CONFLICT DO NOTHING",
            *key, fact.rest.block, fact.rest.item,
        )  # fmt: skip


async def _refusal(connection: asyncpg.Connection, fact: m.PlanRefused) -> m.Failure:
    """Why the plan was refused: another run, where one holds a table that stands in the way, for it has changed that table."""
    refusal = refusal_of(fact.problems)
    claims = await connection.fetch(
        "SELECT c.schema_name || '.' || c.name AS name, c.run FROM tailrace.claim c "
        "WHERE c.run <> $1 ORDER BY c.run, c.schema_name, c.name",
        fact.run,
    )
    taken = [claim for claim in claims if any(concerns(problem, claim["name"]) for problem in fact.problems)]
    if not taken:
        return refusal
    other, more = taken[0]["run"], f" and {len(taken) - 1} more" if len(taken) > 1 else ""
    return m.Failure(
        code="claim.taken",
        message=f"run {other} is working on destination table {taken[0]['name']}{more}, and beside it {refusal.message}",
        remedy=f"Wait for run {other} to end, or cancel it: tailrace cancel {other}. Then run again.",
        where=taken[0]["name"],
    )


def concerns(problem: Problem, table: str) -> bool:
    """Whether an error is about a table, or something of it: ``schema.table``, then nothing, ``.column`` or further words."""
    return problem.severity == "error" and re.match(re.escape(table) + r"($|[ .])", problem.where) is not None


def refusal_of(problems: Sequence[Problem]) -> m.Failure:
    """The failure of a run whose plan was refused."""
    errors = [p for p in problems if p.severity == "error"] or list(problems)
    named = "; ".join(f"{p.where}: {p.message}" for p in errors[:_NAMED_PROBLEMS])
    more = f" (and {len(errors) - _NAMED_PROBLEMS} more)" if len(errors) > _NAMED_PROBLEMS else ""
    return m.Failure(
        code="plan.refused",
        message=f"the plan has {len(errors)} problem{'s' if len(errors) != 1 else ''}: {named}{more}",
        remedy=errors[0].remedy if errors else "",
        where=errors[0].where if errors else "",
    )
