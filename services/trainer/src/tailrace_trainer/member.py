"""A trainer's part in one attempt of one run: the models that the run's record gives to this replica, one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pyarrow as pa

from tailrace_shared import topics
from tailrace_shared.crash import crash_point
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher, TransportKey
from tailrace_shared.errors import TailraceError, TerminalError, TransientError, UsageError
from tailrace_shared.messages import (
    Failure,
    ModelProgress,
    ModelReady,
    RunRecord,
    TrainingRefused,
    TrainingSeen,
)
from tailrace_shared.plan.drawing import NUMBERS
from tailrace_shared.plan.model import LearnedEvents, Learning, Plan, PlannedColumn, PlannedTable
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.membership import Progress as Counts
from tailrace_shared.settings import secret_setting
from tailrace_shared.synthesis import MODEL_BYTES_MAX, Artefact, Privacy, SequenceArtefact
from tailrace_trainer.apprentice import learn, learn_sequence
from tailrace_trainer.request import Form, LearnColumn, LearnEvents, LearnRequest, Progress
from tailrace_trainer.sample import collect, collect_pair
from tailrace_trainer.settings import Settings

TELL_S = 2.0
"""Between facts of how far a model is; epochs of a small table take less."""
_RETRY = RetrySchedule(first_s=1.0, limit_s=10.0, attempts=3)
MEGABYTE = 1 << 20
EPOCHS, EPOCHS_MOST = 60, 1_000
ROWS_ENOUGH = 1_500_000
"""Rows that are looked at, at most, in all epochs of a small table: the network takes some thousand steps of 512 rows whatever the
table. Learning ends before that where held-out rows stop to gain."""


class TrainerMember:
    """Learns what it is told to, reports, publishes. A model that is no longer its own is dropped, its child killed."""

    def __init__(
        self, context: ServiceContext, settings: Settings, record: RunRecord, plan: Plan, turn: asyncio.Semaphore
    ) -> None:
        self._context, self._settings, self._plan = context, settings, plan
        self._run = record.run
        self._turn = turn
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """By table, of this attempt; one that has ended stays, so that nothing is learned twice."""
        self._rows = 0
        self._bytes = 0
        self._assign(record)

    async def update(self, record: RunRecord) -> None:
        """Begin what the record gives to this replica, drop what it does not any more."""
        self._assign(record)

    async def leave(self, deadline: Deadline) -> None:
        """Kill what is being learned."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def progress(self) -> Counts:
        """Rows learned from, and bytes of models."""
        return Counts(self._rows, self._bytes)

    def last_progress(self) -> float:
        """Children are watched by what waits for them; the event loop turns."""
        return time.monotonic()

    def _assign(self, record: RunRecord) -> None:
        mine = {model.table: model for model in record.models if model.trainer == self._context.replica}
        wanted = mine if record.state == "loading" else {}
        for table, task in list(self._tasks.items()):
            if table not in wanted:
                task.cancel()
                del self._tasks[table]
        for table, model in wanted.items():
            if table not in self._tasks:
                task = asyncio.create_task(self._teach(model), name=f"learning {model.name}")
                task.add_done_callback(self._ended)
                self._tasks[table] = task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._context.fail(error)

    async def _teach(self, model: ModelProgress) -> None:
        """Learn one table and tell; what cannot be learned fails the run with the reason."""
        failures = 0
        while True:
            try:
                async with self._turn:
                    await self._learn(model)
                return
            except TransientError as error:
                failures += 1
                delay = _RETRY.delay(failures, self._context.replica)
                self._context.log.warning("learning.again", run=self._run, table=model.name, code=error.code)
                if delay is None:
                    await self._refuse(model.table, error)
                    return
                await asyncio.sleep(delay)
            except TailraceError as error:
                await self._refuse(model.table, error)
                return

    async def _learn(self, model: ModelProgress) -> None:
        started, learning = time.monotonic(), self._plan.table(model.table).learning
        if learning is None:
            raise TerminalError("trainer.plan", f"{model.name} is not to be learned by its plan", "Report this.")
        await self._seen(model.table)
        tables = await self._sample(model, learning)
        rows = sum(table.num_rows for table in tables)
        self._context.log.info("learning.begins", run=self._run, table=model.name, rows=rows)
        told, telling = 0.0, set[asyncio.Task[None]]()

        def on_progress(progress: Progress) -> None:
            nonlocal told
            self._measure(model, progress)
            if time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                task = asyncio.create_task(self._seen(model.table, rows, progress))
                telling.add(task)
                task.add_done_callback(telling.discard)

        crash_point("trainer.before-learning")
        asked = request_of(self._plan, learning, *(table.num_rows for table in tables))
        memory = self._settings.training_memory_mb * MEGABYTE
        artefact: Artefact | SequenceArtefact
        if asked.events is None:
            artefact = await learn(asked, tables[0], memory_max=memory, on_progress=on_progress)
        else:
            artefact = await learn_sequence(asked, tables[0], tables[1], memory_max=memory, on_progress=on_progress)
        crash_point("trainer.before-publishing")
        await self._publish(artefact)
        crash_point("trainer.after-publishing")
        said = artefact.header.training
        await self._context.control.fact(
            ModelReady(
                run=self._run,
                attempt=self._plan.attempt,
                table=model.table,
                replica=self._context.replica,
                digest=artefact.digest,
                bytes=len(artefact.data),
                rows=rows,
                epochs=said.epochs,
                loss=said.loss,
                held_out_loss=said.held_out_loss,
                seconds=round(time.monotonic() - started, 1),
            )
        )
        self._rows += rows
        self._bytes += len(artefact.data)
        self._context.metrics.rows.labels(self._run).inc(rows)
        self._context.metrics.bytes.labels(self._run, "out").inc(len(artefact.data))
        self._context.metrics.last_commit.labels(self._run).set_to_current_time()

    async def _sample(self, model: ModelProgress, learning: Learning) -> tuple[pa.Table, ...]:
        """What is learned from: a table, or entities and their events."""
        topic = topics.of_run(self._settings.namespace, self._run, "training")
        most, memory = self._settings.training_rows_max, self._settings.training_memory_mb * MEGABYTE // 4
        rows = min(learning.rows or most, most)
        common = (self._context.kafka, topic, self._cipher(), self._plan, model)
        if learning.events is None:
            return (await collect(*common, rows_max=rows, bytes_max=memory),)
        return await collect_pair(*common, rows_max=rows, events_max=most, bytes_max=memory)

    async def _publish(self, artefact: Artefact | SequenceArtefact) -> None:
        sender = Sender(self._context.kafka, self._plan.message_bytes)
        await sender.start()
        try:
            await sender.send(topics.of_run(self._settings.namespace, self._run, "models"), artefact.data)
        finally:
            await sender.stop(Deadline.after(self._settings.drain_s))

    async def _seen(self, table: int, rows: int = 0, progress: Progress | None = None) -> None:
        told = TrainingSeen(
            run=self._run, attempt=self._plan.attempt, table=table, replica=self._context.replica, rows=rows,
            epoch=progress.epoch if progress else 0, loss=round(progress.loss, 4) if progress else 0.0,
            remaining_s=progress.remaining_s if progress else 0.0,
        )  # fmt: skip
        try:
            await self._context.control.fact(told)
        except TailraceError as error:  # the next one may get through
            self._context.log.warning("learning.untold", run=self._run, code=error.code)

    def _measure(self, model: ModelProgress, progress: Progress) -> None:
        learning = self._context.metrics.learning
        learning.epoch.labels(self._run, model.name).set(progress.epoch)
        learning.loss.labels(self._run, model.name).set(progress.loss)
        learning.remaining.labels(self._run, model.name).set(progress.remaining_s)

    async def _refuse(self, table: int, error: TailraceError) -> None:
        self._context.log.error("learning.failed", run=self._run, table=table, code=error.code, message=error.message)
        self._context.metrics.failures.labels(self._run).inc()
        await self._context.control.fact(
            TrainingRefused(
                run=self._run,
                attempt=self._plan.attempt,
                table=table,
                replica=self._context.replica,
                failure=Failure(code=error.code, message=error.message, remedy=error.remedy),
            )
        )

    def _cipher(self) -> DataCipher:
        key = secret_setting("TAILRACE_TRANSPORT_KEY")
        if key is None:
            raise UsageError(
                "transport-key.missing", "TAILRACE_TRANSPORT_KEY is not set",
                "Give reader, generator and trainer the same TAILRACE_TRANSPORT_KEY (or TAILRACE_TRANSPORT_KEY_FILE).",
            )  # fmt: skip
        plan = self._plan
        return DataCipher(TransportKey.of(key).unwrap(plan.key.wrapped, f"{plan.run}/{plan.attempt}"))


def request_of(plan: Plan, learning: Learning, rows: int, events: int = 0) -> LearnRequest:
    """What the child is asked to learn, of so many rows and events."""
    table = plan.table(learning.source.number)
    rules = {column.name: column.rule for column in table.columns}
    conditioned = tuple(name for name in learning.columns if getattr(rules[name], "conditioned", False))
    return LearnRequest(
        table=str(table.name),
        columns=_columns(plan, learning.source, learning.columns, learning),
        seed=learning.seed,
        privacy=Privacy(
            k=learning.k,
            rare=learning.rare,
            replacement=learning.replacement,
            epsilon=learning.epsilon,
            delta=learning.delta,
        ),
        together=learning.together,
        ordered=learning.ordered,
        entity=learning.entity,
        first=tuple(dict.fromkeys((*learning.seeded, *conditioned, *learning.context))),
        events=_events(plan, learning, learning.events, events) if learning.events else None,
        epochs_max=_epochs(learning, rows),
        bytes_max=min(MODEL_BYTES_MAX, plan.message_bytes * 7 // 8),
    )


def _events(plan: Plan, learning: Learning, events: LearnedEvents, rows: int) -> LearnEvents:
    return LearnEvents(
        table=str(events.source.name),
        columns=_columns(plan, events.source, events.columns, None),
        key=learning.key,
        foreign_key=events.foreign_key,
        order=events.order or None,
        length_max=events.length_max,
        epochs_max=_epochs(learning, rows),
    )


def _columns(
    plan: Plan, source: PlannedTable, learned: Sequence[str], learning: Learning | None
) -> tuple[LearnColumn, ...]:
    made = {column.name: column for column in plan.table(source.number).columns}
    found = []
    for column in source.columns:
        if column.name in learned:
            mask = made[column.name].mask
            form = _form(made[column.name], learning)
            found.append(
                LearnColumn(name=column.name, type=column.type, nullable=mask is None or mask.nullable, form=form)
            )
    return tuple(found)


def _epochs(learning: Learning, rows: int) -> int:
    return learning.epochs or max(EPOCHS, min(EPOCHS_MOST, ROWS_ENOUGH // max(1, rows)))


def _form(column: PlannedColumn, learning: Learning | None) -> Form | None:
    """How a column is learned: values that go through a rule, or are given, are such as a model knows as they are."""
    asked: Form | None = getattr(column.rule, "form", None)
    if learning is None:
        return asked
    if column.name in learning.context:
        return "category"
    if asked is None and column.name in learning.seeded:
        return "number" if column.type.family in NUMBERS else "category"
    return asked
