"""An installation of the services in a namespace of its own, and a client that submits runs and waits with deadlines."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from ulid import ULID

from support.databases import Pair
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime
from tailrace.embedded.services import ServiceGroup
from tailrace_shared import topics
from tailrace_shared.job.load import parse_job
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.messages import CancelRequested, Fact, RunRecord, RunSubmitted
from tailrace_shared.service.control import control_session

SHOP_CANARIES = "canary-mail.test"
"""What the writer has in a variable of this name: strings that are in the sources of the tests, and must not arrive."""
ALL_SERVICES = ("reader", "generator", "writer", "trainer")


class Installation:
    """Services for one pair of databases. ``with`` stops them; logs stay until the runtime ends.

    ``identities``: what each service says of itself to Kafka, where the broker asks.
    """

    def __init__(
        self,
        runtime: Runtime,
        pair: Pair,
        *,
        replicas: Mapping[str, int] | None = None,
        mask_secret: str = "one mask secret of the tests",
        extra: Mapping[str, str] | None = None,
        canaries: str | None = SHOP_CANARIES,
        start: bool = True,
        identities: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.runtime = runtime
        self.pair = pair
        self.namespace = f"t{secrets.token_hex(4)}"
        self.kafka = Kafka(KafkaSettings(brokers=runtime.kafka_settings["TAILRACE_KAFKA"]))
        transport = secrets.token_hex(32)
        self.secrets_given = [transport, mask_secret, *(canaries or "").splitlines()]
        """The transport key, the mask secret, and canaries."""
        common = {
            "TAILRACE_NAMESPACE": self.namespace,
            "TAILRACE_HEARTBEAT_S": "0.5",
            "TAILRACE_STALE_S": "3",
            "TAILRACE_DRAIN_S": "5",
            **(extra or {}),
        }
        shares: dict[str, dict[str, str]] = {
            "reader": {"SOURCE_URL": pair.source_url, "TAILRACE_TRANSPORT_KEY": transport},
            "generator": {"TAILRACE_MASK_SECRET": mask_secret, "TAILRACE_TRANSPORT_KEY": transport},
            "trainer": {"TAILRACE_TRANSPORT_KEY": transport},
            "writer": {"DESTINATION_URL": pair.destination_url}
            | ({} if canaries is None else {"SHOP_CANARIES": canaries}),
        }
        self.folder = runtime.directory / self.namespace
        self.group: ServiceGroup = runtime.start_services(
            {"reader": 0, "generator": 0, "writer": 0, "trainer": 0},
            common=common,
            secrets={service: {**given, **(identities or {}).get(service, {})} for service, given in shares.items()},
            name=self.namespace,
        )
        if start:
            for service, count in ({"reader": 1, "generator": 1, "writer": 1} | dict(replicas or {})).items():
                self.scale(service, count)

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self.group.stop()

    def scale(self, service: str, count: int, **environment: str) -> list[ServiceProcess]:
        """Living replicas of a service; ``environment`` goes to the new ones only."""
        return self.group.scale(service, count, environment=environment)

    def logs(self) -> str:
        """All logs of all replicas."""
        return "\n".join(f"--- {p.name}\n{p.read_text(errors='replace')}" for p in sorted(self.folder.glob("*.log")))

    def submit(self, job: Job | str) -> str:
        """Publish the submission; the run's id."""
        run = str(ULID())
        spec = parse_job(job, "job.yaml") if isinstance(job, str) else job
        self.tell(RunSubmitted(run=run, job=spec, at=datetime.now(UTC)))
        return run

    def cancel(self, run: str) -> None:
        """Ask for the run's end."""
        self.tell(CancelRequested(run=run))

    def tell(self, *facts: Fact) -> None:
        """Publish facts as a service would."""

        async def send() -> None:
            async with control_session(self.kafka, self.namespace) as control:
                for fact in facts:
                    await control.fact(fact)

        asyncio.run(send())

    def wait(
        self, run: str, until: Callable[[RunRecord], bool] = lambda record: record.terminal, seconds: float = 90
    ) -> RunRecord:
        """The first published record of the run for which ``until`` holds; fails with the logs' end after ``seconds``."""
        record = asyncio.run(self._wait(run, until, seconds))
        if record is None or not until(record):
            raise AssertionError(f"run {run} after {seconds:.0f} s: {record}\n{self.logs()[-6000:]}")
        return record

    async def _wait(self, run: str, until: Callable[[RunRecord], bool], seconds: float) -> RunRecord | None:
        consumer: AIOKafkaConsumer = self.kafka.consumer(topics.jobs(self.namespace), group=None)
        await consumer.start()
        newest: RunRecord | None = None
        deadline = time.monotonic() + seconds
        try:
            await consumer.seek_to_beginning()
            while time.monotonic() < deadline:
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    for message in messages:
                        if message.key != run.encode() or message.value is None:
                            continue
                        record = RunRecord.model_validate_json(message.value)
                        if newest is None or record.version > newest.version:
                            newest = record
                            if until(record):
                                return record
        finally:
            await consumer.stop()
        return newest

    def records(self, run: str) -> list[RunRecord]:
        """Every published record of the run that the topic still has, oldest first."""

        async def ask() -> list[RunRecord]:
            consumer: AIOKafkaConsumer = self.kafka.consumer(topics.jobs(self.namespace), group=None)
            await consumer.start()
            found = []
            try:
                await consumer.seek_to_beginning()
                ends = await consumer.end_offsets(list(consumer.assignment()))
                while any([await consumer.position(place) < end for place, end in ends.items()]):
                    for messages in (await consumer.getmany(timeout_ms=100)).values():
                        found += [m.value for m in messages if m.key == run.encode() and m.value is not None]
            finally:
                await consumer.stop()
            return [RunRecord.model_validate_json(value) for value in found]

        return asyncio.run(ask())

    def topics_left(self) -> set[str]:
        """The namespace's topics of runs that exist now."""

        async def ask() -> set[str]:
            async with self.kafka.admin() as admin:
                return {t for t in await admin.topics() if topics.run_of(self.namespace, t)}

        return asyncio.run(ask())

    def repeat_control(self, stop: threading.Event | None) -> None:
        """Say everything on ``facts`` and ``tasks`` again, newest first; over and over until ``stop``, or once without it."""
        asyncio.run(self._repeat(stop))

    @contextmanager
    def saying_everything_twice(self) -> Iterator[None]:
        """``repeat_control`` for as long as the block lasts; what goes wrong with it is raised at its end."""
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            echo = pool.submit(self.repeat_control, stop)
            try:
                yield
            finally:
                stop.set()
            echo.result()

    async def _repeat(self, stop: threading.Event | None) -> None:
        names = (topics.facts(self.namespace), topics.tasks(self.namespace))
        consumer = self.kafka.consumer(*names, group=None)
        producer = self.kafka.producer(topics.CONTROL_MESSAGE_BYTES)
        await consumer.start()
        await producer.start()
        said: set[tuple[str, bytes]] = set()
        try:
            await consumer.seek_to_beginning()
            while True:
                fresh = []
                for messages in (await consumer.getmany(timeout_ms=200)).values():
                    fresh += [m for m in messages if (m.topic, m.value) not in said]
                for message in reversed(fresh):
                    if (message.topic, message.value) not in said:
                        said.add((message.topic, message.value))
                        await producer.send_and_wait(
                            message.topic, message.value, key=message.key, headers=list(message.headers)
                        )
                if stop.is_set() if stop else not fresh:
                    return
        finally:
            await producer.stop()
            await consumer.stop()

    def run(self, job: Job | str, seconds: float = 90) -> RunRecord:
        """Submit and wait for the end."""
        return self.wait(self.submit(job), seconds=seconds)


def eventually(check: Callable[[], object], seconds: float, what: str) -> object:
    """Poll until ``check`` is true; fails after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {what}"
        time.sleep(0.05)


def log_files(installation: Installation) -> list[Path]:
    """Every log of the installation."""
    return sorted(installation.folder.glob("*.log"))
