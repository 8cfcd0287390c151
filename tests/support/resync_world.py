"""A stream, its capture, its lane and a leader in memory, while tables are loaded anew: driven by a seed through interleavings.

The tables change by the rules of ``tailrace_writer.resync``, ``state.resyncs`` and ``lane.follower``; the capture behaves as
``tailrace_reader.capture.resyncing`` does. Captures die and others take over with an old picture, facts come late and twice,
leaders act on what is not so any more, loads fail.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tailrace_shared.changes.visible import Visible
from tailrace_writer.lane.seen import Seen
from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import decide
from tailrace_writer.state.view import LaneView, ResyncView, RunView, TableView

TABLES = (0, 1, 2)
CHAOS_STEPS = 300
QUIET_STEPS = 4_000


@dataclass(frozen=True)
class Commit:
    lsn: int
    xid: int
    table: int
    shape: int
    """Of the table: it counts the changes of its definition."""


@dataclass(frozen=True)
class Planned:
    """A table in a plan."""

    shape: int
    revision: int = 0
    since: int = 0
    seen: Seen | None = None
    rows: frozenset[int] = frozenset()
    """What its snapshot holds: LSNs of commits."""


@dataclass(frozen=True)
class Plan:
    revision: int
    tables: dict[int, Planned]
    again: tuple[int, ...] = ()


@dataclass(frozen=True)
class Record:
    previous: int
    last: int
    plan: int
    """Index in the world's plans."""
    commit: Commit | None
    broken: int | None = None


@dataclass
class Table:
    state: str = "loaded"
    rows: Counter[int] = field(default_factory=Counter)
    planned: Planned = field(default_factory=lambda: Planned(0))


@dataclass
class Resync:
    number: int
    state: str = "asked"
    offer: int | None = None
    """Index in the world's plans."""
    why: str = ""


class Capture:
    """One capture under the lease; what it knows of the run may be old."""

    def __init__(self, world: World, heard: tuple[int, Resync | None]) -> None:
        self.world = world
        last = world.lane[-1] if world.lane else None
        self.tail = last.last if last else 0
        self.revision, self.order = heard
        known = [self.revision, *([last.plan] if last else [])]
        self.plan = max(known, key=lambda i: world.plans[i].revision)
        self.out: set[int] = set()
        self.answered = 0
        self.waits = False
        self.settling: set[int] | None = None

    def hear(self) -> None:
        world = self.world
        resync = world.resync
        self.revision = world.revision
        self.order = Resync(**vars(resync)) if resync else None

    def step(self) -> None:
        order = self.order
        asked = order is not None and order.state == "asked"
        if asked and order is not None and order.number > self.answered:
            self._adopt()
            self._offer(order)
            return
        if self.waits and asked and order is not None and order.number == self.answered:
            return  # it stands still
        self.waits = False
        self._adopt()
        self._send()

    def _adopt(self) -> None:
        plans = self.world.plans
        if plans[self.revision].revision > plans[self.plan].revision:
            for number, table in plans[self.revision].tables.items():
                if table.revision > plans[self.plan].revision:
                    self.out.discard(number)
            self.plan = self.revision

    def _offer(self, order: Resync) -> None:
        world = self.world
        if self.settling is None:
            self.settling = set(world.running)
        if self.settling & set(world.running):
            return
        self.settling = None
        self.answered, self.waits = order.number, True
        xmax = world.xid + 1
        running = tuple(sorted(world.running))
        rows = {table: frozenset(c.lsn for c in world.log if c.table == table) for table in TABLES}
        shapes = dict(world.shapes)
        for _ in range(world.random.randrange(3)):  # between the snapshot and the look at the WAL's end
            world.commit()
        seen = Seen(Visible(min((*running, xmax)), xmax, frozenset(running)), world.lsn + 1)
        again = tuple(t for t in TABLES if world.tables[t].state == "quarantined" or t in world.asked)
        tables = dict(world.plans[self.plan].tables)
        tables |= {t: Planned(shapes[t], order.number, self.tail, seen, rows[t]) for t in again}
        world.plans.append(Plan(order.number, tables, again))
        offer = len(world.plans) - 1
        world.facts.append(lambda: world.planned(order.number, offer))
        if world.chaos and world.random.random() < 0.3:
            self.waits = False  # its patience is over before anybody answers

    def _send(self) -> None:
        world = self.world
        following = [c for c in world.log if c.lsn > self.tail]
        if not following:
            return
        commit, plan = following[0], world.plans[self.plan]
        table = plan.tables[commit.table]
        broken = None
        held = table.seen is not None and table.seen.saw(commit.xid, commit.lsn)
        if commit.shape != table.shape and commit.table not in self.out and not held:
            broken = commit.table
            self.out.add(commit.table)
        carried = None if held or commit.table in self.out else commit
        world.lane.append(Record(self.tail, commit.lsn, self.plan, carried, broken))
        self.tail = commit.lsn


class World:
    """One continuous run that streams."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.chaos = True
        self.now = 0.0
        self.lsn = self.xid = 0
        self.log: list[Commit] = []
        self.running: dict[int, int] = {}
        self.shapes = dict.fromkeys(TABLES, 0)
        self.plans = [Plan(0, {t: Planned(0) for t in TABLES})]
        self.revision = 0
        self.lane: list[Record] = []
        self.tables = {t: Table() for t in TABLES}
        self.position = 0
        self.held = False
        self.resync: Resync | None = None
        self.number = 0
        self.asked: set[int] = set()
        self.facts: list[Callable[[], None]] = []
        self.capture: Capture | None = None
        self.agenda: list[do.Decision] = []
        self.loads = 0
        """Tables that were loaded anew."""

    def run(self) -> World:
        for _ in range(CHAOS_STEPS):
            self._step()
        self.chaos = False
        while self.running:
            self.commit()
        for _ in range(QUIET_STEPS):
            self._step()
            if self._quiet():
                break
        return self

    def _quiet(self) -> bool:
        end = self.log[-1].lsn if self.log else 0
        over = self.resync is None and not self.asked and self.position >= end
        return over and all(t.state == "loaded" for t in self.tables.values())

    def _step(self) -> None:
        self.now += 1
        steps = [
            self._capture,
            self._capture,
            self._hear,
            self._lead,
            self._lead,
            self._tell,
            self._follow,
            self._follow,
            self._load,
        ]
        if self.chaos:
            steps += [self._begin, self._begin, self.commit, self.commit, self._alter, self._die, self._ask, self._fail]
        self.random.choice(steps)()

    # --- source ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.xid += 1
        self.running[self.xid] = self.random.choice(TABLES)

    def commit(self) -> None:
        if self.running:
            xid = self.random.choice(list(self.running))
            table = self.running.pop(xid)
            self.lsn += self.random.randrange(1, 4)
            self.log.append(Commit(self.lsn, xid, table, self.shapes[table]))

    def _alter(self) -> None:
        """DDL waits for whoever writes to the table."""
        table = self.random.choice(TABLES)
        if table not in self.running.values() and self.random.random() < 0.4:
            self.shapes[table] += 1

    # --- capture -----------------------------------------------------------------------------------------------------

    def _capture(self) -> None:
        if self.capture is None:
            old = (
                (self.random.randrange(self.revision + 1), None) if self.chaos and self.random.random() < 0.3 else None
            )
            self.capture = Capture(self, (old[0], None) if old else (self.revision, None))
        self.capture.step()

    def _hear(self) -> None:
        if self.capture is not None:
            self.capture.hear()

    def _die(self) -> None:
        if self.random.random() < 0.3:
            self.capture = None

    # --- facts -------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        if self.facts:
            fact = self.random.choice(self.facts)
            fact()
            if self.random.random() < 0.7 or not self.chaos:
                self.facts.remove(fact)

    def planned(self, number: int, offer: int) -> None:
        resync = self.resync
        if resync is not None and resync.number == number and resync.state == "asked" and resync.offer is None:
            resync.offer = offer

    def _ask(self) -> None:
        if self.random.random() < 0.2:
            self.asked.add(self.random.choice(TABLES))

    def _fail(self) -> None:
        if self.resync is not None and self.random.random() < 0.2:
            self.resync.why = "something"

    # --- leader ------------------------------------------------------------------------------------------------------

    def view(self) -> RunView:
        tables = tuple(
            TableView(
                number, loaded=t.state == "loaded", unfinished=t.state == "resync", resync=t.state == "resync",
                wants=t.state == "quarantined" or number in self.asked,
            )
            for number, t in self.tables.items()
        )  # fmt: skip
        resync = self.resync
        seen = None
        if resync is not None:
            seen = ResyncView(resync.number, resync.state == "loading", resync.offer is not None, self.now, resync.why)
        return RunView(
            run="R", state="streaming", digest="d", readers=1, generators=1, prepared=True, continuous=True, lane=LaneView(),
            tables=tables, resync=seen, snapshots=1,
        )  # fmt: skip

    def _lead(self) -> None:
        if not self.agenda or self.random.random() < 0.5:
            self.agenda += decide(self.view(), self.now)[:1]
        if self.random.random() < 0.7 or not self.chaos:
            self._act(self.agenda.pop(0))

    def _act(self, decision: do.Decision) -> None:
        """By compare-and-set, as the statements do it."""
        resync = self.resync
        match decision:
            case do.OrderResync():
                if resync is None:
                    self.number += 1
                    self.resync = Resync(self.number)
            case do.BeginResync(number):
                if (
                    resync is not None
                    and (resync.number, resync.state) == (number, "asked")
                    and resync.offer is not None
                ):
                    self._accept(resync, resync.offer)
            case do.EndResync(number):
                loading = any(t.state == "resync" for t in self.tables.values())
                if resync is not None and (resync.number, resync.state) == (number, "loading") and not loading:
                    self._release()
            case do.AbandonResync(number):
                if resync is not None and resync.number == number:
                    for table in self.tables.values():
                        if table.state == "resync":
                            table.state = "quarantined"
                    self._release()
            case _:
                pass

    def _accept(self, resync: Resync, offer: int) -> None:
        plan = self.plans[offer]
        if any(self.position > plan.tables[number].since for number in plan.again):
            self._release()  # the capture has gone on without it, and the lane is past the snapshot
            return
        for number in plan.again:
            self.tables[number] = Table("resync", Counter(), plan.tables[number])
            self.asked.discard(number)
        self.held, self.revision, resync.state = True, offer, "loading"

    def _release(self) -> None:
        self.resync, self.held = None, False

    def _load(self) -> None:
        for table in self.tables.values():
            if table.state == "resync":
                table.rows = Counter(table.planned.rows)
                table.state = "loaded"
                self.loads += 1
                return

    # --- writer ------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        following = [r for r in self.lane if r.last > self.position]
        if self.held or not following:
            return
        record = following[0]
        assert record.previous <= self.position, "the lane has a gap"
        for number, table in self.tables.items():
            mark = table.planned
            if table.state != "loaded":
                continue
            old = self.plans[record.plan].revision < mark.revision
            if (record.broken == number or old) and record.last > mark.since:
                table.state = "quarantined"
        commit = record.commit
        if commit is not None and self.tables[commit.table].state == "loaded":
            seen = self.tables[commit.table].planned.seen
            if seen is None or not seen.saw(commit.xid, commit.lsn):
                self.tables[commit.table].rows[commit.lsn] += 1
        self.position = record.last
