"""Members join on a plan, join anew on a new attempt, leave at the end, and say so when they cannot take part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError, TransientError, UsageError
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.messages import Fact, ReplicaRefused, ReplicaSeen, RunRecord, State
from tailrace_shared.plan.model import Fingerprints, Plan
from tailrace_shared.service.membership import Membership, Progress, ReplicaDiffers
from tailrace_shared.service.metrics import Metrics
from tailrace_shared.settings import ServiceSettings

JOB = Job(name="j", source=Source(url="${S}"), destination=Destination(url="${D}"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(state: State, *, version: int = 1, attempt: int = 1, digest: str = "") -> RunRecord:
    return RunRecord(
        run="R", version=version, state=state, attempt=attempt, digest=digest, job=JOB, submitted_at=NOW, updated_at=NOW
    )


class FakePlans:
    async def fetch(self, run: str, digest: str) -> Any:
        return f"plan {digest}"


class FakeMember:
    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name
        self.turned = 0.0

    async def update(self, record: RunRecord) -> None:
        self._log.append(f"update {self._name}")

    async def leave(self, deadline: Deadline) -> None:
        self._log.append(f"leave {self._name}")

    def progress(self) -> Progress:
        return Progress(5, 50)

    def last_progress(self) -> float:
        return self.turned or time.monotonic()


class World:
    """A membership with everything around it faked and remembered."""

    def __init__(
        self,
        join_error: Callable[[], Exception | None] = lambda: None,
        prints: Any = None,
        *,
        heartbeat_s: float = 0.01,
        refused: int = 0,
    ) -> None:
        self.refused = refused
        self.log: list[str] = []
        self.facts: list[Fact] = []
        self.failed: list[BaseException] = []
        self._join_error = join_error
        context: Any = SimpleNamespace(
            settings=ServiceSettings(heartbeat_s=heartbeat_s), service="generator", replica="generator-1", kafka=None,
            control=SimpleNamespace(fact=self._fact), metrics=Metrics("generator"),
            fail=self.failed.append, log=structlog.get_logger(),
        )  # fmt: skip
        self.metrics: Metrics = context.metrics
        self.membership = Membership(context, self._join, fingerprints=prints)
        self.membership._plans = FakePlans()  # type: ignore[assignment]

    async def _fact(self, fact: Fact) -> None:
        if self.refused:
            self.refused -= 1
            raise TerminalError("kafka.forbidden", "refused")
        self.facts.append(fact)

    async def _join(self, record: RunRecord, plan: Plan) -> FakeMember:
        if error := self._join_error():
            self.log.append("refuse")
            raise error
        self.log.append(f"join {plan}")
        return FakeMember(self.log, str(plan))

    async def until(self, *expected: str) -> None:
        async with asyncio.timeout(5):
            while self.log[-len(expected) :] != list(expected):
                await asyncio.sleep(0.001)


async def test_a_member_joins_with_the_plan_and_leaves_at_the_end() -> None:
    world = World()
    world.membership.on_record(record("submitted"))
    world.membership.on_record(record("planned", version=2, digest="a"))
    await world.until("join plan a")
    world.membership.on_record(record("loading", version=3, digest="a"))
    await world.until("update plan a")
    world.membership.on_record(record("done", version=4, digest="a"))
    await world.until("leave plan a")
    assert world.membership.members() == {}


async def test_a_new_attempt_means_leaving_and_joining_anew() -> None:
    world = World()
    world.membership.on_record(record("loading", digest="a"))
    await world.until("join plan a")
    world.membership.on_record(record("submitted", version=2, attempt=2))
    await world.until("leave plan a")
    world.membership.on_record(record("planned", version=3, attempt=2, digest="b"))
    await world.until("join plan b")
    await world.membership.stop(Deadline.after(1))
    assert world.log[-1] == "leave plan b"


async def test_runs_that_ended_in_the_past_are_not_joined() -> None:
    world = World()
    world.membership.on_record(record("done", digest="a"))
    await asyncio.sleep(0.02)
    assert world.log == []
    assert world.facts == []


async def test_a_replica_that_differs_says_so_once_and_stays_out() -> None:
    world = World(lambda: ReplicaDiffers("replica.differs", "other secret", "give the same"))
    world.membership.on_record(record("planned", digest="a"))
    await world.until("refuse")
    world.membership.on_record(record("loading", version=2, digest="a"))
    await asyncio.sleep(0.05)
    refused = [f for f in world.facts if isinstance(f, ReplicaRefused)]
    assert [f.failure.code for f in refused] == ["replica.differs"]
    assert world.log == ["refuse"]
    await world.membership.stop(Deadline.after(1))


async def test_a_join_that_fails_for_a_moment_is_tried_again() -> None:
    errors = [TransientError("kafka.unreachable", "away"), None]
    world = World(lambda: errors.pop(0))
    world.membership.on_record(record("planned", digest="a"))
    await world.until("refuse", "join plan a")
    await world.membership.stop(Deadline.after(1))


async def test_heartbeats_carry_fingerprints_from_the_submission_on() -> None:
    prints = Fingerprints(mask_secret="m", catalogue="c", pools="p")
    world = World(prints=lambda _: prints)
    world.membership.on_record(record("submitted"))
    async with asyncio.timeout(5):
        while len(world.facts) < 3:
            await asyncio.sleep(0.005)
    assert all(isinstance(f, ReplicaSeen) and f.fingerprints == prints for f in world.facts)
    await world.membership.stop(Deadline.after(1))


async def test_a_replica_without_its_secret_complains_once_and_goes_on() -> None:
    def missing(_: RunRecord) -> Fingerprints:
        raise UsageError("secret.missing", "environment variable M is not set", "Set M.")

    world = World(prints=missing)
    world.membership.on_record(record("submitted"))
    async with asyncio.timeout(5):
        while sum(isinstance(f, ReplicaSeen) for f in world.facts) < 3:
            await asyncio.sleep(0.005)
    assert sum(isinstance(f, ReplicaRefused) for f in world.facts) == 1
    await world.membership.stop(Deadline.after(1))


async def test_the_runs_metrics_exist_at_zero_and_go_with_the_run() -> None:
    world = World()
    world.membership.on_record(record("planned", digest="a"))
    await world.until("join plan a")
    assert world.metrics.registry.get_sample_value("tailrace_rows_total", {"run": "R"}) == 0
    assert world.metrics.registry.get_sample_value("tailrace_batches_total", {"run": "R", "outcome": "failed"}) == 0
    world.membership.on_record(record("cancelled", version=2, digest="a"))
    await world.until("leave plan a")
    async with asyncio.timeout(5):
        while world.metrics.registry.get_sample_value("tailrace_rows_total", {"run": "R"}) is not None:
            await asyncio.sleep(0.001)


async def test_a_member_that_stands_still_shows_until_its_run_is_stopping() -> None:
    world = World()
    world.membership.on_record(record("loading", digest="a"))
    await world.until("join plan a")
    (member,) = world.membership.members().values()
    assert isinstance(member, FakeMember)
    member.turned = 1.0
    assert world.membership.last_progress() == 1.0
    world.membership.on_record(record("stopping", version=2, digest="a"))
    assert world.membership.last_progress() > 1.0
    await world.membership.stop(Deadline.after(1))


@pytest.mark.parametrize("heartbeat_s", [0.01, 3600.0], ids=["heartbeat", "hello"])
async def test_a_replica_that_cannot_say_that_it_lives_for_a_defect_ends(heartbeat_s: float) -> None:
    calls = 0

    def broken(_: RunRecord) -> Fingerprints:
        nonlocal calls
        calls += 1
        if calls == 1 and heartbeat_s < 1:
            return Fingerprints(mask_secret="m", catalogue="c", pools="p")
        raise ZeroDivisionError

    world = World(prints=broken, heartbeat_s=heartbeat_s)
    world.membership.on_record(record("submitted"))
    async with asyncio.timeout(5):
        while not world.failed:
            await asyncio.sleep(0.001)
    assert [type(error) for error in world.failed] == [ZeroDivisionError]
    await world.membership.stop(Deadline.after(1))


async def test_a_heartbeat_that_is_refused_is_followed_by_the_next() -> None:
    world = World(refused=1)
    world.membership.on_record(record("submitted"))
    async with asyncio.timeout(5):
        while not world.facts:
            await asyncio.sleep(0.001)
    assert (world.refused, world.failed) == (0, [])
    await world.membership.stop(Deadline.after(1))


def test_only_states_with_a_plan_are_joined() -> None:
    from tailrace_shared.service.membership import wanted

    assert wanted(record("submitted", digest="a")) is None
    assert wanted(record("planned")) is None
    assert wanted(record("stopping", digest="a")) == (1, "a")
    assert wanted(record("failed", digest="a")) is None


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TAILRACE_HEARTBEAT_S", "TAILRACE_NAMESPACE", "TAILRACE_KAFKA"):
        monkeypatch.delenv(name, raising=False)
