"""Every control message says its format; one of another release is refused by name, and never half understood."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from faststream.kafka import TestKafkaBroker
from structlog.testing import capture_logs

from tailrace.runs import _poll
from tailrace_shared import formats
from tailrace_shared.dataplane.pump import Delivery
from tailrace_shared.deadline import Deadline
from tailrace_shared.job.load import parse_job
from tailrace_shared.kafka import KafkaSettings
from tailrace_shared.messages import CancelRequested, RunRecord, Task
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.control import Control
from tailrace_shared.service.shell import Shell
from tailrace_shared.settings import ServiceSettings
from tailrace_writer.facts_consumer import FactsConsumer

JOB = parse_job(
    'version: 1\nname: shop\nsource: {url: "${A}"}\ndestination: {url: "${B}"}\nschemas: [public]\npolicy: mask\n'
    "tables: {public.t: {columns: {a: mask.text}}}\n"
)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NEXT = str(formats.CONTROL_FORMAT + 1)


def record(run: str) -> bytes:
    made = RunRecord(run=run, version=1, state="loading", job=JOB, submitted_at=NOW, updated_at=NOW)
    return made.model_dump_json().encode()


class Seen:
    """A workload that takes note."""

    def __init__(self) -> None:
        self.records: list[str] = []

    async def start(self, context: ServiceContext) -> None: ...

    async def on_record(self, record: RunRecord) -> None:
        self.records.append(record.run)

    async def on_task(self, task: Task) -> None:
        raise AssertionError("no task is for this release")

    async def stop(self, deadline: Deadline) -> None: ...

    def last_progress(self) -> float:
        return 0.0


async def test_what_is_published_says_its_format() -> None:
    published: list[dict[str, str]] = []

    class Broker:
        async def publish(self, *_: Any, headers: dict[str, str], **__: Any) -> None:
            published.append(headers)

    await Control(Broker(), "t", KafkaSettings()).fact(CancelRequested(run="R"))  # type: ignore[arg-type]
    assert [headers[formats.HEADER] for headers in published] == [str(formats.CONTROL_FORMAT)]
    assert not formats.is_foreign(published[0])
    assert not formats.is_foreign({}), "the first format was not said"


@pytest.mark.parametrize("told", [NEXT, "canary-value", "9" * 50])
def test_another_format_is_refused_by_name_and_nothing_that_was_sent_is_repeated(told: str) -> None:
    headers = [(formats.HEADER, told.encode())]
    assert formats.is_foreign(headers)
    said = formats.refusal("t.jobs", headers)
    assert said.code == "control.format"
    assert "canary" not in str(said)
    assert len(str(said)) < 300


async def test_a_service_leaves_records_and_tasks_of_another_format_out_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAILRACE_KAFKA", "broker:9092")
    seen = Seen()
    shell = Shell(ServiceSettings(namespace="t"), "reader", seen, takes_tasks=True)
    async with TestKafkaBroker(shell._broker) as broker:
        with capture_logs() as lines:
            await broker.publish(record("OURS"), "t.jobs", key=b"OURS", headers={"format": str(formats.CONTROL_FORMAT)})
            await broker.publish(record("FIRST"), "t.jobs", key=b"FIRST")
            await broker.publish(record("NEXT"), "t.jobs", key=b"NEXT", headers={"format": NEXT})
            await broker.publish(b"{}", "t.tasks", key=b"NEXT", headers={"format": NEXT})
    assert seen.records == ["OURS", "FIRST"]
    assert [line["code"] for line in lines if line["event"] == "control.foreign"] == ["control.format"] * 2


async def test_a_writer_leaves_a_fact_of_another_format_out_and_says_so() -> None:
    delivery = Delivery("t.facts", 0, 7, b"R", b"{}", ((formats.HEADER, NEXT.encode()),), 2)
    with capture_logs() as lines:
        await FactsConsumer.handle(SimpleNamespace(), delivery)  # type: ignore[arg-type]
    assert [line["code"] for line in lines] == ["control.format"]


async def test_the_command_names_runs_of_another_release_and_forgets_them_when_they_are_its_own_again() -> None:
    ours = SimpleNamespace(key=b"A", value=record("A"), headers=())
    theirs = SimpleNamespace(key=b"A", value=b"{}", headers=((formats.HEADER, NEXT.encode()),))

    def consumer(*messages: Any) -> Any:
        async def getmany(**_: Any) -> dict[str, list[Any]]:
            return {"t.jobs": list(messages)}

        return SimpleNamespace(getmany=getmany)

    foreign: set[str] = set()
    assert [run and run.run for _, run in await _poll(consumer(ours, theirs), foreign)] == ["A", None]
    assert foreign == {"A"}
    await _poll(consumer(ours), foreign)
    assert foreign == set()
