"""Thousands of random interleavings of a consumer group: deliver, finish out of order, revoke, commit, lose a commit, crash.

The group is simulated; window and frontier are the real ones. After every step the committed offset of a
partition may only cover records whose effect is in place; in the end every record was handled and everything is committed.
"""

from __future__ import annotations

import random

import pytest

from tailrace_shared.dataplane.frontier import Frontier
from tailrace_shared.dataplane.window import ByteWindow

LARGEST = 50
"""Of a record, in bytes."""


class Log:
    """What Kafka holds: records with sizes, and what the group has committed."""

    def __init__(self, chance: random.Random) -> None:
        self.sizes = [
            [chance.randint(1, LARGEST) for _ in range(chance.randint(0, 25))] for _ in range(chance.randint(1, 4))
        ]
        self.committed = [0] * len(self.sizes)
        self.effects: set[tuple[int, int]] = set()

    @property
    def finished(self) -> bool:
        return self.committed == [len(sizes) for sizes in self.sizes]


class Replica:
    """A member as the pump is one, without the waiting."""

    def __init__(self, log: Log, limit: int) -> None:
        self.log, self.limit = log, limit
        self.window, self.frontier = ByteWindow(limit), Frontier()
        self.positions: dict[int, int] = {}
        self.running: dict[tuple[int, int], int] = {}

    def assign(self, partitions: list[int]) -> None:
        self.frontier.revoke_all()
        self.positions = {p: self.log.committed[p] for p in partitions}

    def deliver(self, chance: random.Random) -> None:
        ready = [p for p, at in self.positions.items() if at < len(self.log.sizes[p])]
        if not ready or self.window.room == 0:
            return
        partition = chance.choice(ready)
        offset = self.positions[partition]
        self.positions[partition] += 1
        self.frontier.add(partition, offset)
        if (partition, offset) not in self.running:
            self.running[partition, offset] = self.log.sizes[partition][offset]
            self.window.add(self.running[partition, offset])

    def finish(self, chance: random.Random) -> None:
        if not self.running:
            return
        place = chance.choice(list(self.running))
        if chance.random() < 0.2:  # transient: it stays, and is tried again
            return
        self.log.effects.add(place)
        self.window.remove(self.running.pop(place))
        self.frontier.done(*place)

    def commit(self, chance: random.Random, owned: dict[int, Replica]) -> None:
        commits = self.frontier.commits()
        if any(owned.get(p) is not self for p in commits):
            return  # the group refuses a member of an earlier generation
        for partition, following in commits.items():
            self.log.committed[partition] = following
            assert all((partition, offset) in self.log.effects for offset in range(following))
        if chance.random() < 0.8:  # else the answer is lost: the same commit comes again
            self.frontier.confirm(commits)

    def check(self) -> None:
        assert self.window.used == sum(self.running.values())
        assert self.window.used < self.limit + LARGEST


@pytest.mark.parametrize("block", range(20))
def test_nothing_is_committed_early_and_everything_is_handled(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        chance = random.Random(seed)
        log, limit = Log(chance), chance.randint(1, 120)
        group = [Replica(log, limit)]
        owned: dict[int, Replica] = {}

        def rebalance(group: list[Replica], owned: dict[int, Replica], log: Log) -> None:
            for n, member in enumerate(group):
                share = [p for p in range(len(log.sizes)) if p % len(group) == n]
                member.assign(share)
                owned.update(dict.fromkeys(share, member))

        rebalance(group, owned, log)
        for step in range(20_000):
            if log.finished:
                break
            member, event = chance.choice(group), chance.random()
            calm = step > 2000  # from here on nobody dies any more, so that it ends
            if event < 0.4:
                member.deliver(chance)
            elif event < 0.8:
                member.finish(chance)
            elif event < 0.95 or calm:
                member.commit(chance, owned)
            elif event < 0.97:
                rebalance(group, owned, log)
            elif event < 0.985 and len(group) < 4:
                group.append(Replica(log, limit))
                rebalance(group, owned, log)
            elif event >= 0.985:  # a crash: what ran is gone, its effect may be in place
                group.remove(member)
                log.effects |= {place for place in member.running if chance.random() < 0.5}
                group = group or [Replica(log, limit)]
                rebalance(group, owned, log)
            member.check()
        assert log.finished, seed
