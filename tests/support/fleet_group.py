"""A topic of a run as its consumer group sees it, and members that take from it as the pump does; window and frontier are real.

Time goes in ticks. Rebalancing is eager: whenever membership changes, nothing that was delivered before counts, and positions
are the commits. Who is killed or frozen stays a member until its session has run out; who wakes up too late goes on with what it
had in hand, has its commit refused, and joins anew.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from tailrace_shared.dataplane.frontier import Frontier
from tailrace_shared.dataplane.window import ByteWindow

SESSION = 10
"""Ticks without a sign of life after which a member is out."""


class Message(NamedTuple):
    what: Hashable
    size: int


@dataclass(eq=False)
class Member:
    """A replica of a service."""

    name: str
    window: ByteWindow
    parallel: int
    effect: Callable[[Hashable], None]
    frontier: Frontier = field(default_factory=Frontier)
    positions: dict[int, int] = field(default_factory=dict)
    running: dict[tuple[int, int], Message] = field(default_factory=dict)
    generation: int = -1
    alive: bool = True
    asleep_until: int = 0
    handled: int = 0


class Group:
    """The group and its topic."""

    def __init__(self, partitions: int) -> None:
        self.logs: list[list[Message]] = [[] for _ in range(partitions)]
        self.committed = [0] * partitions
        self.done: set[tuple[int, int]] = set()
        self.members: list[Member] = []
        self.generation = 0
        self.missing: dict[Member, int] = {}
        """Members that give no sign of life, and when they are out."""
        self.largest = 1

    def append(self, partition: int, what: Hashable, size: int) -> None:
        self.logs[partition].append(Message(what, size))
        self.largest = max(self.largest, size)

    def rebalance(self) -> None:
        """Every member that hears of it begins at the commits."""
        self.generation += 1
        for at, member in enumerate(self.members):
            if member not in self.missing:
                self._assign(member, at)

    def _assign(self, member: Member, at: int) -> None:
        member.generation = self.generation
        member.frontier.revoke_all()
        member.positions = {p: self.committed[p] for p in range(at, len(self.logs), len(self.members))}

    def join(self, member: Member) -> None:
        self.members.append(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        """In good order: what it has in hand is finished and committed first."""
        for place in list(member.running):
            self._finish(member, place)
        self._commit(member)
        self._out(member)

    def _out(self, member: Member) -> None:
        self.missing.pop(member, None)
        if member in self.members:
            self.members.remove(member)
            if self.members:
                self.rebalance()

    def lose(self, member: Member, now: int) -> None:
        """It is silent from now on."""
        self.missing[member] = now + SESSION

    def tick(self, now: int, chance: random.Random) -> None:
        """Everybody who can does something."""
        for member, until in list(self.missing.items()):
            if now >= until:
                self._out(member)
        for member in list(self.members):
            if member.alive and now >= member.asleep_until:
                self.missing.pop(member, None)
                if member.generation != self.generation:
                    self._assign(member, self.members.index(member))
                self._turn(member, chance)

    def awake(self, member: Member, chance: random.Random) -> None:
        """A frozen member that was put out meanwhile: what it had in hand happens now, late, and its commit is refused."""
        for place in list(member.running):
            self._finish(member, place)
        self._commit(member)
        self.join(member)

    def _turn(self, member: Member, chance: random.Random) -> None:
        waiting = [p for p, at in member.positions.items() if at < len(self.logs[p])]
        chance.shuffle(waiting)
        for partition in waiting:
            if len(member.running) >= member.parallel or not member.window.room:
                break
            self._deliver(member, partition)
        for place in list(member.running):
            if chance.random() < 0.5:
                self._finish(member, place)
        if chance.random() < 0.5:
            self._commit(member)
        assert member.window.used < member.window.limit + self.largest

    def _deliver(self, member: Member, partition: int) -> None:
        place = (partition, member.positions[partition])
        member.positions[partition] += 1
        member.frontier.add(*place)
        if place not in member.running:
            message = member.running[place] = self.logs[partition][place[1]]
            member.window.add(message.size)

    def _finish(self, member: Member, place: tuple[int, int]) -> None:
        message = member.running.pop(place)
        member.effect(message.what)
        member.handled += 1
        self.done.add(place)
        member.window.remove(message.size)
        member.frontier.done(*place)

    def _commit(self, member: Member) -> None:
        if member.generation != self.generation or member not in self.members:
            return
        commits = member.frontier.commits()
        for partition, following in commits.items():
            fresh = range(self.committed[partition], following)
            assert all((partition, offset) in self.done for offset in fresh), "nothing is committed before its effect"
            self.committed[partition] = following
        member.frontier.confirm(commits)
