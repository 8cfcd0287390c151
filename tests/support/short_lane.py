"""A lane without services and Kafka: captured and followed in one process, cut, repeated and cut off at random.

What may happen between the stages happens here: captures end anywhere and go on where slot and lane say, records come twice and out
of a former capture's mouth. What follows them is the writer's own follower, whose sessions end in the middle. Values travel
unmasked.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import asyncpg

from support.capturing import KEY, LANE
from support.catalogues import planned
from support.databases import Pair
from tailrace_reader.capture.cutting import CutRule
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.errors import SlotActive
from tailrace_reader.capture.publication import ensure_publication, relations_of
from tailrace_reader.capture.record import Lane, Record, Recorder
from tailrace_reader.capture.segment import Segment
from tailrace_reader.capture.slots import create_slot, source_position
from tailrace_reader.capture.stream import ChangeStream, StreamOptions
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.capture.tail import LaneEnd, end_of
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.changes import RelationChanged
from tailrace_shared.envelope import DataCipher
from tailrace_shared.plan.model import Plan

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
        return cls(server, plan, tables, dice, start)

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

    def _end(self) -> LaneEnd:
        return end_of([(r.head, len(r.value)) for r in self.log[-64:]], 0, self.start)

    async def _one_capture(self, until: int, life: int) -> None:
        """``life``: records after which it dies."""
        tail = self._end().tail
        rule = CutRule(changes=self.dice.choice([100, 1000, 4000]), bytes=1 << 16, delay_s=0.01)
        options = StreamOptions(SLOT, SLOT, rule)
        async with await ChangeStream.open(self.server, options, tail.end) as stream:
            decoder, recorder = Decoder(self._carried(), tail.last), Recorder(self._lane(), DataCipher(KEY), tail)
            while recorder.tail.end < until and life:
                frames = await stream.cut(decoder.inside, 0.1)
                if frames is None:
                    stream.report(reply=True)
                    if stream.idle_lsn and not decoder.inside and (made := recorder.position(stream.idle_lsn)):
                        self.log.append(made)
                    continue
                segment = decoder.decode(frames)
                if segment.halt is not None:
                    segment = await self._halted(segment, segment.halt, decoder)
                stream.drop(segment.frames)
                if made := recorder.record(segment):
                    self.log.append(made)
                    life -= 1
                self._gone_on(decoder, recorder)
                if self.dice.random() < 0.7:
                    stream.confirm(recorder.tail.end)

    def _carried(self) -> list[CapturedTable]:
        """As the plan has them that a capture begins with."""
        return self.captured

    def _lane(self) -> Lane:
        return LANE

    async def _halted(self, segment: Segment, halt: RelationChanged, decoder: Decoder) -> Segment:
        """At a table's new description."""
        raise AssertionError(f"nothing changes here: {halt} after {segment.frames} frames of {decoder}")

    def _gone_on(self, decoder: Decoder, recorder: Recorder) -> None:
        """Behind a record."""


async def end_of_source(connection: asyncpg.Connection) -> int:
    return (await source_position(connection))[2]
