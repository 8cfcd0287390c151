"""A lane among a hundred replicas: any reader may capture, any generator mask, any writer own it; positions are judged as always.

A capture that begins anew goes on behind the lane's tail; one that only seemed to be dead still sends what it had read, cut in
its own way. A generator that takes over begins at the commit. An owner that dies leaves the position of its last transaction.
"""

from __future__ import annotations

import random
from itertools import pairwise

from tailrace_shared.changes.head import ChangeHead
from tailrace_writer.lane.position import Again, Apply, Gap, Position, Skip, judge


def head(previous: int, last: int, sequence: int) -> ChangeHead:
    """Of a record with the transactions above ``previous`` up to ``last``; a transaction's commit LSN is its number."""
    return ChangeHead(
        run="r", kind="masked-changes", lane=0, sequence=sequence, system="s", timeline=1, previous=previous, last=last,
        end=last, piece=0, final=True, transactions=last - previous, first_xid=1, last_xid=1, changes=1, bytes=1,
        first_time=0, last_time=0, tables=(0,), schema="", plan="", key="",
    )  # fmt: skip


class Capture:
    """A reader that holds the slot, or believes so."""

    def __init__(self, tail: int, sequence: int) -> None:
        self.tail, self.sequence = tail, sequence

    def record(self, chance: random.Random, written: int) -> ChangeHead | None:
        if self.tail >= written:
            return None
        last = self.tail + chance.randint(1, min(5, written - self.tail))
        made = head(self.tail, last, self.sequence)
        self.tail, self.sequence = last, self.sequence + 1
        return made


class LaneFleet:
    """``transactions`` on their way; every writer of a hundred replicas stands for the lane."""

    def __init__(self, seed: int, *, replicas: int = 100, transactions: int = 400) -> None:
        self.random, self.transactions = random.Random(seed), transactions
        self.written = 0
        self.changes: list[ChangeHead] = []
        self.masked: list[ChangeHead] = []
        self.captures = [Capture(0, 0)]
        self.generator_at = self.generator_commit = 0
        self.writers = [f"writer-{n}" for n in range(replicas // 3)]
        self.position, self.offset = Position("s", 1, 0), 0
        """What the destination holds, in the transaction of the rows."""
        self.rows: list[int] = []
        self.owner: str | None = None
        self.held: tuple[Position, int, list[int]] | None = None
        """What the owner has applied and not committed."""
        self.owners: set[str] = set()

    def run(self, steps: int = 20_000) -> LaneFleet:
        for step in range(steps):
            if self.position.lsn == self.transactions:
                break
            self.written = min(self.transactions, self.written + self.random.randint(0, 2))
            self.random.choice([self._capture, self._mask, self._own, self._own])()
            if step < steps // 2 and self.random.random() < 0.1:
                self.random.choice([self._another_capture, self._another_generator, self._another_owner])()
            assert self.rows == list(range(1, self.position.lsn + 1)), (
                "whole transactions, each once, in the order of the source"
            )
        return self

    def _capture(self) -> None:
        capture = self.random.choice(self.captures)
        record = capture.record(self.random, self.written)
        if record is not None:
            self.changes.append(record)

    def _another_capture(self) -> None:
        """It goes on behind the lane's tail; the former one may still have something to say."""
        tail = max((record.last for record in self.changes), default=0)
        self.captures = [*self.captures[-1:], Capture(tail, 1000 * len(self.changes))]

    def _mask(self) -> None:
        if self.generator_at < len(self.changes):
            self.masked.append(self.changes[self.generator_at])
            self.generator_at += 1
            if self.random.random() < 0.5:
                self.generator_commit = self.generator_at

    def _another_generator(self) -> None:
        self.generator_at = self.generator_commit

    def _own(self) -> None:
        """The owner applies a few records in one destination transaction, or commits it."""
        if self.owner is None:
            self.owner = self.random.choice(self.writers)
            self.owners.add(self.owner)
        position, offset, applied = self.held or (self.position, self.offset, [])
        if self.held is not None and self.random.random() < 0.3:
            self.position, self.offset = position, offset
            self.rows += applied
            self.held = None
            return
        if offset == len(self.masked):
            return
        verdict = judge(position, self.masked[offset])
        match verdict:
            case Apply(above, after):
                self.held = (after, offset + 1, [*applied, *range(above + 1, after.lsn + 1)])
            case Skip():
                self.held = (position, offset + 1, applied)
            case Gap() | Again():
                raise AssertionError(f"nothing is missing: {verdict}")

    def _another_owner(self) -> None:
        self.owner = self.held = None

    @property
    def in_order(self) -> bool:
        """The lane's records overlap or follow each other."""
        return all(
            after.previous <= max(r.last for r in self.masked[: n + 1])
            for n, (_, after) in enumerate(pairwise(self.masked))
        )
