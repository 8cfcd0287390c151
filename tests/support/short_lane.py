"""A lane without services and Kafka: captured, gathered, folded and applied in one process, cut and repeated at random.

What may happen between the stages happens here: captures end anywhere and go on where slot and lane say, records come twice and out
of a former capture's mouth, destination transactions take any number of records, or are rolled back. Values travel unmasked.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import asyncpg

from support.capturing import KEY, LANE, opened
from support.catalogues import planned
from support.databases import Pair
from tailrace_reader.capture.cutting import CutRule
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.errors import SlotActive
from tailrace_reader.capture.publication import ensure_publication, relations_of
from tailrace_reader.capture.record import Record, Recorder
from tailrace_reader.capture.slots import create_slot, source_position
from tailrace_reader.capture.stream import ChangeStream, StreamOptions
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.capture.tail import LaneEnd, end_of
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.envelope import DataCipher
from tailrace_shared.plan.model import Plan
from tailrace_writer.lane.apply import BY_INDEX, LaneApplier
from tailrace_writer.lane.fold import fold
from tailrace_writer.lane.gather import Gathering
from tailrace_writer.lane.multiset import fold_rows
from tailrace_writer.lane.position import Again, Apply, Gap, Position, judge
from tailrace_writer.lane.statements import LaneTable

SLOT = "tailrace_short_lane"
DEADLINE_S = 60.0


async def plan_of_pair(source: asyncpg.Connection, destination: asyncpg.Connection) -> Plan:
    """A continuous plan that duplicates everything."""
    return planned(
        "mode: continuous\npolicy: pass\nschemas: [public]\n",
        await read_catalogue(source, ["public"]),
        await read_catalogue(destination, ["public"]),
    )


@dataclass
class ShortLane:
    """Both ends of a lane between the databases of a pair."""

    server: SourceServer
    plan: Plan
    captured: list[CapturedTable]
    dice: random.Random
    start: int
    log: list[Record] = field(default_factory=list)
    """Everything that was ever sent, in the order in which it was stored."""
    confirmed: int = 0
    position: Position = field(default_factory=lambda: Position(LANE.system, LANE.timeline, 0))
    taken: int = 0
    """Records of the log that the destination holds."""

    @classmethod
    async def between(cls, pair: Pair, server: SourceServer, dice: random.Random) -> ShortLane:
        source = await asyncpg.connect(pair.source.url(pair.name))
        destination = await asyncpg.connect(pair.destination.url(pair.name))
        try:
            plan = await plan_of_pair(source, destination)
            names = [t.name for t in plan.tables]
            await ensure_publication(source, SLOT, names)
            start = await create_slot(source, SLOT)
            relations = await relations_of(source, names)
        finally:
            await source.close()
            await destination.close()
        tables = [
            CapturedTable.of(t, relations[t.name], key=t.identity if relations[t.name].identity == "f" else ())
            for t in plan.tables
        ]
        return cls(server, plan, tables, dice, start, position=Position(LANE.system, LANE.timeline, start))

    async def capture(self, until: int) -> None:
        """Captures, one after the other, until the lane goes that far."""
        deadline, lives = time.monotonic() + DEADLINE_S, 0
        while self._end().tail.end < until:
            assert time.monotonic() < deadline, "the stream did not come so far"
            try:
                await self._one_capture(until, (lives := lives + 1) * self.dice.randint(1, 25))
            except SlotActive:  # the former session is not over yet
                await asyncio.sleep(0.02)
                continue
            if self.log and self.dice.random() < 0.5:  # one that was thought dead says its last words once more
                at = self.dice.randrange(len(self.log))
                self.log += self.log[at : at + self.dice.randint(1, 3)]

    async def apply(self, connection: asyncpg.Connection) -> None:
        """Everything that is in the log and not applied yet."""
        applier = _Destination(connection, self.plan)
        while self.taken < len(self.log):
            await self._transaction(applier)

    def _end(self) -> LaneEnd:
        return end_of([(r.head, len(r.value)) for r in self.log[-64:]], 0, self.start)

    async def _one_capture(self, until: int, life: int) -> None:
        """``life``: records after which it dies."""
        tail = self._end().tail
        rule = CutRule(changes=self.dice.choice([100, 1000, 4000]), bytes=1 << 16, delay_s=0.01)
        options = StreamOptions(SLOT, SLOT, rule)
        async with await ChangeStream.open(self.server, options, tail.end) as stream:
            decoder, recorder = Decoder(self.captured, tail.last), Recorder(LANE, DataCipher(KEY), tail)
            while recorder.tail.end < until and life:
                frames = await stream.cut(decoder.inside, 0.1)
                if frames is None:
                    stream.report(reply=True)
                    if stream.idle_lsn and not decoder.inside and (made := recorder.position(stream.idle_lsn)):
                        self.log.append(made)
                    continue
                segment = decoder.decode(frames)
                assert segment.halt is None
                stream.drop(segment.frames)
                if made := recorder.record(segment):
                    self.log.append(made)
                    life -= 1
                if self.dice.random() < 0.7:
                    stream.confirm(recorder.tail.end)

    async def _transaction(self, applier: _Destination) -> None:
        """Some records, or one large source transaction, in one transaction; sometimes it is rolled back."""
        await applier.begin()
        position, at, many = self.position, self.taken, self.dice.randint(1, 12)
        gathering = applier.gathering()
        while at < len(self.log) and (many > 0 or position.pieces):
            head = self.log[at].head
            if at > self.taken and not position.pieces and not head.final:
                break
            verdict = judge(position, head)
            if isinstance(verdict, Again):
                await applier.roll_back()
                self.taken = at
                return
            assert not isinstance(verdict, Gap), verdict
            if isinstance(verdict, Apply):
                position = verdict.after
                gathering.add(opened(self.log[at])[1], verdict.above)
                if position.pieces:
                    await applier.apply(gathering)
            at, many = at + 1, many - 1
        assert not position.pieces, "the end of a transaction did not come"
        await applier.apply(gathering)
        if self.dice.random() < 0.2:
            await applier.roll_back()
            return
        await applier.commit()
        self.position, self.taken = position, at


class _Destination:
    def __init__(self, connection: asyncpg.Connection, plan: Plan) -> None:
        self._connection = connection
        self._identities = {t.number: t.identity for t in plan.tables}
        self._tables = {t.number: t for t in plan.tables}
        self._appliers: dict[int, LaneApplier] = {}

    def gathering(self) -> Gathering:
        return Gathering(self._identities, dict.fromkeys(self._identities))

    async def begin(self) -> None:
        for number, table in self._tables.items():
            if number not in self._appliers:
                partitioned = await self._connection.fetchval(
                    "SELECT relkind = 'p' FROM pg_class WHERE relname = $1", table.name.name
                )
                lane = LaneTable(table, self._identities[number], partitioned=partitioned)
                self._appliers[number] = LaneApplier(self._connection, lane)
                await self._appliers[number].prepare()
        await self._connection.execute(f"BEGIN; {BY_INDEX}; SET CONSTRAINTS ALL DEFERRED")  # as the follower does
        for applier in self._appliers.values():
            applier.begin()

    async def apply(self, gathering: Gathering) -> None:
        for number, waiting in sorted(gathering.take().items()):
            applier = self._appliers[number]
            if waiting.truncate:
                await applier.empty()
            for changes in waiting.parts:
                if identity := self._identities[number]:
                    await applier.apply(fold(changes, identity))
                else:
                    await applier.replace(fold_rows(changes))

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def roll_back(self) -> None:
        await self._connection.execute("ROLLBACK")


async def end_of_source(connection: asyncpg.Connection) -> int:
    return (await source_position(connection))[2]
