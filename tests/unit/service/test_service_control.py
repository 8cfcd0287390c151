"""Publishing waits for a broker that is away and says so; what waiting cannot help is raised, and a lost producer is told."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from aiokafka import errors as kafka
from structlog.testing import capture_logs

from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.kafka import KafkaSettings
from tailrace_shared.messages import CancelRequested
from tailrace_shared.service import control as module
from tailrace_shared.service.control import Control

FACT = CancelRequested(run="R")


class FakeBroker:
    """FastStream's broker as far as publishing goes; fails as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = deque(failures)
        self.published: list[tuple[str, bytes]] = []

    async def publish(self, _body: bytes, topic: str, *, key: bytes, **_: Any) -> None:
        if self.failures:
            raise self.failures.popleft()
        self.published.append((topic, key))


def control_of(broker: FakeBroker) -> tuple[Control, list[BaseException]]:
    lost: list[BaseException] = []
    return Control(broker, "t", KafkaSettings(), lost=lost.append), lost  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FOREVER", RetrySchedule(first_s=0.001, limit_s=0.001, attempts=None))


async def test_a_broker_that_is_away_is_waited_for_and_said_once_in_a_while() -> None:
    broker = FakeBroker(*[kafka.KafkaTimeoutError(), kafka.NodeNotReadyError(), OSError()] * 5)
    control, lost = control_of(broker)
    with capture_logs() as lines:
        await control.fact(FACT)
    assert broker.published == [("t.facts", b"R")]
    assert [(line["event"], line["code"], line["log_level"]) for line in lines] == [
        ("control.waiting", "kafka.unavailable", "warning")
    ]
    assert lost == []


async def test_the_log_has_another_line_when_it_is_time_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAY_S", 0.0)
    control, _ = control_of(FakeBroker(kafka.KafkaTimeoutError(), kafka.UnknownTopicOrPartitionError()))
    with capture_logs() as lines:
        await control.fact(FACT)
    assert [line["code"] for line in lines] == ["kafka.unavailable", "kafka.topic-missing"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (kafka.TopicAuthorizationFailedError("t.facts"), "kafka.forbidden"),
        (kafka.MessageSizeTooLargeError(), "kafka.message-too-large"),
        (kafka.SaslAuthenticationFailed(), "kafka.authentication"),
    ],
)
async def test_what_waiting_cannot_help_is_raised(error: Exception, code: str) -> None:
    broker = FakeBroker(error)
    control, lost = control_of(broker)
    with pytest.raises(TerminalError) as caught:
        await control.fact(FACT)
    assert caught.value.code == code
    assert (broker.published, lost) == ([], [])


@pytest.mark.parametrize("error", [kafka.OutOfOrderSequenceNumber(), kafka.ProducerFenced()])
async def test_a_producer_that_the_broker_no_longer_accepts_ends_the_service(error: Exception) -> None:
    broker = FakeBroker(error)
    control, lost = control_of(broker)
    with pytest.raises(TransientError) as caught:
        await control.fact(FACT)
    assert caught.value.code == "kafka.producer-lost"
    assert lost == [caught.value]
    assert broker.published == []


async def test_a_producer_that_the_service_has_closed_itself_is_no_failure_of_the_service() -> None:
    control, lost = control_of(FakeBroker(kafka.ProducerClosed()))
    with pytest.raises(TransientError):
        await control.fact(FACT)
    assert lost == []
