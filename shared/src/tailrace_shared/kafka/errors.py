"""aiokafka's errors as Tailrace's two kinds, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka import errors as kafka

from tailrace_shared.errors import ExitCode, TailraceError, TerminalError, TransientError
from tailrace_shared.kafka.settings import KafkaSettings

FOREIGN = (kafka.KafkaError, OSError, TimeoutError)
"""What a client may raise for reasons outside this process (asyncio's TimeoutError is the built-in one)."""

_AUTHORIZATION = (
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
)
_AUTHENTICATION = (
    kafka.SaslAuthenticationFailed,
    kafka.AuthenticationFailedError,
    kafka.AuthenticationMethodNotSupported,
    kafka.UnsupportedSaslMechanismError,
)
_LOST_PRODUCER = (
    kafka.OutOfOrderSequenceNumber,
    kafka.UnknownProducerId,
    kafka.InvalidProducerIdMapping,
    kafka.InvalidProducerEpoch,
    kafka.ProducerFenced,
    kafka.ProducerClosed,
)


def map_error(error: BaseException, settings: KafkaSettings, doing: str) -> TailraceError:
    """The error as ours; ``doing`` completes "while …" and names the thing. One that is ours already passes unchanged."""
    if isinstance(error, TailraceError):
        return error
    kind = type(error).__name__
    if isinstance(error, _AUTHORIZATION):
        return TerminalError(
            "kafka.forbidden", f"Kafka refuses this service while {doing} ({kind})",
            "Grant the right that the documentation lists for this service, on the topic or group.",
            exit_code=ExitCode.UNAVAILABLE,
        )  # fmt: skip
    if isinstance(error, _AUTHENTICATION):
        return TerminalError(
            "kafka.authentication", f"Kafka does not accept our credentials ({settings.security})",
            "Check TAILRACE_KAFKA_SASL_USERNAME, …_PASSWORD and …_MECHANISM.", exit_code=ExitCode.UNAVAILABLE,
        )  # fmt: skip
    if isinstance(error, kafka.MessageSizeTooLargeError | kafka.RecordListTooLargeError):
        return TerminalError(
            "kafka.message-too-large", f"a message is larger than its topic or client admits, while {doing}",
            "Raise the message limit of the run (its topics are made with it), or carry less in one row.",
        )  # fmt: skip
    if isinstance(error, kafka.InvalidSessionTimeoutError):
        return TerminalError(
            "kafka.session-timeout", f"the broker does not allow a session timeout of {settings.session_s} s",
            "Set TAILRACE_KAFKA_SESSION_S within group.min.session.timeout.ms and group.max.session.timeout.ms.",
        )  # fmt: skip
    if isinstance(error, kafka.UnknownTopicOrPartitionError):
        return TransientError(
            "kafka.topic-missing", f"a topic is not there while {doing}",
            "If it stays so, somebody has deleted it; the run has to be started again.",
        )  # fmt: skip
    if isinstance(error, _LOST_PRODUCER):
        return TransientError("kafka.producer-lost", f"the producer had to be replaced while {doing} ({kind})")
    if isinstance(error, kafka.KafkaConnectionError | kafka.NoBrokersAvailable | OSError) and not isinstance(
        error, TimeoutError
    ):
        return TransientError(
            "kafka.unreachable",
            f"Kafka cannot be reached at {settings.brokers} ({settings.security}) while {doing}",
            "Check TAILRACE_KAFKA, the network and the security settings; wrong credentials look the same.",
        )
    if isinstance(error, kafka.KafkaError) and _terminal(error):
        return TerminalError("kafka.refused", f"Kafka refuses the request while {doing} ({kind})")
    return TransientError("kafka.unavailable", f"Kafka did not answer as expected while {doing} ({kind})")


@contextmanager
def translated(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Raise whatever a client raises inside as a TailraceError."""
    try:
        yield
    except FOREIGN as error:
        raise map_error(error, settings, doing) from error


def _terminal(error: kafka.KafkaError) -> bool:
    return (
        isinstance(error, kafka.BrokerResponseError) and not error.retriable and type(error) is not kafka.UnknownError
    )
