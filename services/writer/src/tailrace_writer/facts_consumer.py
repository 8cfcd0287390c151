"""Facts from the topic into the tables: any writer, each run on its own, so that a dead destination delays no other run.

The offset is committed when the fact's transaction is; the facts of a run whose destination is away wait in memory, small
and bounded in number, and are read again after a restart.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
import structlog
from pydantic import ValidationError

from tailrace_shared import formats, topics
from tailrace_shared.dataplane.pump import Delivery, Pump
from tailrace_shared.dataplane.retry import FOREVER, RetrySchedule
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError, TerminalError
from tailrace_shared.messages import FACT, Fact, ReplicaSeen, RunRecord, RunSubmitted
from tailrace_shared.postgres import translated
from tailrace_shared.service.context import ServiceContext
from tailrace_writer.destinations import Destinations
from tailrace_writer.member import failure_of
from tailrace_writer.publish import record_of_row
from tailrace_writer.runs import Runs
from tailrace_writer.state.facts import apply_fact

IN_HAND = 4096
"""Facts at once, over all runs. They are some hundred bytes each."""
WINDOW_BYTES = 64 << 20
"""A submission carries a job, and could be large."""
BEHIND = 32
"""Facts of one run that wait; from here on its heartbeats are dropped, so that a destination that hangs fills no memory."""
APPLY_S = 30.0
"""A fact's transaction takes milliseconds; after so long the session is given up."""
UNKNOWN_S = 30.0
"""A fact may arrive before the record of its run; one whose run nobody has submitted is dropped after so long."""
IDLE_S = 15.0
"""A run's session for facts is closed when none has come for so long."""
_RETRY = RetrySchedule(first_s=0.2, limit_s=5.0, attempts=None)

log = structlog.get_logger()


@dataclass
class _Lane:
    """One run's facts, in the order of arrival."""

    waiting: asyncio.Queue[tuple[Fact, asyncio.Future[None]]] = field(default_factory=asyncio.Queue)
    troubled: bool = False
    task: asyncio.Task[None] | None = None


class FactsConsumer:
    """This writer's member of the facts group."""

    def __init__(self, context: ServiceContext, destinations: Destinations, runs: Runs) -> None:
        self._context = context
        self._destinations = destinations
        self._runs = runs
        self._lanes: dict[str, _Lane] = {}
        namespace = context.settings.namespace
        topic = topics.facts(namespace)
        self._pump = Pump(
            context.kafka,
            topic,
            topics.group(namespace, "writer", topic),
            self.handle,
            window_bytes=WINDOW_BYTES,
            parallel=IN_HAND,
            retry=FOREVER,
            on_failure=self._failed,
            name="facts",
        )

    async def start(self) -> None:
        """Join the group."""
        await self._pump.start()

    async def stop(self, deadline: Deadline) -> None:
        """Leave; facts in hand stay uncommitted and are another writer's."""
        await self._pump.stop(deadline)
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def last_progress(self) -> float:
        """When the pump last turned."""
        return self._pump.last_poll

    async def handle(self, delivery: Delivery) -> None:
        """Returns when the fact is in the tables, or does not belong there."""
        if formats.is_foreign(delivery.headers):
            said = formats.refusal(delivery.topic, delivery.headers)
            log.error("control.foreign", code=said.code, message=said.message, remedy=said.remedy)
            return
        try:
            fact = FACT.validate_json(delivery.value)
        except ValidationError:
            log.error("fact.malformed", partition=delivery.partition, offset=delivery.offset)
            return
        if self._runs.is_over(fact.run):
            return
        record = self._runs.get(fact.run)
        lane = self._lanes.get(fact.run)
        late = lane is not None and (lane.troubled or lane.waiting.qsize() >= BEHIND)
        if isinstance(fact, ReplicaSeen) and (record is None or late):
            return  # the next heartbeat says the same
        if lane is None:
            lane = self._lanes[fact.run] = _Lane()
            lane.task = asyncio.create_task(self._work(fact.run, lane), name=f"facts {fact.run}")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lane.waiting.put_nowait((fact, done))
        await done

    async def _work(self, run: str, lane: _Lane) -> None:
        connection: asyncpg.Connection | None = None
        try:
            while True:
                try:
                    async with asyncio.timeout(IDLE_S):
                        fact, done = await lane.waiting.get()
                except TimeoutError:
                    if lane.waiting.empty():
                        return
                    continue
                try:
                    connection = await self._settle(fact, lane, connection)
                except Exception as error:  # a defect: the pump tells, the process ends
                    done.set_exception(error)
                    raise
                if not done.done():
                    done.set_result(None)
        finally:
            self._lanes.pop(run, None)
            while not lane.waiting.empty():
                lane.waiting.get_nowait()[1].cancel()
            if connection is not None:
                connection.terminate()

    async def _settle(
        self, fact: Fact, lane: _Lane, connection: asyncpg.Connection | None
    ) -> asyncpg.Connection | None:
        """Apply one fact, for as long as it takes. Returns the session for the next one."""
        failures = 0
        while True:
            try:
                reference = await self._reference(fact)
                if reference is None:
                    log.warning("fact.unknown-run", run=fact.run, fact=fact.fact)
                    return connection
                if connection is None or connection.is_closed():
                    connection = await self._destinations.of(reference).connect()
                with translated():
                    async with asyncio.timeout(APPLY_S):
                        await apply_fact(connection, fact)
                if isinstance(fact, RunSubmitted):
                    await self._announce(connection, fact.run)
                lane.troubled = False
                return connection
            except TailraceError as error:
                if isinstance(fact, RunSubmitted) and isinstance(error, TerminalError):
                    await self._refuse(fact, error)
                    return connection
                failures += 1
                lane.troubled = True
                log.warning("fact.again", run=fact.run, fact=fact.fact, code=error.code, message=error.message)
                if connection is not None:
                    connection.terminate()
                    connection = None
                if isinstance(fact, ReplicaSeen):
                    return None
                await asyncio.sleep(_RETRY.delay(failures, fact.run) or 1.0)

    async def _reference(self, fact: Fact) -> str | None:
        """The variable that names the destination of the fact's run."""
        if isinstance(fact, RunSubmitted):
            return fact.job.destination.url
        record = self._runs.get(fact.run) or await self._runs.wait_for(fact.run, UNKNOWN_S)
        return None if record is None else record.job.destination.url

    async def _announce(self, connection: asyncpg.Connection, run: str) -> None:
        """Publish the new run's row as it is: writers learn from it that there is a run to lead."""
        with translated():
            row = await connection.fetchrow("SELECT * FROM tailrace.run WHERE run = $1", run)
        if row is not None:
            await self._publish(record_of_row(row))

    async def _refuse(self, fact: RunSubmitted, error: TailraceError) -> None:
        """There is no place for the run's row: say so where the row's copy would be."""
        log.error("run.refused", run=fact.run, code=error.code, message=error.message)
        await self._publish(
            RunRecord(
                run=fact.run,
                version=1,
                state="failed",
                job=fact.job,
                submitted_at=fact.at,
                updated_at=fact.at,
                finished_at=fact.at,
                failure=failure_of(error),
            )
        )

    async def _publish(self, record: RunRecord) -> None:
        await self._context.control.record(record)
        await self._runs.note(record)

    async def _failed(self, error: BaseException, delivery: Delivery | None) -> bool:
        """Facts cannot be told to anybody else: the writer cannot go on without its group."""
        with suppress(Exception):
            log.error("facts.failed", exc_info=error)
        self._context.fail(error)
        return False
