"""Models of a run in the state tables: what of their samples is read, who learns them, what has come of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from tailrace_shared import messages as m
from tailrace_shared.plan.model import Plan
from tailrace_writer.state.moves import Seat
from tailrace_writer.state.view import ModelView

PATIENCE_S = 1800
"""A sample that nobody has read is asked for again. Reading one of a large table takes minutes, and a lost reader's work item is
another one's by itself."""
_LEADS = "EXISTS (SELECT 1 FROM tailrace.run WHERE run = $1 AND epoch = $2 AND attempt = $3 AND state = 'loading')"

_MODELS = f"""
SELECT d.table_no, t.schema_name || '.' || t.name AS name, d.digest, d.trainer, d.ready, d.progress,
       array(SELECT s.range_no FROM tailrace.sample s WHERE s.run = d.run AND s.attempt = d.attempt AND s.table_no = d.table_no
             AND s.batches IS NULL AND coalesce(s.sent_at < clock_timestamp() - interval '{PATIENCE_S} s', true)
             ORDER BY 1) AS unsent,
       (SELECT count(*) FROM tailrace.sample s WHERE s.run = d.run AND s.attempt = d.attempt AND s.table_no = d.table_no
        AND s.batches IS NULL) AS unread,
       (SELECT json_object_agg(s.range_no, s.batches) FROM tailrace.sample s WHERE s.run = d.run AND s.attempt = d.attempt
        AND s.table_no = d.table_no) AS batches
FROM tailrace.model d JOIN tailrace."table" t USING (run, attempt, table_no)
WHERE d.run = $1 AND d.attempt = $2 ORDER BY d.table_no
"""


async def lay_out_models(connection: asyncpg.Connection, seat: Seat, plan: Plan) -> None:
    """A row per table to learn, in the transaction that lays out the tables; one whose model is saved has no sample."""
    for table in plan.tables:
        if table.learning is None:
            continue
        await connection.execute(
            "INSERT INTO tailrace.model (run, attempt, table_no, digest) VALUES ($1, $2, $3, $4)",
            seat.run, seat.attempt, table.number, table.learning.model,
        )  # fmt: skip
        if not table.learning.model:
            await connection.executemany(
                "INSERT INTO tailrace.sample (run, attempt, table_no, range_no) VALUES ($1, $2, $3, $4)",
                [(seat.run, seat.attempt, table.number, r.number) for r in table.learning.pieces],
            )


async def read_models(
    connection: asyncpg.Connection, run: str, attempt: int
) -> tuple[tuple[asyncpg.Record, ...], tuple[ModelView, ...]]:
    """The rows of an attempt's models, and what the decider sees of them."""
    rows = await connection.fetch(_MODELS, run, attempt)
    views = tuple(
        ModelView(r["table_no"], r["ready"], r["digest"], r["trainer"], tuple(r["unsent"]), r["unread"]) for r in rows
    )
    return tuple(rows), views


def model_progress(row: Any) -> m.ModelProgress:
    """What the record says of a model."""
    told = json.loads(row["progress"])
    state = "sampling" if row["unread"] and not row["digest"] else "learning" if row["trainer"] else "waiting"
    return m.ModelProgress(
        table=row["table_no"],
        name=row["name"],
        state="ready" if row["ready"] else state,  # type: ignore[arg-type]
        trainer="" if row["ready"] else row["trainer"],
        batches={} if row["ready"] or row["unread"] or not row["batches"] else json.loads(row["batches"]),
        digest=row["digest"] if row["ready"] else "",
        **{name: told[name] for name in ("rows", "epoch", "loss", "remaining_s", "rejected") if name in told},
    )


async def apply_learning_fact(
    connection: asyncpg.Connection, fact: m.SampleRead | m.TrainingSeen | m.ModelReady
) -> None:
    """The first answer counts: a range's rows are the same whoever reads them, and of two models one is as good as the other."""
    key = (fact.run, fact.attempt, fact.table)
    match fact:
        case m.SampleRead():
            await connection.execute(
                "UPDATE tailrace.sample SET rows = $5, batches = $6 "
                "WHERE run = $1 AND attempt = $2 AND table_no = $3 AND range_no = $4 AND batches IS NULL",
                *key, fact.range, fact.rows, fact.batches,
            )  # fmt: skip
        case m.TrainingSeen():
            told = fact.model_dump(include={"rows", "epoch", "loss", "remaining_s"})
            await connection.execute(
                "UPDATE tailrace.model SET progress = $5 "
                "WHERE run = $1 AND attempt = $2 AND table_no = $3 AND trainer = $4 AND digest = ''",
                *key, fact.replica, json.dumps(told),
            )  # fmt: skip
        case m.ModelReady():
            told = {"rows": fact.rows, "epoch": fact.epochs, "loss": fact.held_out_loss, "remaining_s": 0.0}
            await connection.execute(
                "UPDATE tailrace.model SET digest = $4, progress = $5 "
                "WHERE run = $1 AND attempt = $2 AND table_no = $3 AND digest = ''",
                *key, fact.digest, json.dumps(told),
            )  # fmt: skip


async def note_rejected(connection: asyncpg.Connection, fact: m.RangeRead) -> None:
    """The share of rows that an order had to draw again; the largest stays, so that a fact told twice changes nothing."""
    if fact.drawn:
        await connection.execute(
            "UPDATE tailrace.model SET progress = progress || jsonb_build_object('rejected', "
            "greatest(coalesce((progress ->> 'rejected')::float8, 0), $4::float8)) "
            "WHERE run = $1 AND attempt = $2 AND table_no = $3",
            fact.run, fact.attempt, fact.table, round(fact.rejected / fact.drawn, 4),
        )  # fmt: skip


async def note_sent(connection: asyncpg.Connection, seat: Seat, table: int, ranges: Sequence[int]) -> None:
    """The work items of these ranges are on the topic."""
    await connection.execute(
        "UPDATE tailrace.sample SET sent_at = clock_timestamp() "
        f"WHERE run = $1 AND attempt = $3 AND table_no = $4 AND range_no = ANY($5::int[]) AND {_LEADS}",
        seat.run, seat.epoch, seat.attempt, table, list(ranges),
    )  # fmt: skip


async def teach(connection: asyncpg.Connection, seat: Seat, table: int, trainer: str) -> None:
    """Name a model's trainer; the published record tells it."""
    await connection.execute(
        "UPDATE tailrace.model SET trainer = $5, progress = '{}' "
        f"WHERE run = $1 AND attempt = $3 AND table_no = $4 AND digest = '' AND {_LEADS}",
        seat.run, seat.epoch, seat.attempt, table, trainer,
    )  # fmt: skip


async def note_ready(connection: asyncpg.Connection, seat: Seat, table: int, digest: str) -> None:
    """The model is kept and on the run's topic: orders may name it."""
    await connection.execute(
        "UPDATE tailrace.model SET ready = true "
        f"WHERE run = $1 AND attempt = $3 AND table_no = $4 AND digest = $5 AND {_LEADS}",
        seat.run, seat.epoch, seat.attempt, table, digest,
    )  # fmt: skip


async def ready_models(connection: asyncpg.Connection, seat: Seat) -> dict[int, str]:
    """Digests by table."""
    rows = await connection.fetch(
        "SELECT table_no, digest FROM tailrace.model WHERE run = $1 AND attempt = $2 AND ready", seat.run, seat.attempt
    )
    return {row["table_no"]: row["digest"] for row in rows}
