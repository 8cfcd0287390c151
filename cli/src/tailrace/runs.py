"""Runs as the command sees them: submitted and told what to do by facts, followed on the published copy of their rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import ValidationError
from ulid import ULID

from tailrace_shared import formats, topics
from tailrace_shared.errors import TransientError, UsageError
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka, translated
from tailrace_shared.messages import (
    CancelRequested,
    ComparisonRequested,
    PauseRequested,
    ResumeRequested,
    ResyncRequested,
    RunRecord,
    RunSubmitted,
    StopRequested,
)
from tailrace_shared.service.control import Control, control_session

PUBLISH_DEADLINE_SECONDS = 30.0
"""A broker that does not acknowledge for so long is not there, as far as a person at a prompt is concerned."""
_POLL_MILLISECONDS = 500
_SNAPSHOT_DEADLINE_SECONDS = 30.0


Request = ComparisonRequested | CancelRequested | PauseRequested | ResumeRequested | StopRequested | ResyncRequested
"""What a person may ask of a run that is there."""


class Runs(Protocol):
    """What the commands ask of an installation."""

    async def submit(self, job: Job) -> str:
        """Publish a new run of the job; its id. Durable when it returns."""

    async def ask(self, request: Request) -> None:
        """Ask something of a run. Durable when it returns; harmless for a run that has ended."""

    async def latest(self) -> dict[str, RunRecord]:
        """The newest record of every run that has one."""

    def follow(self, run: str) -> AsyncGenerator[RunRecord | None, None]:
        """Records of one run, versions rising, from the newest known on; None when nothing came for a moment."""


class Newest:
    """The newest record per run out of records in any order."""

    def __init__(self) -> None:
        self.records: dict[str, RunRecord] = {}

    def take(self, record: RunRecord) -> bool:
        """Whether the record is news."""
        known = self.records.get(record.run)
        if known is not None and known.version >= record.version:
            return False
        self.records[record.run] = record
        return True

    def forget(self, run: str) -> None:
        """The run's record was removed from the topic."""
        self.records.pop(run, None)


class PublishedRecords:
    """The run records behind a Kafka and a namespace: read only, and the topic must be there."""

    def __init__(self, kafka: Kafka, namespace: str) -> None:
        self._kafka = kafka
        self._topic = topics.jobs(namespace)
        self.foreign: set[str] = set()
        """Runs whose newest record is of a release with another format: they are in no answer."""

    async def latest(self) -> dict[str, RunRecord]:
        newest = Newest()
        try:
            async with self._reading() as consumer, asyncio.timeout(_SNAPSHOT_DEADLINE_SECONDS):
                ends = await consumer.end_offsets(consumer.assignment())
                while any([await consumer.position(p) < end for p, end in ends.items()]):
                    for run, record in await _poll(consumer, self.foreign):
                        newest.take(record) if record is not None else newest.forget(run)
        except TimeoutError:
            raise TransientError(
                "kafka.timeout",
                f"topic {self._topic} could not be read within {_SNAPSHOT_DEADLINE_SECONDS:.0f} s",
                "Check the brokers (TAILRACE_KAFKA).",
            ) from None
        return newest.records

    async def follow(self, run: str) -> AsyncGenerator[RunRecord | None, None]:
        newest = Newest()
        async with self._reading() as consumer:
            while True:
                news = [
                    record
                    for of, record in await _poll(consumer, self.foreign)
                    if record and of == run and newest.take(record)
                ]
                yield news[-1] if news else None

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Any]:
        """A consumer of all partitions from the beginning, in no group: it commits nothing and leaves no trace."""
        consumer = self._kafka.consumer(self._topic, group=None)
        try:
            with translated(self._kafka.settings, f"reading {self._topic}"):
                await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


class PublishedRuns(PublishedRecords):
    """Runs of the installation behind a Kafka and a namespace."""

    def __init__(self, kafka: Kafka, control: Control, namespace: str) -> None:
        super().__init__(kafka, namespace)
        self._control = control

    async def submit(self, job: Job) -> str:
        run = str(ULID())
        await _acknowledged(self._control.fact(RunSubmitted(run=run, job=job, at=datetime.now(UTC))))
        return run

    async def ask(self, request: Request) -> None:
        await _acknowledged(self._control.fact(request))


@asynccontextmanager
async def connect(kafka: Kafka, namespace: str) -> AsyncIterator[PublishedRuns]:
    """Runs of an installation; makes the control topics where they are missing. Raises TransientError without broker."""
    async with control_session(kafka, namespace) as control:
        yield PublishedRuns(kafka, control, namespace)


def find(records: dict[str, RunRecord], run: str) -> RunRecord:
    """The record of a run named by its id or the unambiguous beginning or end of it. Raises UsageError otherwise."""
    asked = run.strip().upper()
    exact = records.get(asked)
    if exact is not None:
        return exact
    found = [r for key, r in records.items() if asked and (key.startswith(asked) or key.endswith(asked))]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError("run.ambiguous", f"{len(found)} runs are meant by {run}", "Give more of the run's id.")
    raise UsageError(
        "run.unknown",
        f"no run {run} is known",
        "`tailrace status` lists the runs. TAILRACE_KAFKA and TAILRACE_NAMESPACE must be those of the services. Writers remove a "
        "record 30 days after its run's end (TAILRACE_HISTORY_DAYS); the run's row in the destination's tailrace.run stays.",
    )


async def _acknowledged(publishing: Awaitable[None]) -> None:
    try:
        await asyncio.wait_for(publishing, PUBLISH_DEADLINE_SECONDS)
    except TimeoutError:
        raise TransientError(
            "kafka.no-acknowledgement",
            f"Kafka did not acknowledge a message within {PUBLISH_DEADLINE_SECONDS:.0f} s; it may arrive all the same",
            "Check the brokers (TAILRACE_KAFKA), then look with `tailrace status`.",
        ) from None


async def _poll(consumer: Any, foreign: set[str]) -> list[tuple[str, RunRecord | None]]:
    """What has come, by run; None where a run's record was removed, or is of another release, which ``foreign`` is told. Messages
    that are no run records are left out."""
    records: list[tuple[str, RunRecord | None]] = []
    for messages in (await consumer.getmany(timeout_ms=_POLL_MILLISECONDS)).values():
        for message in messages:
            run = (message.key or b"").decode(errors="replace")
            foreign.discard(run)
            if message.value is None:
                records.append((run, None))
                continue
            if formats.is_foreign(message.headers):
                foreign.add(run)
                records.append((run, None))
                continue
            try:
                record = RunRecord.model_validate_json(message.value)
                records.append((record.run, record))
            except ValidationError:
                continue  # of a newer release, or not ours: the run's later records decide
    return records
