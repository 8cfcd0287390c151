"""A real broker: its topics, its death and its return on the same port."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tailrace.embedded import EmbeddedKafka
from tailrace.embedded import kafka as kafka_module
from tailrace.embedded.cache import cache_directory
from tailrace.embedded.kafka_jars import pinned_jars
from tailrace.embedded.kafka_pins import resolve_pins
from tailrace.embedded.kafka_probe import live_brokers
from tailrace.embedded.supervisor import Supervisor
from tailrace_shared.errors import TerminalError, TransientError


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as started:
        yield started


@pytest.fixture(scope="module")
def broker(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(None, tmp_path_factory.mktemp("kafka"), supervisor=supervisor) as started:
        yield started


async def create_topic(broker: EmbeddedKafka, partitions: int = 1) -> str:
    topic = f"t-{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        reply = await admin.create_topics([NewTopic(topic, partitions, 1)])
    finally:
        await admin.close()
    assert [error for _, error, *_ in reply.topic_errors] == [0]
    return topic


async def produce(broker: EmbeddedKafka, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def consume(broker: EmbeddedKafka, topic: str, count: int, group: str | None = None) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        group_id=group,
        enable_auto_commit=False,
    )
    async with consumer, asyncio.timeout(30):
        return [(await consumer.getone()).value for _ in range(count)]


async def test_a_topic_can_be_written_and_read_by_a_group(broker: EmbeddedKafka) -> None:
    topic = await create_topic(broker)
    await produce(broker, topic, b"1", b"2")
    assert await consume(broker, topic, 2, group="readers") == [b"1", b"2"]


async def test_a_killed_broker_comes_back_on_its_port_with_its_records(broker: EmbeddedKafka) -> None:
    topic = await create_topic(broker)
    await produce(broker, topic, b"before")
    address, pid = broker.bootstrap, broker.pid
    broker.kill()
    assert not broker.alive
    assert live_brokers(int(address.rpartition(":")[2])) == 0
    await asyncio.to_thread(broker.start)
    assert broker.bootstrap == address
    assert broker.pid != pid
    await produce(broker, topic, b"after")
    assert await consume(broker, topic, 2) == [b"before", b"after"]


async def test_a_client_that_was_connected_goes_on_after_a_clean_restart(broker: EmbeddedKafka) -> None:
    topic = await create_topic(broker)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, b"1")
        await asyncio.to_thread(broker.restart)
        async with asyncio.timeout(60):
            await producer.send_and_wait(topic, b"2")
    assert await consume(broker, topic, 2) == [b"1", b"2"]


def test_starting_twice_is_one_broker(broker: EmbeddedKafka) -> None:
    pid = broker.pid
    broker.start()
    assert broker.pid == pid
    assert broker.resident_bytes > 50 << 20


def test_a_broker_that_dies_gives_its_reason(supervisor: Supervisor, tmp_path: Path) -> None:
    broker = EmbeddedKafka(None, tmp_path, {"num.network.threads": "many"}, supervisor=supervisor)
    with pytest.raises(TerminalError, match=r"(?s)ended while starting.*num\.network\.threads"):
        broker.start()
    assert not broker.alive


def test_a_port_that_was_taken_meanwhile_is_replaced(
    supervisor: Supervisor, broker: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = int(broker.bootstrap.rpartition(":")[2])
    real = kafka_module.free_ports
    draws = iter([lambda count: [taken, *real(count - 1)]])
    monkeypatch.setattr(kafka_module, "free_ports", lambda count: next(draws, real)(count))
    with EmbeddedKafka(None, tmp_path, supervisor=supervisor) as other:
        assert other.bootstrap != broker.bootstrap
        assert other.alive


def test_too_short_a_deadline_leaves_no_broker(supervisor: Supervisor, tmp_path: Path) -> None:
    broker = EmbeddedKafka(None, tmp_path, supervisor=supervisor)
    with pytest.raises(TransientError, match="not ready in time"):
        broker.start(deadline_seconds=0.1)
    assert not broker.alive


async def test_an_added_listener_asks_for_a_password(supervisor: Supervisor, tmp_path: Path) -> None:
    login = "org.apache.kafka.common.security.plain.PlainLoginModule"
    config = {
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.door.plain.sasl.jaas.config": f'{login} required user_writer="secret";',
    }
    kafka = EmbeddedKafka(None, tmp_path, config, listeners={"DOOR": "SASL_PLAINTEXT"}, supervisor=supervisor)
    await asyncio.to_thread(kafka.start)
    try:
        topic = await create_topic(kafka)
        producer = AIOKafkaProducer(
            bootstrap_servers=kafka.address("DOOR"),
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            sasl_plain_username="writer",
            sasl_plain_password="secret",
        )
        async with producer:
            await producer.send_and_wait(topic, b"1")
    finally:
        kafka.stop()


def test_a_broker_of_its_own_supervisor_leaves_no_process(tmp_path: Path) -> None:
    before = {process.pid for process in psutil.Process().children()}
    with EmbeddedKafka(cache_directory(), tmp_path) as kafka:
        assert kafka.alive
    assert {process.pid for process in psutil.Process().children()} == before


@pytest.mark.long
def test_the_shipped_table_is_what_the_coordinates_resolve_to(tmp_path: Path) -> None:
    assert tuple(resolve_pins(tmp_path)) == pinned_jars()
