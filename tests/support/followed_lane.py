"""The writer's own follower over a list of records: whatever its session's end interrupts, it goes on from what was committed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
from aiokafka import TopicPartition

from support.capturing import LANE, opened
from support.databases import Pair
from support.writing import Database
from tailrace_reader.capture.record import Record
from tailrace_shared.changes import encode_body, headers_of_change
from tailrace_shared.plan.model import Plan
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.metrics import Metrics
from tailrace_shared.settings import ServiceSettings
from tailrace_writer.comparison.destination import DestinationSide
from tailrace_writer.destinations import Destination
from tailrace_writer.lane.follower import Follower
from tailrace_writer.lane.laying import lay_out_lane

PLACE = TopicPartition("lane", 0)
LOCK_TIMEOUT_S = 5.0
DEADLINE_S = 60.0
MANY = 12


class _Stored(NamedTuple):
    offset: int
    headers: list[tuple[str, bytes]]
    value: bytes


@dataclass
class _Topic:
    """One partition as a consumer sees it."""

    dice: random.Random
    records: list[_Stored] = field(default_factory=list)
    next: int = 0

    def store(self, record: Record) -> None:
        """As a generator that duplicates everything passes it on."""
        head, body = opened(record)
        encoded = encode_body(body.controls, [rows for _, rows in body.tables])
        head = head._replace(
            kind="masked-changes", key="", tables=tuple(number for number, _ in body.tables), schema=encoded.schema,
            changes=sum(len(rows) for _, rows in body.tables), bytes=encoded.bytes,
        )  # fmt: skip
        self.records.append(_Stored(len(self.records), headers_of_change(head), encoded.data))

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.next = offset

    async def beginning_offsets(self, _: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {PLACE: 0}

    async def end_offsets(self, _: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {PLACE: len(self.records)}

    async def getmany(self, _: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[_Stored]]:
        taken = self.records[self.next : self.next + self.dice.randint(1, MANY)]
        self.next += len(taken)
        if not taken:
            await asyncio.sleep(0.005)
            return {}
        return {PLACE: taken}


@dataclass
class _Plans:
    plan: Plan
    newer: Mapping[str, Plan]

    async def of(self, digest: str) -> Plan:
        return self.newer.get(digest, self.plan)


@dataclass
class FollowedLane:
    """The destination's end of a lane."""

    plan: Plan
    destination: Destination
    topic: _Topic
    lost: int = 0
    """Sessions that were cut off."""
    newer: dict[str, Plan] = field(default_factory=dict)
    """By digest: plans by which later records are made."""

    @classmethod
    async def laid_out(cls, pair: Pair, plan: Plan, start: int, dice: random.Random) -> FollowedLane:
        """In a destination whose tables are loaded as the source was at ``start``. The test sets DESTINATION_URL."""
        destination = Destination("${DESTINATION_URL}", "tailrace/writer-test")
        connection = await destination.connect()
        try:
            await connection.execute('TRUNCATE tailrace.run, tailrace.lane, tailrace."table" CASCADE')
            seat = await Database(pair.destination).submit(connection, LANE.run)
            await connection.execute("UPDATE tailrace.run SET state = 'streaming' WHERE run = $1", LANE.run)
            assert plan.continuous is not None
            follow = plan.continuous.model_copy(
                update={"lane": LANE.lane, "system": LANE.system, "timeline": LANE.timeline, "start": f"0/{start:X}"}
            )
            plan = plan.model_copy(update={"run": LANE.run, "attempt": 1, "continuous": follow})
            await connection.executemany(
                'INSERT INTO tailrace."table" (run, attempt, table_no, schema_name, name, state, planned_ranges) '
                "VALUES ($1, 1, $2, $3, $4, 'loaded', 1)",
                [(LANE.run, t.number, t.name.schema_name, t.name.name) for t in plan.tables],
            )
            await lay_out_lane(connection, seat, plan)
            await connection.execute("UPDATE tailrace.\"table\" SET snapshot = ''")  # no load has seen anything
        finally:
            await connection.close()
        return cls(plan, destination, _Topic(dice))

    async def follow(self, log: Sequence[Record]) -> None:
        """Until everything of the log is applied, in sessions that end at any moment."""
        for record in log[len(self.topic.records) :]:
            self.topic.store(record)
        deadline = time.monotonic() + DEADLINE_S
        while not await self._session():
            assert time.monotonic() < deadline, "the follower did not come to the end"

    async def _session(self) -> bool:
        dice = self.topic.dice
        connection = await self.destination.connect()
        follower = self._follower(connection)
        working = asyncio.create_task(self._work(follower, connection))
        try:
            done, _ = await asyncio.wait(
                {working}, timeout=dice.uniform(0.02, 1.5) if dice.random() < 0.5 else DEADLINE_S
            )
            if done:
                working.result()
                return True
            self.lost += 1
            return False
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            connection.terminate()
            await follower.close()

    async def _work(self, follower: Follower, connection: asyncpg.Connection) -> None:
        while await self._offset(connection) < len(self.topic.records) - 1:
            await follower.turn()

    async def _offset(self, connection: asyncpg.Connection) -> int:
        held: int = await connection.fetchval("SELECT kafka_offset FROM tailrace.lane WHERE run = $1", self.plan.run)
        return held

    def _follower(self, connection: asyncpg.Connection) -> Follower:
        unused: Any = None
        context = ServiceContext(
            ServiceSettings(), "writer", "writer-test", unused, unused, Metrics("writer"), lambda _: None
        )
        plans: Any = _Plans(self.plan, self.newer)
        side = DestinationSide(self.destination, self.plan.run, "writer-test")
        return Follower(context, self.plan, plans, connection, self.topic, PLACE, LOCK_TIMEOUT_S, side, lambda: None)
