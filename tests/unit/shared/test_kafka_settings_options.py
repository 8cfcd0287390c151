"""Settings of the Kafka clients, and what their errors become."""

from __future__ import annotations

from pathlib import Path

import aiokafka.admin.client
import aiokafka.client
import pytest
from aiokafka import errors
from pydantic import SecretStr, ValidationError

from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TerminalError, TransientError, UsageError
from tailrace_shared.kafka import Kafka, KafkaSettings, map_error, translated
from tailrace_shared.malloc import tune


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAILRACE_KAFKA", raising=False)


def test_brokers_come_from_either_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILRACE_KAFKA_BROKERS", "a:1")
    assert KafkaSettings().bootstrap == ["a:1"]
    monkeypatch.setenv("TAILRACE_KAFKA", "b:2,c:3")
    assert KafkaSettings().bootstrap == ["b:2", "c:3"]
    assert KafkaSettings(brokers="d:4").brokers == "d:4"


@pytest.mark.parametrize("wrong", ["kafka", "kafka:x", "a:1, b:2", "", "kafka://a:1"])
def test_brokers_without_a_port_are_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        KafkaSettings(brokers=wrong)


def test_sasl_needs_user_and_password_and_shows_neither_password() -> None:
    with pytest.raises(ValidationError, match="TAILRACE_KAFKA_SASL_PASSWORD"):
        KafkaSettings(security_protocol="SASL_SSL", sasl_username="u")
    settings = KafkaSettings(security_protocol="SASL_SSL", sasl_username="u", sasl_password=SecretStr("hunter2"))
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.security
    assert settings.security == "SASL_SSL, SCRAM-SHA-512, user u"
    options = Kafka(settings).faststream_options()
    assert options["security"].password == "hunter2"
    assert options["security"].use_ssl
    assert options["allow_auto_create_topics"] is False


def test_a_password_file_wins_and_a_missing_one_names_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from the file\n")
    given = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password_file": file}
    assert KafkaSettings(**given).password() == "from the file"
    file.unlink()
    with pytest.raises(UsageError, match="TAILRACE_KAFKA_SASL_PASSWORD_FILE"):
        Kafka(KafkaSettings(**given))


def test_a_ca_file_that_is_none_names_its_variable(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("no certificate")
    for file in (wrong, tmp_path / "missing.pem"):
        with pytest.raises(UsageError, match="TAILRACE_KAFKA_CA_FILE"):
            Kafka(KafkaSettings(security_protocol="SSL", ca_file=file))


def test_a_session_must_outlast_lost_heartbeats() -> None:
    with pytest.raises(ValidationError, match="three times"):
        KafkaSettings(session_s=1, heartbeat_s=0.5)


async def test_clients_are_made_with_the_measured_settings() -> None:
    kafka = Kafka(KafkaSettings(brokers="a:1"))
    producer = kafka.producer(8 << 20)
    assert producer._max_request_size == 8 << 20
    assert producer._txn_manager is not None  # idempotent
    consumer = kafka.consumer(group="g", auto_offset_reset="none")
    assert consumer._max_partition_fetch_bytes == 1 << 20
    assert not consumer._enable_auto_commit
    assert consumer._max_poll_interval_ms > 24 * 3600 * 1000
    await kafka.discard(producer)
    await kafka.release(consumer, Deadline.after(1))


def test_no_client_asks_for_the_creation_of_a_topic() -> None:
    Kafka(KafkaSettings(brokers="a:1"))
    for module in (aiokafka.client, aiokafka.admin.client):
        assert module.MetadataRequest(["topic"])._allow_auto_topic_creation is False


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (errors.KafkaConnectionError("x"), TransientError, "kafka.unreachable"),
        (ConnectionRefusedError(), TransientError, "kafka.unreachable"),
        (TimeoutError(), TransientError, "kafka.unavailable"),
        (errors.RequestTimedOutError(), TransientError, "kafka.unavailable"),
        (errors.KafkaError("Unexpected error"), TransientError, "kafka.unavailable"),
        (errors.UnknownTopicOrPartitionError(), TransientError, "kafka.topic-missing"),
        (errors.OutOfOrderSequenceNumber(), TransientError, "kafka.producer-lost"),
        (errors.TopicAuthorizationFailedError("t"), TerminalError, "kafka.forbidden"),
        (errors.GroupAuthorizationFailedError("g"), TerminalError, "kafka.forbidden"),
        (errors.SaslAuthenticationFailed(), TerminalError, "kafka.authentication"),
        (errors.MessageSizeTooLargeError(), TerminalError, "kafka.message-too-large"),
        (errors.InvalidSessionTimeoutError(), TerminalError, "kafka.session-timeout"),
        (errors.InvalidConfigurationError(), TerminalError, "kafka.refused"),
    ],
)
def test_errors_become_transient_or_terminal(error: Exception, kind: type[Exception], code: str) -> None:
    mapped = map_error(error, KafkaSettings(brokers="a:1"), "testing")
    assert isinstance(mapped, kind)
    assert mapped.code == code
    assert "testing" in mapped.message or code in ("kafka.authentication", "kafka.session-timeout")


def test_our_own_errors_pass_and_defects_are_not_hidden() -> None:
    settings = KafkaSettings(brokers="a:1")
    own = TerminalError("x", "y")
    assert map_error(own, settings, "testing") is own
    with pytest.raises(TransientError) as caught, translated(settings, "testing"):
        raise errors.NodeNotReadyError
    assert isinstance(caught.value.__cause__, errors.NodeNotReadyError)
    with pytest.raises(ZeroDivisionError), translated(settings, "testing"):
        raise ZeroDivisionError


def test_a_deadline_is_one_point_in_time() -> None:
    deadline = Deadline.after(60)
    assert 59 < deadline.remaining() <= 60
    assert not deadline.expired
    assert deadline.within(1).remaining() <= 1
    assert deadline.within(100) == deadline
    past = Deadline.after(-1)
    assert past.expired
    assert past.remaining() == 0


def test_malloc_is_tuned_or_left_alone() -> None:
    assert tune() in (True, False)
