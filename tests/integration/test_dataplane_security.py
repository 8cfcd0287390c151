"""The clients over TLS with SASL, against a real broker with a certificate of its own."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from faststream.kafka import KafkaBroker
from pydantic import SecretStr
from ulid import ULID

from tailrace.embedded.kafka import EmbeddedKafka
from tailrace_shared.dataplane.sender import Sender
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import TransientError
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.topics import run_settings

PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1: the broker's PEM (key and certificate) and the authority's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    broker, authority = folder / "broker.pem", folder / "ca.pem"
    broker.write_bytes(secret + pem)
    authority.write_bytes(pem)
    return broker, authority


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedKafka, Path]]:
    folder = tmp_path_factory.mktemp("secured")
    pem, authority = certificate(folder)
    broker = EmbeddedKafka(
        None,
        folder / "kafka",
        {
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secured.plain.sasl.jaas.config": f'{PLAIN} required user_reader="hunter2";',
            "listener.name.secured.ssl.keystore.type": "PEM",
            "listener.name.secured.ssl.keystore.location": pem,
        },
        listeners={"SECURED": "SASL_SSL"},
    )
    broker.start()
    yield broker, authority
    broker.stop()


async def test_every_client_passes_tls_and_sasl(secured: tuple[EmbeddedKafka, Path], tmp_path: Path) -> None:
    broker, authority = secured
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    kafka = Kafka(
        KafkaSettings(
            brokers=broker.address("SECURED"), security_protocol="SASL_SSL", sasl_mechanism="PLAIN",
            sasl_username="reader", sasl_password_file=password, ca_file=authority,
        )
    )  # fmt: skip
    topic = f"secured.{ULID()}".lower()
    async with kafka.admin() as admin:
        await admin.create_topics({topic: (1, run_settings(1 << 20))})
        sender = Sender(kafka, 1 << 20)
        await sender.start()
        await sender.send(topic, b"by the sender")
        await sender.stop(Deadline.after(5))
        async with KafkaBroker(**kafka.faststream_options()) as control:
            await control.publish(b"by the control plane", topic)
        assert await admin.end_offsets([topic]) == {(topic, 0): 2}
    consumer = kafka.consumer(topic, group=None)
    await consumer.start()
    assert (await consumer.getone()).value == b"by the sender"
    await consumer.stop()


@pytest.mark.parametrize("wrong", ["password", "authority", "protocol"])
async def test_what_is_wrong_is_told_with_the_settings_and_without_the_password(
    secured: tuple[EmbeddedKafka, Path], wrong: str
) -> None:
    broker, authority = secured
    settings = KafkaSettings(
        brokers=broker.address("SECURED"),
        security_protocol="SASL_PLAINTEXT" if wrong == "protocol" else "SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="reader",
        sasl_password=SecretStr("hunter3" if wrong == "password" else "hunter2"),
        ca_file=None if wrong == "authority" else authority,
        request_timeout_s=5,
    )
    with pytest.raises(TransientError) as caught:
        async with Kafka(settings).admin():
            pass
    assert caught.value.code == "kafka.unreachable"
    assert "user reader" in caught.value.message
    assert "hunter" not in str(caught.value)
