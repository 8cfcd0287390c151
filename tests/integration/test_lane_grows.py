"""Columns that are added at random, in and out of transactions and savepoints, under captures and followers that end anywhere: they
arrive in place, and the destination ends as the source is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import asyncpg
import pytest
from pydantic import SecretStr

from support.capturing import LANE
from support.catalogues import job
from support.databases import Pair
from support.followed_lane import FollowedLane
from support.short_lane import SLOT, ShortLane, end_of_source
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.growing import Grown, only_added, require_null_at_first
from tailrace_reader.capture.record import Lane, Recorder
from tailrace_reader.capture.segment import Segment
from tailrace_reader.capture.session import captured
from tailrace_reader.capture.slots import drop_slot
from tailrace_reader.capture.tables import CapturedTable, described
from tailrace_reader.lane_opening import captured_relation, captured_relations, lsn_text
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.changes import RelationChanged
from tailrace_shared.plan.build import build_plan
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.growth import grow, require_plain, trimmed
from tailrace_shared.plan.model import Plan
from tailrace_shared.plan.resync import OrderedTable, ResyncOrder, ground_of

JOB = "mode: continuous\npolicy: pass\nschemas: [public]\n"
SCHEMA = """
CREATE TABLE plain (id int PRIMARY KEY, name text);
CREATE TABLE whole (id int, name text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE parted (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (20);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (20) TO (40);
"""
TABLES = ("plain", "whole", "parted")
COLUMNS = 6
"""That a table gets at most."""


@dataclass
class Traffic:
    """One session of the source that writes rows and adds columns."""

    dice: random.Random
    columns: dict[str, list[str]] = field(default_factory=lambda: {t: ["name"] for t in TABLES})
    added: int = 0
    done: list[str] = field(default_factory=list)

    async def transaction(self, connection: asyncpg.Connection) -> None:
        """Some statements, now and then a column among them, which may be rolled back with its savepoint."""
        before, statements = {t: list(c) for t, c in self.columns.items()}, ["BEGIN"]
        for _ in range(self.dice.randint(1, 5)):
            statements += self._rows(self.dice.choice(TABLES))
            if self.dice.random() < 0.15:
                statements += self._added()
        if self.dice.random() < 0.1:
            statements.append("ROLLBACK")
            self.columns = before
        else:
            statements.append("COMMIT")
        self.done += statements
        for statement in statements:
            await connection.execute(statement)

    def _added(self) -> list[str]:
        table = self.dice.choice(TABLES)
        if len(self.columns[table]) > COLUMNS:
            return []
        self.added += 1
        name = f"c{self.added}"
        made = [f"ALTER TABLE {table} ADD COLUMN {name} text"]
        if self.dice.random() < 0.3:
            self.columns[table].append(name)
            made += self._rows(table)
            self.columns[table].remove(name)
            return ["SAVEPOINT s", *made, "ROLLBACK TO s", *self._rows(table)]
        if self.dice.random() < 0.2:
            made.append(f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT 'later'")
        self.columns[table].append(name)
        return made

    def _rows(self, table: str) -> list[str]:
        dice, low = self.dice, self.dice.randint(0, 35)
        column = dice.choice(self.columns[table])
        where = f"id BETWEEN {low} AND {low + dice.randint(0, 4)}"
        match dice.randint(0, 3):
            case 0:
                return [f"DELETE FROM {table} WHERE {where}"]
            case 1:
                return [f"UPDATE {table} SET {column} = 'u{dice.randint(0, 9)}' WHERE {where}"]
            case 2 if table == "parted":
                return [
                    f"UPDATE parted SET id = 39 - id WHERE id = {low} AND NOT EXISTS (SELECT FROM parted WHERE id = 39 - {low})"
                ]
            case _:
                free = f"NOT EXISTS (SELECT FROM {table} t WHERE t.id = g)"
                rows = f"SELECT g, 'i{dice.randint(0, 9)}' FROM generate_series({low}, {low + 3}) g"
                return [f"INSERT INTO {table} (id, {column}) {rows} WHERE {free}"]


@dataclass
class GrowingLane(ShortLane):
    """A lane whose captures ask for plans of columns that have come; some begin with a plan that is not the newest any more."""

    destination: str = ""
    plans: list[Plan] = field(default_factory=list)
    at: int = 0
    """Of the plan that the capture at hand goes by."""
    follower: FollowedLane | None = None

    async def ready(self, pair: Pair) -> None:
        """With what a reader notes of the source when it plans."""
        source = await asyncpg.connect(pair.source.url(pair.name))
        relations = await captured_relations(source, [t.name for t in self.plan.tables])
        await source.close()
        tables = tuple(t.model_copy(update={"relation": relations[t.name]}) for t in self.plan.tables)
        self.plan = self.plan.model_copy(update={"tables": tables})
        self.plans, self.destination = [self.plan], pair.destination.url(pair.name)

    def _carried(self) -> list[CapturedTable]:
        said = max((int(r.head.plan[1:]) for r in self.log), default=0)
        self._next = False
        self.at = self.dice.randint(said, len(self.plans) - 1)  # the record that it has may be old
        return [captured(t) for t in self.plans[self.at].tables]

    def _lane(self) -> Lane:
        return replace(LANE, plan=f"p{self.at}")

    async def _halted(self, segment: Segment, halt: RelationChanged, decoder: Decoder) -> Segment:
        now = decoder.described(halt.table)
        assert now is not None
        assert only_added(halt.changes), halt
        if self.at == len(self.plans) - 1:
            await self._accept(Grown(halt.table, now, halt.lsn))
        self._next = True
        assert described(self.plans[-1].table(halt.table)) == now
        return segment.going_on()

    _next = False

    def _gone_on(self, decoder: Decoder, recorder: Recorder) -> None:
        if self._next:
            self._next, before = False, self.plans[self.at].revision
            self.at = len(self.plans) - 1
            for table in self.plans[self.at].tables:
                if table.grown and table.grown[-1].revision > before:
                    decoder.carry(captured(table))
            recorder.change_plan(f"p{self.at}")

    async def _accept(self, grown: Grown) -> None:
        plan = self.plans[-1]
        table = plan.table(grown.table)
        assert table.relation is not None
        new = [c for c in grown.columns if c not in {k.name for k in table.relation.columns}]
        source = await asyncpg.connect(self.server.url.get_secret_value())
        destination = await asyncpg.connect(self.destination)
        try:
            places = await require_null_at_first(source, table, grown, new)
            catalogue = trimmed(await read_catalogue(source, ["public"]), table.name, grown.columns)
            there = await read_catalogue(destination, ["public"])
        finally:
            await source.close()
            await destination.close()
        require_plain(catalogue, table.name, new)
        number = len(self.plans)
        order = ResyncOrder(
            run="R", attempt=1, number=number, plan="", tables=(OrderedTable(number=table.number, name=table.name),),
            job=job(JOB), destination=there, in_place=True,
        )  # fmt: skip
        ground = ground_of(order, plan, catalogue).destination
        fresh = build_plan(
            job(JOB), catalogue, ground, run="R", attempt=1, fingerprints=plan.fingerprints, key=plan.key, facts=SourceFacts(),
            tolerant=True,
        ).plan  # fmt: skip
        assert fresh is not None
        made = grow(
            plan, fresh, table.number, captured_relation(grown.relation, places), there, revision=number, at=lsn_text(grown.at)
        )  # fmt: skip
        self.plans.append(made)
        assert self.follower is not None
        self.follower.newer[f"p{number}"] = made


@pytest.fixture(scope="module")
def pair(new_pair: Callable[..., Pair]) -> Pair:
    return new_pair("lane_grows", "SELECT 1")


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(3, 31))])
async def test_columns_that_are_added_anyhow_lead_to_what_the_source_holds(
    pair: Pair, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION_URL", pair.destination.url(pair.name))
    for side in (pair.source, pair.destination):
        await asyncio.to_thread(side.run_sql, f"DROP TABLE IF EXISTS {', '.join(TABLES)}; {SCHEMA}", pair.name)
    dice = random.Random(seed)
    server = SourceServer(SecretStr(pair.source.url(pair.name)), "tailrace/test", "SOURCE_URL")
    lane = await GrowingLane.between(pair, server, dice)
    await lane.ready(pair)
    source = await asyncpg.connect(pair.source.url(pair.name))
    followed = lane.follower = await FollowedLane.laid_out(pair, lane.plan, lane.start, dice)
    traffic = Traffic(dice)
    try:
        for _ in range(12):
            for _ in range(dice.randint(1, 6)):
                await traffic.transaction(source)
            await lane.capture(await end_of_source(source))
            if dice.random() < 0.7:
                await followed.follow(lane.log)
        await source.execute(
            "UPDATE plain SET name = 'end'; UPDATE whole SET name = 'end'; UPDATE parted SET name = 'end'"
        )
        await source.execute("INSERT INTO plain (id) VALUES (99); INSERT INTO whole (id) VALUES (99)")
        await source.execute("INSERT INTO parted (id) SELECT g FROM generate_series(0, 39) g ON CONFLICT DO NOTHING")
        await lane.capture(await end_of_source(source))
        await followed.follow(lane.log)
        assert await asyncio.to_thread(pair.digest, "destination") == await asyncio.to_thread(pair.digest, "source"), (
            traffic.done
        )
        assert len(lane.plans) > 1
    finally:
        await drop_slot(source, SLOT, 20)
        await source.execute(f"DROP PUBLICATION {SLOT}")
        await source.close()
