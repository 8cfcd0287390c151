"""The plan task: read the source's catalogue under a new snapshot, plan, publish the plan, keep the snapshot."""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import NamedTuple

import asyncpg

from tailrace_reader.access import source_of, transport_key
from tailrace_reader.attempts import PlannedAttempt, PlannedAttempts
from tailrace_reader.lane_opening import OpenedLane, open_lane
from tailrace_reader.patience import SourcePatience
from tailrace_reader.schema_dump import schema_of
from tailrace_reader.settings import Settings
from tailrace_reader.snapshot import HeldSnapshot, SourceServer, begin_in, export_snapshot
from tailrace_shared import topics
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.dataplane.retry import FOREVER
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.envelope import DataCipher
from tailrace_shared.errors import TailraceError, TerminalError, TransientError
from tailrace_shared.messages import Failure, Planned, PlanRefused, PlanTask, RunRecord, StageFailed
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import DataKey, Plan, PlanResult, Problem
from tailrace_shared.plan.resync import NextAttempt
from tailrace_shared.plan.sealing import seal_filters, seal_seeds
from tailrace_shared.postgres import CONNECT_TIMEOUT_S, connect, translated
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.plans import Plans

_STOP_S = 5.0
_PLAN_TRIES = 3
"""For a plan that is known to have been published; each takes its time."""


class _Turn(NamedTuple):
    attempt: int
    work: asyncio.Task[None]


class Planner:
    """Answers plan tasks in the background. One at a time per run; a task that is answered already is answered again with the
    same plan.

    Whoever brings a task does not wait, so a source that is away delays no other run, and may acknowledge the task at once:
    the leader asks again for as long as it has no plan.
    """

    def __init__(self, context: ServiceContext, settings: Settings, attempts: PlannedAttempts) -> None:
        self._context = context
        self._settings = settings
        self._attempts = attempts
        self._seen: dict[str, tuple[int, bool]] = {}
        """Per run the attempt that it is at, and whether that is planned or the run over."""
        self._turns: dict[str, _Turn] = {}
        """What is being answered, by run."""
        self._slots = asyncio.Semaphore(settings.max_active_runs)
        """Plans being made at once. A wait for a source that is away holds none."""
        self._stopping = False

    def on_record(self, record: RunRecord) -> None:
        """Note which attempt and plan the run is at."""
        self._attempts.on_record(record)
        self._seen[record.run] = (record.attempt, record.terminal or bool(record.digest))

    def take(self, task: PlanTask) -> None:
        """Begin to answer; returns at once. Nothing happens when this attempt of the run, or a later one, is at it already."""
        if self._stopping:
            return
        if turn := self._turns.get(task.run):
            if turn.attempt >= task.attempt:
                return
            turn.work.cancel()  # of an attempt that is over
        work = asyncio.create_task(self._plan(task), name=f"plan {task.run}")
        self._turns[task.run] = _Turn(task.attempt, work)
        work.add_done_callback(partial(self._ended, task.run))

    async def stop(self, deadline: Deadline) -> None:
        """Give up what is not answered; another reader will be asked."""
        self._stopping = True
        works = [turn.work for turn in self._turns.values()]
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works, timeout=deadline.remaining())

    def _ended(self, run: str, work: asyncio.Task[None]) -> None:
        if (turn := self._turns.get(run)) and turn.work is work:
            del self._turns[run]
        if not work.cancelled() and (error := work.exception()) is not None:
            self._context.fail(error)  # the failure itself could not be told

    async def _plan(self, task: PlanTask) -> None:
        """Answer with ``Planned``, ``PlanRefused`` or ``StageFailed``; in silence when nobody waits for it any more."""
        patience = SourcePatience(self._settings.source_patience_s)
        failures = 0
        while not self._in_vain(task):
            try:
                async with self._slots:
                    if not self._in_vain(task):
                        await self._answer(task)
                return
            except TailraceError as error:
                judged = patience.judge(error, time.monotonic())
                if not isinstance(judged, TransientError):
                    await self._fail(task, judged)
                    return
                failures += 1
                self._context.log.warning("plan.retry", run=task.run, code=error.code, message=error.message)
                await asyncio.sleep(FOREVER.delay(failures, task.run) or 0)
            except Exception as error:  # a defect: it would strike one reader after another if it ended the process
                await self._fail(task, error)
                return

    def _in_vain(self, task: PlanTask) -> bool:
        attempt, settled = self._seen.get(task.run, (0, False))
        return attempt > task.attempt or (attempt == task.attempt and settled)

    async def _answer(self, task: PlanTask) -> None:
        planned = self._attempts.of(task.run, task.attempt)
        if planned is None:
            source = source_of(task.job, self._context.application_name)
            holder = await export_snapshot(source)
            try:
                result = await self._build(task, source, holder)
                if result.plan is not None and result.plan.continuous is not None:
                    holder.release()  # the plan is as it should be: now a snapshot that fits a change stream
                    opened = await self._open_lane(task, source, result.plan)
                    holder = opened.holder
                    result = await self._build(task, source, holder)
                    if result.plan is not None:
                        result = result.model_copy(update={"plan": opened.into(result.plan)})
                if result.plan is None:
                    await self._refuse(task, result)
                    holder.release()
                    return
                digest = await self._publish(task, result.plan)
            except BaseException:
                holder.release()
                raise
            planned = PlannedAttempt(task.run, task.attempt, digest, holder)
            self._attempts.put(planned)
        if self._in_vain(task):  # another reader's plan has won meanwhile
            self._attempts.drop(task.run)
            return
        await self._context.control.fact(
            Planned(
                run=task.run,
                attempt=task.attempt,
                replica=self._context.replica,
                digest=planned.digest,
                snapshot=planned.holder.id,
            )
        )
        self._context.log.info("run.planned", run=task.run, attempt=task.attempt, digest=planned.digest)

    async def _open_lane(self, task: PlanTask, source: SourceServer, plan: Plan) -> OpenedLane:
        """Publication, slot and snapshot. Where that fails they stay: for the next try, or for the janitor once the run is over."""
        tables = [table.name for table in plan.tables if table.mode != "truncate"]
        publication = task.job.continuous.publication
        return await open_lane(source, task.run, task.attempt, tables, publication)

    async def _build(self, task: PlanTask, source: SourceServer, holder: HeldSnapshot) -> PlanResult:
        """Plan in the snapshot, so that what was planned is what will be read."""
        key = transport_key()
        before = await self._plan_before(task)
        # Not a session for ordered reads: those have index scans off, and the catalogue is read through its indexes.
        connection: asyncpg.Connection = await connect(
            source.url,
            source.application_name,
            variable=source.variable,
            timeout_s=CONNECT_TIMEOUT_S,
            statement_timeout="0",
        )
        try:
            with translated():
                await begin_in(connection, holder)
                catalogue = await read_catalogue(connection, task.job.schemas)
                again = None if before is None else NextAttempt.of(task.job, before, catalogue, task.destination)
                if again is not None and again.refused:
                    return PlanResult(plan=None, problems=tuple(_undecided(*said) for said in again.refused.items()))
                job = task.job if again is None else again.job
                destination = task.destination if again is None else again.ground.destination
                facts = await gather_facts(connection, job, catalogue, destination)
                schema, unread = await schema_of(connection, job, catalogue, source, holder.id)
        finally:
            connection.terminate()
        wrapped = key.wrap(DataCipher.new_key(), f"{task.run}/{task.attempt}")
        result = await asyncio.to_thread(
            build_plan,
            job,
            catalogue,
            destination,
            run=task.run,
            attempt=task.attempt,
            fingerprints=task.fingerprints,
            key=DataKey(id=secrets.token_hex(8), wrapped=wrapped),
            facts=facts,
            schema=schema,
        )
        if result.plan is None:
            return result
        if unread is not None:  # only now: the plan's own problems say it better, and what to do
            raise unread
        plan = result.plan if again is None else again.into(result.plan)
        return result.model_copy(update={"plan": seal_seeds(seal_filters(plan, key), key)})

    async def _plan_before(self, task: PlanTask) -> Plan | None:
        """Of a continuous run that begins anew. Raises TerminalError where it is lost and was to decide about columns."""
        if not task.before:
            return None
        plans = Plans(self._context.kafka, self._settings.namespace)
        for _ in range(_PLAN_TRIES):
            try:
                return await plans.fetch(task.run, task.before)
            except TransientError as error:
                if error.code != "plan.absent":
                    raise
        if task.job.continuous.columns is None:
            return None  # the job's policy decides about all columns alike
        raise TerminalError(
            "plan.lost",
            f"Kafka has lost the plan of run {task.run}: nobody knows which columns have appeared while it lasted",
            "Run the job again.",
        )

    async def _publish(self, task: PlanTask, plan: Plan) -> str:
        data = await asyncio.to_thread(plan.encode)
        sender = Sender(self._context.kafka, plan.message_bytes)
        await sender.start()
        try:
            await sender.send(topics.of_run(self._settings.namespace, task.run, "plan"), data, partition=0)
        except TerminalError as error:
            if error.code != "kafka.message-too-large":
                raise
            raise TerminalError(
                "plan.too-large",
                f"the plan of run {task.run} is {len(data):,} bytes, above the largest message of {plan.message_bytes:,}",
                "Raise limits.message_bytes in the job, or carry fewer schemas or tables per job.",
            ) from None
        finally:
            await sender.stop(Deadline.after(_STOP_S))
        return Plan.digest_of(data)

    async def _refuse(self, task: PlanTask, result: PlanResult) -> None:
        await self._context.control.fact(
            PlanRefused(run=task.run, attempt=task.attempt, replica=self._context.replica, problems=result.problems)
        )
        self._context.log.warning(
            "run.refused", run=task.run, attempt=task.attempt, problems=[p.code for p in result.problems]
        )

    async def _fail(self, task: PlanTask, error: Exception) -> None:
        self._context.log.error("plan.failed", run=task.run, attempt=task.attempt, exc_info=error)
        await self._context.control.fact(
            StageFailed(
                run=task.run,
                attempt=task.attempt,
                service="reader",
                replica=self._context.replica,
                failure=_failure(error),
            )
        )


def _failure(error: Exception) -> Failure:
    """What the run's record will say; of an unforeseen error its type alone, because its text may quote values."""
    if isinstance(error, TailraceError):
        return Failure(code=error.code, message=error.message, remedy=error.remedy, where="planning")
    message = f"unexpected {type(error).__name__} while planning"
    return Failure(code="reader.unexpected", message=message, remedy="See the reader's log.", where="planning")


def _undecided(table: TableName, why: str) -> Problem:
    """A column has appeared, and the job halts there."""
    return Problem(
        severity="error", code="plan.no-rule", where=str(table), message=why, remedy="Run the job with a rule for it."
    )
