"""A run in memory: tables, topics and replicas as the real ones behave, driven by a seed through interleavings.

The tables change by the rules of ``tailrace_writer.state.moves`` and ``facts``: compare-and-set on state, attempt and epoch.
Messages are delivered at least once and in any order. Leaders may act on an old picture, die between any two decisions, and
come back as zombies.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tailrace_writer.state import decisions as do
from tailrace_writer.state.machine import Patience, decide
from tailrace_writer.state.view import Candidate, LeakView, OpenRange, RangeKey, RunView, TableView, releasable

TERMINAL = ("done", "failed", "cancelled")
PATIENCE = Patience(plan_s=20, range_s=20, leak_s=10)
Batch = tuple[int, int, int, int]
"""attempt, table, range, batch"""


@dataclass
class Range:
    size: int
    batches: int
    rest: int = 0
    """Batches of the range that continues this one; 0 where it does not end early."""
    state: str = "pending"
    sent: bool = False
    released_at: float = 0.0
    read_at: float | None = None


@dataclass
class Term:
    """A leader's seat and what it has decided and not yet done."""

    epoch: int
    agenda: list[tuple[do.Decision, int, str]] = field(default_factory=list)
    """Decision, and the attempt and state that it was taken on."""


class World:
    """One run from submission to its end. ``chaos`` is the share of steps in which something goes wrong."""

    def __init__(
        self, seed: int, *, chaos: float = 0.25, cancel: bool = False, restarts: int = 2, append: bool = False
    ) -> None:
        self.append = append
        """Rows wait in staging tables, ``rows``, and are ``added`` by the last move."""
        self.added: Counter[Batch] = Counter()
        self.random = random.Random(seed)
        self.chaos, self.will_cancel, self.restarts = chaos, cancel, restarts
        self.credit = self.random.choice([50, 100, 400])
        self.now = 0.0
        self.state, self.attempt, self.epoch = "submitted", 1, 0
        self.digest = self.outcome = self.restart_because = ""
        self.prepared = self.cancelled = self.failed = self.verified = self.cleaned = False
        self.tasked_at: float | None = None
        self.snapshots: set[str] = set()
        self.tables: dict[int, tuple[tuple[int, ...], bool]] = {}
        self.ranges: dict[tuple[int, int, int], Range] = {}
        """By attempt, table, number."""
        self.ledger: set[Batch] = set()
        self.applied_at = 0.0
        self.rows: Counter[Batch] = Counter()
        """The destination."""
        self.dropped: set[str] = set()
        self.leaks: dict[str, tuple[float, bool]] = {}
        self.facts: list[Callable[[], None]] = []
        self.tasks: list[int] = []
        self.work: list[tuple[int, int, int]] = []
        self.asked: list[tuple[int, str]] = []
        self.masked: list[Batch] = []
        self.terms: list[Term] = []
        self.history: list[str] = ["submitted"]
        self.worst_credit = 0
        """By how much the credit was ever exceeded, beyond the one range that may always go."""
        self.complete: set[Batch] = set()
        """What the attempt that was done consists of."""
        self.layout = {0: (), 1: (), 2: (0,)} if self.random.random() < 0.5 else {0: (), 1: ()}

    # --- what a leader sees ------------------------------------------------------------------------------------------

    def view(self) -> RunView:
        loading = self.state == "loading"
        tables = tuple(
            TableView(
                number,
                after,
                loaded,
                any(k[:2] == (self.attempt, number) and r.state != "done" for k, r in self.ranges.items()),
            )
            for number, (after, loaded) in self.tables.items()
        )
        mine = {k: r for k, r in self.ranges.items() if k[0] == self.attempt}
        opened = (
            tuple(self._open(k, r) for k, r in sorted(mine.items()) if r.state in ("released", "read"))
            if loading
            else ()
        )
        may = releasable(tables)
        candidates = tuple(
            Candidate(RangeKey(k[1], 0, k[2]), r.size)
            for k, r in sorted(mine.items())
            if r.state == "pending" and k[1] in may
        )
        return RunView(
            run="R", state=self.state, attempt=self.attempt, epoch=self.epoch, restarts=self.restarts, credit_bytes=self.credit,
            digest=self.digest, prepared=self.prepared, cancel_requested=self.cancelled, failed=self.failed,
            outcome=self.outcome, restart_because=self.restart_because, tasked_at=self.tasked_at, undone=len(self.dropped),
            fingerprints=True, readers=1, generators=1,
            snapshots=len(self.snapshots), tables=tables, open=opened, candidates=candidates if loading else (),
            last_applied_at=self.applied_at, verified=self.verified,
            leaks=tuple(LeakView(0, c, at, known) for c, (at, known) in self.leaks.items()),
        )  # type: ignore[arg-type]  # fmt: skip

    def _open(self, key: tuple[int, int, int], ranged: Range) -> OpenRange:
        have = sum(b[:3] == key for b in self.ledger)
        read = ranged.state == "read"
        return OpenRange(
            key=RangeKey(key[1], 0, key[2]), estimated_bytes=ranged.size, sent=ranged.sent, released_at=ranged.released_at,
            read_at=ranged.read_at if read else None, rows=ranged.batches if read else 0, batches=ranged.batches if read else 0,
            bytes=ranged.size if read else 0, ledger_batches=have, ledger_rows=have,
            ledger_bytes=have * ranged.size // max(1, ranged.batches),
        )  # fmt: skip

    # --- the tables --------------------------------------------------------------------------------------------------

    def _at(self, term: Term, attempt: int, state: str) -> bool:
        """Compare-and-set: the seat is valid and the row is where the decision found it."""
        return (term.epoch, attempt, state) == (self.epoch, self.attempt, self.state)

    def _move(self, target: str) -> None:
        assert self.state not in TERMINAL, f"{self.state} → {target}"
        self.state = target
        self.history.append(target)

    def act(self, term: Term, decision: do.Decision, attempt: int, state: str) -> None:
        """What the action of that decision does to the tables and topics."""
        if isinstance(decision, do.CleanUp):
            self.cleaned = True
            return
        if not self._at(term, attempt, state):
            return
        match decision:
            case do.Plan():
                self.tasks.append(attempt)
                self.tasked_at = self.now
            case do.Move(source, target):
                assert source == state
                self._move(target)
            case do.Claim():
                self._move("preparing")
            case do.Prepare():
                self._prepare()
            case do.Release(keys):
                for key in keys:
                    ranged = self.ranges[attempt, key.table, key.range]
                    if ranged.state == "pending":
                        ranged.state, ranged.released_at = "released", self.now
                used = self.view().outstanding_bytes
                largest = max((r.size for r in self.ranges.values()), default=0)
                self.worst_credit = max(self.worst_credit, used - max(self.credit, largest))
            case do.Send(keys):
                for key in keys:
                    self.work.append((attempt, key.table, key.range))
                    if self.random.random() > self.chaos / 4:  # else the leader dies before the mark
                        ranged = self.ranges[attempt, key.table, key.range]
                        ranged.sent, ranged.released_at = True, self.now
            case do.MarkDone(keys):
                for key in keys:
                    ranged = self.ranges[attempt, key.table, key.range]
                    if ranged.state == "read":
                        ranged.state = "done"
            case do.CompleteTables(numbers):
                for number in numbers:
                    if all(r.state == "done" for k, r in self.ranges.items() if k[:2] == (attempt, number)):
                        self.tables[number] = (self.tables[number][0], True)
            case do.EndLoading():
                self._move("finishing")
            case do.Finish() if self.append:
                self._move("verifying")
            case do.Finish():
                self.dropped.discard(next(iter(sorted(self.dropped)), ""))
                if not self.dropped:
                    self._move("verifying")
            case do.Rebuild():
                self.dropped.discard(next(iter(sorted(self.dropped)), ""))
                if self.append:
                    self.rows.clear()
            case do.Verify():
                self.verified = True
                for column in ("name", "mail"):
                    self.leaks[column] = (self.now, False)
                    self.asked.append((attempt, column))
            case do.AskLeaks(columns):
                for _, column in columns:
                    self.leaks[column] = (self.now, self.leaks[column][1])
                    self.asked.append((attempt, column))
            case do.Judge():
                self.complete = {(*k, batch) for k, r in self.ranges.items() for batch in range(r.batches)}
                self._forget()
                if self.append:
                    self.added += self.rows
                    self.rows.clear()
                    self.dropped.clear()
                self._move("done")
            case do.Fail():
                self.failed = True
            case do.Stop(outcome):
                if self.prepared:
                    self.rows.clear()
                self.outcome = outcome
                self._move("stopping")
            case do.Conclude(outcome):
                self._forget()
                self._move(outcome)
            case do.Restart():
                if self.prepared:
                    self.rows.clear()
                self._forget()
                self.attempt += 1
                self.digest = self.restart_because = ""
                self.tasked_at, self.prepared, self.verified = None, False, False
                self.snapshots.clear()
                self._move("submitted")

    def _prepare(self) -> None:
        assert not self.rows, "truncated already"
        assert not self.dropped, "nothing is dropped twice"
        self.dropped = {"staging"} if self.append else {"index", "foreign key"}
        for table, after in self.layout.items():
            self.tables[table] = (after, False)
            for number in range(self.random.randint(0, 4)):
                rest = self.random.choice([0, 0, 0, 2])
                self.ranges[self.attempt, table, number] = Range(
                    self.random.choice([10, 40, 90]), self.random.randint(0, 4), rest
                )
        self.prepared = not self.append
        self._move("loading")

    def _forget(self) -> None:
        self.ranges.clear()
        self.tables.clear()
        self.ledger.clear()
        self.leaks.clear()

    # --- services ----------------------------------------------------------------------------------------------------

    def plan_task(self, attempt: int) -> None:
        """A reader plans: the first plan wins, a later one is another and does not count."""
        name = f"plan {self.random.random()}"

        def planned() -> None:
            if (self.attempt, self.state, self.digest) == (attempt, "submitted", ""):
                self.digest = name
            if self.attempt == attempt and self.digest == name and self.state not in TERMINAL:
                self.snapshots.add(f"of {name}")

        self.tell(planned)

    def read(self, key: tuple[int, int, int]) -> None:
        """A reader reads a range: its batches are a function of the range, whoever reads it and how often."""
        ranged = self.ranges.get(key)
        if key[0] != self.attempt or ranged is None or not self.snapshots:
            return
        lost = self.random.random() < self.chaos / 4
        for batch in range(ranged.batches):
            if not (lost and batch == 0):
                self.masked.append((*key, batch))
        batches, rest, size = ranged.batches, ranged.rest, ranged.size

        def told() -> None:
            now = self.ranges.get(key)
            if now is None or key[0] != self.attempt or self.state != "loading":
                return
            if now.state in ("pending", "released"):
                now.state, now.sent, now.read_at = "read", True, self.now
            assert now.batches == batches
            if rest:
                self.ranges.setdefault((key[0], key[1], key[2] + 100), Range(size, rest))

        self.tell(told)

    def apply(self, batch: Batch) -> None:
        """A writer's batch transaction: fence, ledger, rows."""
        table = self.tables.get(batch[1])
        if self.state != "loading" or batch[0] != self.attempt or table is None or table[1] or batch in self.ledger:
            return
        self.ledger.add(batch)
        self.rows[batch] += 1
        self.applied_at = self.now

    def check_leaks(self, attempt: int, column: str) -> None:
        def told() -> None:
            if attempt == self.attempt and column in self.leaks:
                self.leaks[column] = (self.leaks[column][0], True)

        self.tell(told)

    def tell(self, fact: Callable[[], None]) -> None:
        """Facts arrive at least once, in any order."""
        for _ in range(2 if self.random.random() < self.chaos else 1):
            self.facts.append(fact)

    # --- interleaving ------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Something happens somewhere."""
        self.now += self.random.random()
        choices: list[Callable[[], Any]] = [self._lead, self._lead]
        choices += [self._deliver(self.facts, lambda f: f())] * bool(self.facts)
        choices += [self._deliver(self.tasks, self.plan_task)] * bool(self.tasks)
        choices += [self._deliver(self.work, self.read)] * bool(self.work)
        choices += [self._deliver(self.masked, self.apply)] * (2 * bool(self.masked))
        choices += [self._deliver(self.asked, lambda a: self.check_leaks(*a))] * bool(self.asked)
        if self.random.random() < self.chaos:
            choices = [self._take_over, self._zombie, self._trouble]
        self.random.choice(choices)()

    def _deliver(self, queue: list[Any], take: Callable[[Any], None]) -> Callable[[], None]:
        def deliver() -> None:
            at = self.random.randrange(len(queue))
            message = queue[at]
            if self.random.random() > self.chaos / 2:  # else it comes again
                queue.pop(at)
            take(message)

        return deliver

    def _lead(self) -> None:
        """The newest leader does one thing of its agenda; without one, it looks and decides."""
        if not self.terms:
            return self._take_over()
        term = self.terms[-1]
        if term.agenda:
            return self.act(term, *term.agenda.pop(0))
        view = self.view()
        term.agenda = [(d, view.attempt, view.state) for d in decide(view, self.now, PATIENCE)]
        return None

    def _take_over(self) -> None:
        """The leader dies, or is taken for dead: its agenda stays with it."""
        self.epoch += 1
        self.terms = [*self.terms[-2:], Term(self.epoch)]

    def _zombie(self) -> None:
        """A former leader goes on with what it had decided."""
        term = self.random.choice(self.terms) if self.terms else None
        if term is not None and term.agenda:
            self.act(term, *term.agenda.pop(0))

    def _trouble(self) -> None:
        if self.will_cancel and self.random.random() < 0.1 and self.state not in (*TERMINAL, "stopping"):
            self.cancelled = True
        elif self.random.random() < 0.05:
            self.snapshots.clear()
        elif self.random.random() < 0.02 and self.state in ("planned", "preparing", "loading"):
            self.restart_because = "the source was rewritten"

    def run(self, steps: int = 3000) -> World:
        """To the end, or for so many steps; trouble ends after two thirds, so that the run can."""
        for number in range(steps):
            if number == steps * 2 // 3:
                self.chaos = 0.0
            self.step()
            if self.state in TERMINAL and self.cleaned and not self.chaos:
                break
            if self.state in TERMINAL and number > 200 and self.cleaned:
                break
        return self

    def settle(self) -> None:
        """Everything that is still under way arrives, twice, after the end."""
        for _ in range(2):
            for queue, take in ((self.facts, lambda f: f()), (self.masked, self.apply), (self.work, self.read)):
                for message in list(queue):
                    take(message)
            for term in self.terms:
                for entry in list(term.agenda):
                    self.act(term, *entry)
