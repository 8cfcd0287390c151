"""A loading run with a hundred replicas: the real decider, credit, windows and frontiers over simulated topics and tables.

Replicas join, leave, are killed, and are frozen and come back. Leaders die between two decisions. What is counted is what must
hold at any size: the credit, what the leader looks at and names per fact, and how long anybody waits.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import dataclass, replace

from support.fleet_group import SESSION, Group, Member
from tailrace_shared.batch import partition_of
from tailrace_shared.dataplane.window import ByteWindow
from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import Patience, decide
from tailrace_writer.state.read import CANDIDATES
from tailrace_writer.state.view import Candidate, OpenRange, RangeKey, RunView, TableView, releasable

Batch = tuple[int, int, int]
"""table, range, batch"""
WINDOW = 64
"""Bytes in hand of a replica."""
SMALLEST, MOST_BATCHES = 12, 4
"""Bytes of a range at least, and its batches at most: what is released and not loaded is at least their quotient."""
PATIENCE = Patience(range_s=4 * SESSION)
SERVICES = ("reader", "generator", "writer")
LEAST = {"reader": 2, "generator": 1, "writer": 1}


@dataclass
class Range:
    size: int
    batches: int
    state: str = "pending"
    sent: bool = False
    released_at: float = 0.0
    read_at: float | None = None
    reads: int = 0


class Fleet:
    """One load from its first range to its last row. ``chaos``: how often, per tick, something happens to a replica."""

    def __init__(
        self, seed: int, *, replicas: int = 100, partitions: int = 12, tables: int = 6, ranges: int = 40,
        credit: int = 400, chaos: float = 0.3,
    ) -> None:  # fmt: skip
        self.random, self.chaos, self.credit, self.now = random.Random(seed), chaos, credit, 0
        self.size = replicas
        self.groups = {service: Group(partitions) for service in SERVICES}
        self.born: Counter[str] = Counter()
        self.frozen: list[tuple[str, Member]] = []
        self.after = {n: (0,) if n == tables - 1 else () for n in range(tables)}
        self.loaded: set[int] = set()
        self.ranges = {
            RangeKey(t, 0, n): Range(self.random.randint(SMALLEST, 40), self.random.randint(1, MOST_BATCHES))
            for t in range(tables)
            for n in range(ranges)
        }
        self.pending = {t: deque(k for k in self.ranges if k.table == t) for t in range(tables)}
        self.open: set[RangeKey] = set()
        self.undone = Counter(k.table for k in self.ranges)
        self.ledger: dict[RangeKey, set[int]] = {}
        self.rows: Counter[Batch] = Counter()
        self.applied_at = 0.0
        self.facts: list[RangeKey] = []
        self.leaderless_until = 0
        self.state = "loading"
        # what is measured
        self.worst_credit = self.most_seen = self.facts_applied = self.named = self.looks = self.sent_again = 0
        self.released: list[RangeKey] = []
        self.longest = 0.0
        """Ticks from a range's release to its end."""
        self.lost = 0
        """Replicas that were killed, frozen or sent away."""
        for number in range(replicas):
            self._join(SERVICES[number % 3])

    # --- replicas ----------------------------------------------------------------------------------------------------

    def living(self, service: str) -> list[Member]:
        return [m for m in self.groups[service].members if m.alive and self.now >= m.asleep_until]

    def _join(self, service: str) -> None:
        self.born[service] += 1
        effect = {"reader": self._read, "generator": self._mask, "writer": self._apply}[service]
        parallel = 2 if service == "reader" else 8
        member = Member(f"{service}-{self.born[service]}", ByteWindow(WINDOW), parallel, effect)
        self.groups[service].join(member)

    def _trouble(self) -> None:
        service = self.random.choice(SERVICES)
        group, living = self.groups[service], self.living(service)
        member = self.random.choice(living)
        kind = self.random.choice(["join", "join", "leave", "kill", "freeze", "leader"])
        if kind == "join":
            lacking = max(1, self.size // 3 - len(living))
            for _ in range(self.random.randint(1, lacking)):
                self._join(service)
        elif kind == "leader":
            self.leaderless_until = self.now + SESSION
        elif len(living) > LEAST[service]:
            self.lost += 1
            if kind == "leave":
                group.leave(member)
            elif kind == "kill":
                member.alive = False
                group.lose(member, self.now)
            else:
                member.asleep_until = self.now + self.random.randint(1, 3 * SESSION)
                group.lose(member, self.now)
                self.frozen.append((service, member))

    def _wake(self) -> None:
        for service, member in list(self.frozen):
            if self.now >= member.asleep_until:
                self.frozen.remove((service, member))
                if member not in self.groups[service].members:
                    self.groups[service].awake(member, self.random)

    # --- stages ------------------------------------------------------------------------------------------------------

    def _partition(self, batch: Batch) -> int:
        return partition_of(*batch, len(self.groups["generator"].logs))

    def _read(self, what: Hashable) -> None:
        key = what
        assert isinstance(key, RangeKey)
        ranged = self.ranges[key]
        ranged.reads += 1
        for number in range(ranged.batches):
            batch = (key.table, key.range, number)
            self.groups["generator"].append(self._partition(batch), batch, ranged.size // ranged.batches + 1)
        self.facts += [key] * (2 if self.random.random() < 0.1 else 1)

    def _mask(self, what: Hashable) -> None:
        assert isinstance(what, tuple)
        ranged = self.ranges[RangeKey(what[0], 0, what[1])]
        self.groups["writer"].append(self._partition(what), what, ranged.size // ranged.batches + 1)

    def _apply(self, what: Hashable) -> None:
        assert isinstance(what, tuple)
        held = self.ledger.setdefault(RangeKey(what[0], 0, what[1]), set())
        if what[2] not in held and what[0] not in self.loaded and self.state == "loading":
            held.add(what[2])
            self.rows[what] += 1
            self.applied_at = self.now

    def _apply_facts(self) -> None:
        """Any writer, in any order."""
        self.random.shuffle(self.facts)
        for key in self.facts:
            ranged = self.ranges[key]
            self.facts_applied += 1
            if ranged.state == "released":
                ranged.state, ranged.sent, ranged.read_at = "read", True, self.now
        self.facts.clear()

    # --- the leader --------------------------------------------------------------------------------------------------

    def view(self) -> RunView:
        tables = tuple(
            TableView(t, after, loaded=t in self.loaded, unfinished=self.undone[t] > 0)
            for t, after in self.after.items()
        )
        candidates: list[Candidate] = []
        for table in releasable(tables):
            for key in self.pending[table]:
                if len(candidates) < CANDIDATES:
                    candidates.append(Candidate(key, self.ranges[key].size))
        return RunView(
            run="R", state="loading", credit_bytes=self.credit, digest="d", prepared=True, fingerprints=True,
            readers=len(self.living("reader")), generators=len(self.living("generator")),
            writers=len(self.living("writer")), snapshots=len(self.living("reader")), tables=tables,
            open=tuple(self._opened(key) for key in sorted(self.open)), candidates=tuple(candidates),
            last_applied_at=self.applied_at,
        )  # fmt: skip

    def _opened(self, key: RangeKey) -> OpenRange:
        ranged, have = self.ranges[key], len(self.ledger.get(key, ()))
        opened = OpenRange(key, ranged.size, ranged.sent, ranged.released_at)
        if ranged.state == "read":
            opened = replace(
                opened, read_at=ranged.read_at, rows=ranged.batches, batches=ranged.batches, bytes=ranged.size
            )
        return replace(opened, ledger_batches=have, ledger_rows=have, ledger_bytes=have * ranged.size // ranged.batches)

    def _lead(self) -> None:
        view = self.view()
        decided = decide(view, self.now, PATIENCE)
        self.looks += 1
        self.most_seen = max(self.most_seen, len(view.open) + len(view.candidates))
        for decision in decided:
            if self.random.random() < self.chaos / 50:  # the leader dies here
                self.leaderless_until = self.now + SESSION
                return
            self._act(decision)

    def _act(self, decision: do.Decision) -> None:
        match decision:
            case do.Release(keys):
                self.named += len(keys)
                for key in keys:
                    self.ranges[key].state, self.ranges[key].released_at = "released", self.now
                    self.pending[key.table].remove(key)
                    self.open.add(key)
                    self.released.append(key)
                self.worst_credit = max(self.worst_credit, self.view().outstanding_bytes)
            case do.Send(keys, again):
                self.named += len(keys)
                self.sent_again += len(keys) if again else 0
                work = self.groups["reader"]
                for key in keys:
                    work.append(self.random.randrange(len(work.logs)), key, 1)
                    self.ranges[key].sent, self.ranges[key].released_at = True, self.now
            case do.MarkDone(keys):
                self.named += len(keys)
                for key in keys:
                    assert self.ranges[key].state == "read", "a range is done once"
                    self.ranges[key].state = "done"
                    self.longest = max(self.longest, self.now - self.ranges[key].released_at)
                    self.open.remove(key)
                    self.undone[key.table] -= 1
            case do.CompleteTables(numbers):
                assert not any(self.undone[number] for number in numbers)
                self.loaded.update(numbers)
            case do.EndLoading():
                self.state = "finishing"
            case do.Wait():
                pass
            case _:
                raise AssertionError(f"nothing else is decided while a run loads: {decision}")

    # --- time --------------------------------------------------------------------------------------------------------

    def run(self, ticks: int = 6000, calm_after: int = 3000) -> Fleet:
        """To the end of the load; nothing goes wrong after ``calm_after``."""
        for self.now in range(1, ticks):
            if self.state != "loading":
                break
            if self.now < calm_after and self.random.random() < self.chaos:
                self._trouble()
            self._wake()
            for group in self.groups.values():
                group.tick(self.now, self.random)
            self._apply_facts()
            if self.now >= self.leaderless_until:
                self._lead()
        return self
