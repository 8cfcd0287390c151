"""Models that outlive their run: kept in the destination's schema ``tailrace``, given to a run whose job names one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import asyncpg

from tailrace_shared import topics
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import translated
from tailrace_shared.service.models import Models
from tailrace_shared.synthesis import Artefact, Header, SequenceArtefact, load_model
from tailrace_shared.types import ColumnType
from tailrace_writer.state.learning import note_ready
from tailrace_writer.state.moves import Seat

KEPT_PER_TABLE = 10
"""The newest; a model takes a few MB. Who wants one for longer saves it to a file."""


async def require(connection: asyncpg.Connection, job: Job) -> None:
    """Before anything is planned. Raises TerminalError (``model.unknown``) for a model that the job names and nobody has kept."""
    for table, rule in job.tables.items():
        if rule.train.model is None:
            continue
        with translated():
            known = await connection.fetchval(
                "SELECT true FROM tailrace.saved_model WHERE digest = $1", rule.train.model
            )
        if not known:
            raise TerminalError(
                "model.unknown", f"{table}: no model {rule.train.model[:12]} is saved in this destination",
                "`tailrace models` lists those that are; or remove train.model, and the table is learned.",
            )  # fmt: skip


async def keep(
    connection: asyncpg.Connection,
    kafka: Kafka,
    namespace: str,
    seat: Seat,
    plan: Plan,
    table: int,
    digest: str,
    job: Job,
) -> None:
    """See that a model is both saved and on the run's topic; only then may orders name it. Again is fine.

    Raises TerminalError where it does not fit the plan (``model.columns``) or is none, and the mapped errors of both sides.
    """
    planned = plan.table(table)
    with translated():
        data = await connection.fetchval("SELECT data FROM tailrace.saved_model WHERE digest = $1", digest)
    saved = data is not None
    if data is None:
        data = await Models(kafka, namespace).document(seat.run, digest)
    artefact = await asyncio.to_thread(load_model, data)
    check_fit(artefact, planned)
    if saved:
        await _publish(kafka, topics.of_run(namespace, seat.run, "models"), data, plan.message_bytes)
    with translated():
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO tailrace.saved_model (digest, table_name, job, run, data) VALUES ($1, $2, $3, $4, $5) "
                "ON CONFLICT DO NOTHING",
                digest, str(planned.name), job.name, seat.run, data,
            )  # fmt: skip
            await connection.execute(
                "DELETE FROM tailrace.saved_model WHERE digest IN (SELECT digest FROM tailrace.saved_model "
                "WHERE table_name = $1 AND digest <> $2 ORDER BY made_at DESC OFFSET $3)",
                str(planned.name), digest, KEPT_PER_TABLE - 1,
            )  # fmt: skip
            await note_ready(connection, seat, table, digest)


def check_fit(artefact: Artefact | SequenceArtefact, table: PlannedTable) -> None:
    """Raise TerminalError (``model.columns``) where a column that is to be drawn is not in the model, or is of another kind."""
    learning = table.learning
    if learning is None:
        return
    events = learning.events
    if isinstance(artefact, SequenceArtefact) != (events is not None):
        alone, both = "one table", "entities and their events"
        have, want = (both, alone) if events is None else (alone, both)
        raise TerminalError(
            "model.columns", f"the model {artefact.digest[:12]} is of {have}, and {table.name} is to be drawn from one of {want}",
            "Name another model, or let the table be learned.",
        )  # fmt: skip
    if isinstance(artefact, Artefact):
        _fits(artefact.digest, artefact.header, _known(artefact.header), learning.source, learning.columns)
        return
    _fits(artefact.digest, artefact.entity.header, _known(artefact.entity.header), learning.source, learning.columns)
    known, timeline = _known(artefact.events.header), artefact.header.timeline
    if timeline is not None:
        known[timeline.column] = timeline.type
    if events is not None:
        _fits(artefact.digest, artefact.events.header, known, events.source, events.columns)


def _known(header: Header) -> dict[str, ColumnType]:
    return {name: kind for column in header.columns for name, kind in zip(column.columns, column.types, strict=True)}


def _fits(
    digest: str, header: Header, known: Mapping[str, ColumnType], table: PlannedTable, learned: Sequence[str]
) -> None:
    for column in table.columns:
        if column.name not in learned:
            continue
        if column.name not in known or known[column.name].family != column.type.family:
            kind = f"as {known[column.name].name}" if column.name in known else "not"
            raise TerminalError(
                "model.columns",
                f"the model {digest[:12]} of {header.table} knows {table.name}.{column.name} {kind}",
                "Name a model of this table as it is, give the column another rule, or let the table be learned.",
            )


async def _publish(kafka: Kafka, topic: str, data: bytes, message_bytes: int) -> None:
    sender = Sender(kafka, message_bytes)
    await sender.start()
    try:
        await sender.send(topic, data)
    finally:
        await sender.stop(Deadline.after(5.0))
