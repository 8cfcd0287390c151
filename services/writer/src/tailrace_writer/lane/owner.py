"""Owning a lane: one writer at a time, by a session lock in the destination, for as long as the run follows its source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from aiokafka import TopicPartition

from tailrace_shared import topics
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TailraceError
from tailrace_shared.kafka import map_error as map_kafka_error
from tailrace_shared.kafka.errors import FOREIGN
from tailrace_shared.plan.model import Plan
from tailrace_shared.postgres import DRIVER_ERRORS, map_error
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.lineage import Lineage
from tailrace_writer.comparison.destination import DestinationSide
from tailrace_writer.destinations import Destination
from tailrace_writer.hindrance import Hindrance
from tailrace_writer.lane.failing import Broken
from tailrace_writer.lane.follower import Follower
from tailrace_writer.lane.position import Gap
from tailrace_writer.lock_keys import lock_key
from tailrace_writer.settings import Settings
from tailrace_writer.terminate import terminate_stale

STAND_S = 0.5
"""A candidate looks this often whether the lane is free."""
LEAVE_S = 3.0
_RETRY = RetrySchedule(first_s=0.2, limit_s=5.0, attempts=None)

log = structlog.get_logger()


class LaneOwner:
    """One writer's candidature for a run's lane, and its work while it has it. ``run`` never returns: cancel it to stop.

    ``broken`` is told when changes are missing; it is told again while nobody has repaired that.
    """

    def __init__(
        self,
        context: ServiceContext,
        settings: Settings,
        destination: Destination,
        plan: Plan,
        digest: str,
        broken: Callable[[Gap], Awaitable[None]],
    ) -> None:
        assert plan.continuous is not None
        self._context = context
        self._settings = settings
        self._destination = destination
        self._plan = plan
        self._lineage = Lineage(context.kafka, settings.namespace, plan, digest)
        self._broken = broken
        self._lane = plan.continuous.lane
        self._topic = topics.of_run(settings.namespace, plan.run, "masked-changes")
        self._hindrance = Hindrance(plan.run, context.replica, destination)
        self._comparing = DestinationSide(destination, plan.run, context.replica)
        self._log = log.bind(run=plan.run, lane=self._lane)
        self.changes = 0
        self.bytes = 0
        self.last_turn = time.monotonic()

    async def run(self) -> None:
        """Stand for the lane and follow it, again and again."""
        try:
            await self._run()
        finally:
            await self._comparing.stop()

    async def _run(self) -> None:
        failures = 0
        while True:
            self.last_turn = time.monotonic()
            made = self.changes
            try:
                await self._own()
            except Broken as error:
                self._log.error("lane.broken", code=error.gap.code, why=error.gap.why)
                await self._broken(error.gap)
                failures += 1
            except TailraceError as error:
                # Terminal or not: what the server refuses today it may take tomorrow, and the lane loses nothing by waiting.
                failures = 1 if self.changes > made else failures + 1
                self._context.metrics.retries.labels(self._plan.run).inc()
                self._log.warning("lane.retry", code=error.code, message=error.message)
                if error.code == "postgres.lock":
                    await self._comparing.give_way()
                await self._hindrance.failed(error)
            await asyncio.sleep(_RETRY.delay(failures, self._context.replica) or STAND_S)

    def _turn(self) -> None:
        self.last_turn = time.monotonic()

    async def _own(self) -> None:
        connection = await self._destination.connect()
        consumer = follower = None
        try:
            key = lock_key("lane", self._plan.run, self._lane)
            while not await connection.fetchval(f"SELECT pg_catalog.pg_try_advisory_lock({key})"):
                await terminate_stale(connection, self._settings.stale_s)
                self.last_turn = time.monotonic()
                await asyncio.sleep(STAND_S)
            self._log.info("lane.owned")
            place = TopicPartition(self._topic, 0)
            consumer = self._context.kafka.consumer(group=None, auto_offset_reset="none")
            consumer.assign([place])
            await consumer.start()
            follower = Follower(
                self._context,
                self._plan,
                self._lineage,
                connection,
                consumer,
                place,
                self._settings.lock_timeout_s,
                self._comparing,
                self._turn,
            )
            while True:
                self.last_turn = time.monotonic()
                applied = await follower.turn()
                if applied.bytes:
                    await self._hindrance.passed()
                self.changes += applied.changes
                self.bytes += applied.bytes
        except FOREIGN as error:
            raise map_kafka_error(error, self._context.kafka.settings, f"reading {self._topic}") from None
        except DRIVER_ERRORS as error:
            raise map_error(error) from None
        finally:
            connection.terminate()
            if follower is not None:
                await follower.close()
            if consumer is not None:
                await self._context.kafka.release(consumer, Deadline.after(LEAVE_S))
