"""A broker that asks everybody who they are (TLS, SCRAM) and what they may (access lists), as a production one does."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from support.certificates import Authority
from tailrace.embedded.kafka import EmbeddedKafka
from tailrace.embedded.runtime import Runtime
from tailrace_shared.rights import PARTIES, Party

DOOR = "SECURED"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


def listeners() -> dict[str, str]:
    """The broker's door for everybody; its other, plain one stands for the administrator's."""
    return {DOOR: "SASL_SSL"}


def broker_config(authority: Authority) -> dict[str, object]:
    """Who comes in by the plain door has no name, and is an administrator."""
    return {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"listener.name.{DOOR.lower()}.scram-sha-512.sasl.jaas.config": SCRAM,
        f"listener.name.{DOOR.lower()}.ssl.keystore.type": "PEM",
        f"listener.name.{DOOR.lower()}.ssl.keystore.location": authority.server("broker", "127.0.0.1"),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "broker.session.timeout.ms": 9000,  # Kafka's own: encryption takes the processor for longer than the embedded broker's 1 s
    }


def written_passwords(folder: Path) -> dict[Party, Path]:
    """Random passwords, in files named as the parties."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[Party, Path] = {}
    for party in PARTIES:
        files[party] = folder / party
        files[party].write_text(secrets.token_urlsafe(24) + "\n")
    return files


def environment(broker: EmbeddedKafka, authority: Authority, user: str, password: Path) -> Mapping[str, str]:
    """What a party needs to come in."""
    return {
        "TAILRACE_KAFKA": broker.address(DOOR),
        "TAILRACE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "TAILRACE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "TAILRACE_KAFKA_SASL_USERNAME": user,
        "TAILRACE_KAFKA_SASL_PASSWORD_FILE": str(password),
        "TAILRACE_KAFKA_CA_FILE": str(authority.ca),
    }


def broker_of(runtime: Runtime) -> EmbeddedKafka:
    """The embedded broker of a runtime that has one."""
    assert runtime.kafka is not None
    return runtime.kafka
