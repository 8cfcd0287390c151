"""The clients of the data plane and of the shell, with settings that were measured."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Literal

import aiokafka.admin.client
import aiokafka.client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, errors
from aiokafka.protocol.metadata import MetadataRequest
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from tailrace_shared.deadline import Deadline
from tailrace_shared.kafka.access import Access
from tailrace_shared.kafka.admin import Admin
from tailrace_shared.kafka.errors import FOREIGN
from tailrace_shared.kafka.inspection import Inspection
from tailrace_shared.kafka.settings import KafkaSettings

PARTITION_FETCH_BYTES = 1 << 20
"""One record of the usual size per partition and fetch. More is slower and costs memory; larger records pass anyway."""
NODE_FETCH_BYTES = 4 << 20
"""Per broker: bounds what is fetched ahead, whatever the number of partitions. A larger record passes, alone."""
FETCH_AHEAD_S = 3600.0
"""While anything of a fetch is not taken, nothing more is fetched. aiokafka's own 0.1 s would let a consumer that waits for its
destination gather a record of every partition."""
FETCH_WAIT_MS = 200
"""Other requests to the same broker queue behind a waiting fetch."""
MAX_POLL_MS = 2**31 - 1
"""A member whose destination is dead for hours polls nothing and must stay: 24 days, the most that fits.
Liveness is the business of ``Pump.last_poll``."""

DISCARD_S = 2.0
"""For closing sockets of a client that is given up."""


class _PlainMetadataRequest(MetadataRequest):  # type: ignore[misc]
    """Asks about topics without asking for their creation, which is aiokafka's default."""

    def __init__(self, topics: list[str] | None = None, allow_auto_topic_creation: bool = False) -> None:
        super().__init__(topics, allow_auto_topic_creation)


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    """Fetches ahead within one response. (The fetcher has a setting for it that the consumer does not pass on.)"""

    async def start(self) -> None:
        await super().start()
        self._fetcher._prefetch_backoff = FETCH_AHEAD_S


def forbid_topic_creation() -> None:
    """Keep every aiokafka client of this process, FastStream's too, from re-creating a topic that was deleted.

    aiokafka has no setting for it and builds the request inside its client, hence the exchange of a name in its modules.
    """
    aiokafka.client.MetadataRequest = _PlainMetadataRequest
    aiokafka.admin.client.MetadataRequest = _PlainMetadataRequest


class Kafka:
    """Makes clients for one cluster. Making one does no I/O; whoever asks for a client starts and stops it.

    Raises UsageError when a file that the settings name cannot be read.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._context = settings.ssl_context()
        self._options = settings.client_options(self._context)
        forbid_topic_creation()

    def producer(self, message_bytes: int) -> AIOKafkaProducer:
        """An idempotent producer that refuses by itself what is larger than ``message_bytes``, the topic's limit.

        One that the broker has to refuse would wedge it for good: aiokafka counts the sequence number before it sends.
        Only one task may call ``send``: concurrent callers are reordered across a broker's outage. ``Sender`` is that task.
        """
        return AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            max_request_size=message_bytes,
            linger_ms=0,
        )

    def consumer(
        self,
        *topics: str,
        group: str | None,
        auto_offset_reset: Literal["earliest", "none"] = "earliest",
    ) -> AIOKafkaConsumer:
        """A consumer that commits nothing by itself.

        ``earliest`` starts at the beginning where the group has no commit, and jumps there silently when its commit is out
        of range; with ``none`` both are errors (``NoOffsetForPartitionError``, ``OffsetOutOfRangeError``), which is what
        ``Pump`` wants.
        """
        return _Consumer(
            *topics,
            **self._options,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset=auto_offset_reset,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
            fetch_max_bytes=NODE_FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_poll_interval_ms=MAX_POLL_MS,
            heartbeat_interval_ms=int(self.settings.heartbeat_s * 1000),
            session_timeout_ms=int(self.settings.session_s * 1000),
        )

    async def discard(self, producer: AIOKafkaProducer) -> None:
        """Close a producer without waiting for what it has not delivered: those sends fail, and may have been stored.

        ``stop()`` would wait for them as long as the broker is away. Its parts that know no end are ended first: what
        waits for an acknowledgement, then the connections.
        """
        producer._message_accumulator.fail_all(errors.ProducerClosed())
        for step in (producer.client.close, producer.stop):
            with suppress(Exception):  # the sending task stumbles over batches that are failed already
                async with asyncio.timeout(DISCARD_S):
                    await step()

    async def release(self, consumer: AIOKafkaConsumer, deadline: Deadline) -> None:
        """Stop a consumer and leave its group; when the coordinator does not answer in time, just close the connections."""
        with suppress(*FOREIGN):
            async with asyncio.timeout(deadline.remaining()):
                await consumer.stop()
                return
        with suppress(*FOREIGN):
            async with asyncio.timeout(DISCARD_S):
                await consumer._client.close()

    def admin(self) -> Admin:
        """An administration client; an async context manager, or ``start`` and ``stop``."""
        return Admin(self.settings, self._options, self)

    def inspection(self) -> Inspection:
        """An administration client that only looks at the cluster; used like ``admin()``."""
        return Inspection(self.settings, self._options, self)

    def access(self) -> Access:
        """An administration client for access lists and users; used like ``admin()``."""
        return Access(self.settings, self._options, self)

    def faststream_options(self) -> dict[str, Any]:
        """Keyword arguments for FastStream's ``KafkaBroker``: same cluster, durable publishing, no topics made by accident."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.settings.bootstrap,
            "request_timeout_ms": self._options["request_timeout_ms"],
            "allow_auto_create_topics": False,
            "acks": "all",
            "enable_idempotence": True,
        }
        security = self._faststream_security()
        return options if security is None else options | {"security": security}

    def _faststream_security(self) -> BaseSecurity | None:
        if self.settings.security_protocol == "PLAINTEXT":
            return None
        if self.settings.security_protocol == "SSL":
            return BaseSecurity(ssl_context=self._context, use_ssl=True)
        scheme = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
        return scheme[self.settings.sasl_mechanism](
            username=self.settings.sasl_username,
            password=self.settings.password(),
            ssl_context=self._context,
            use_ssl=self._context is not None,
        )
