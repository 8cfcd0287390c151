"""The command against a real broker: runs submitted, listed, followed and cancelled, without any service."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.installation import eventually
from tailrace.embedded.runtime import Runtime
from tailrace.runs import PublishedRuns, connect
from tailrace_shared import topics
from tailrace_shared.job.spec import Destination, Job, Source
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.messages import FACT, CancelRequested, Fact, RunRecord, RunSubmitted, State
from tailrace_shared.service.control import control_session

JOB = Job(name="shop", source=Source(url="${S}"), destination=Destination(url="${D}"))
JOB_TEXT = 'version: 1\nname: shop\nsource: {url: "${S}"}\ndestination: {url: "${D}"}\n'
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(run: str, version: int, state: State) -> RunRecord:
    return RunRecord(run=run, version=version, state=state, job=JOB, submitted_at=NOW, updated_at=NOW)


class Broker:
    """The session's broker under a namespace of its own."""

    def __init__(self, runtime: Runtime) -> None:
        self.settings = runtime.kafka_settings
        self.namespace = f"c{secrets.token_hex(4)}"
        self.kafka = Kafka(KafkaSettings(brokers=self.settings["TAILRACE_KAFKA"]))

    def publish(self, *records: RunRecord) -> None:
        async def send() -> None:
            async with control_session(self.kafka, self.namespace) as control:
                for one in records:
                    await control.record(one)

        asyncio.run(send())

    def facts(self) -> list[Fact]:
        """All facts published so far."""

        async def read() -> list[Fact]:
            async with self.kafka.admin() as admin:
                ends = await admin.end_offsets([topics.facts(self.namespace)])
            consumer = self.kafka.consumer(topics.facts(self.namespace), group=None)
            await consumer.start()
            found: list[Fact] = []
            try:
                async with asyncio.timeout(20):
                    while len(found) < sum(ends.values()):
                        for messages in (await consumer.getmany(timeout_ms=200)).values():
                            found += [FACT.validate_json(message.value) for message in messages]
            finally:
                await consumer.stop()
            return found

        return asyncio.run(read())

    def command(self, *arguments: str, **options: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tailrace", *arguments],
            env={**os.environ, **self.settings, "TAILRACE_NAMESPACE": self.namespace},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,  # type: ignore[call-overload]
        )

    def ask(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code and both streams."""
        process = self.command(*arguments)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def broker(runtime: Runtime) -> Broker:
    return Broker(runtime)


@pytest.fixture
def job_file(tmp_path: Path) -> str:
    (tmp_path / "job.yaml").write_text(JOB_TEXT)
    return str(tmp_path / "job.yaml")


def test_the_newest_record_of_each_run_is_listed_and_one_is_found_by_the_end_of_its_id(broker: Broker) -> None:
    broker.publish(record("01JAAA", 1, "submitted"), record("01JBBB", 5, "failed"), record("01JAAA", 2, "loading"))
    code, out, err = broker.ask("status", "--json")
    assert code == 0, err
    assert {r["run"]: r["state"] for r in json.loads(out)} == {"01JAAA": "loading", "01JBBB": "failed"}
    assert broker.ask("status", "bbb")[0] == 0
    assert broker.ask("status", "zzz")[0] == 2


def test_an_installation_that_never_ran_anything_has_no_runs(broker: Broker) -> None:
    code, out, _ = broker.ask("status", "--json")
    assert (code, json.loads(out)) == (0, [])


def test_a_detached_submission_is_a_fact_once_the_command_returns(broker: Broker, job_file: str) -> None:
    code, out, err = broker.ask("run", job_file, "--detach")
    assert code == 0, err
    (fact,) = broker.facts()
    assert isinstance(fact, RunSubmitted)
    assert (fact.run, fact.job.name) == (out.strip(), "shop")


def test_interrupting_a_run_asks_for_cancellation_and_a_second_time_leaves_it_alone(
    broker: Broker, job_file: str
) -> None:
    process = broker.command("run", job_file)
    try:
        assert process.stderr is not None
        run = process.stderr.readline().split()[1]
        broker.publish(record(run, 1, "loading"))
        assert "loading" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "cancelling" in process.stderr.readline()
        assert CancelRequested(run=run) in broker.facts()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert f"tailrace status {run}" in err
    assert "Traceback" not in out + err


def test_a_cancellation_waits_for_the_terminal_record(broker: Broker) -> None:
    broker.publish(record("01JAAA", 1, "loading"))
    process = broker.command("cancel", "01JAAA")
    try:
        eventually(lambda: CancelRequested(run="01JAAA") in broker.facts(), 30, "the cancellation is a fact")
        assert process.poll() is None
        broker.publish(record("01JAAA", 2, "cancelled"))
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0


def test_following_starts_at_the_newest_record_and_leaves_no_group_behind(broker: Broker) -> None:
    broker.publish(*(record("01JAAA", version, "loading") for version in range(1, 4)), record("01JBBB", 1, "done"))

    async def first() -> RunRecord:
        async with connect(broker.kafka, broker.namespace) as runs:
            assert isinstance(runs, PublishedRuns)
            async for found in runs.follow("01JAAA"):
                if found is not None:
                    return found
        raise AssertionError

    assert asyncio.run(first()).version == 3
