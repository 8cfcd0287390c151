"""What the embedded broker is told: server properties and flags of its JVM, as pure functions."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path

from tailrace.embedded.ports import LOOPBACK

INTERNAL_LISTENER = "PLAINTEXT"

HEAP_MIB = 256
"""2 GB of traffic leave 182 MB resident with 128; twice that for thousands of partitions."""


def server_properties(
    data: Path, ports: Mapping[str, int], listeners: Mapping[str, str], overrides: Mapping[str, object]
) -> str:
    """One node that is broker and controller.

    ``ports`` names a port for PLAINTEXT, CONTROLLER and each of ``listeners`` (name → security protocol, for instance
    ``{"TLS": "SASL_SSL"}``). ``overrides`` win.
    """
    open_doors = {INTERNAL_LISTENER: "PLAINTEXT", **listeners}
    protocols = {**open_doors, "CONTROLLER": "PLAINTEXT"}
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "listeners": ",".join(f"{name}://{LOOPBACK}:{ports[name]}" for name in protocols),
        "advertised.listeners": ",".join(f"{name}://{LOOPBACK}:{ports[name]}" for name in open_doors),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "inter.broker.listener.name": INTERNAL_LISTENER,
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports['CONTROLLER']}",
        "log.dirs": data,
        "auto.create.topics.enable": "false",  # topics are provisioned with explicit settings, always
        "group.initial.rebalance.delay.ms": 0,  # default 3000: the first member of every empty group would wait
        "group.min.session.timeout.ms": 1000,  # default 6000: a killed replica's partitions move sooner
        "broker.session.timeout.ms": 1000,  # default 9000: a restart after kill -9 waits for the old session
        "broker.heartbeat.interval.ms": 200,
        "log.cleaner.dedupe.buffer.size": 2 << 20,  # default 128 MiB of heap, for nothing here
        "log.segment.delete.delay.ms": 1000,  # default 60 s: deleted topics give their disk back at once
        "log.retention.check.interval.ms": 1000,  # default 5 min: so do deleted records
        "log.initial.task.delay.ms": 500,  # default 30 s: on a young broker, too
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
    }
    return "".join(f"{name}={value}\n" for name, value in {**settings, **overrides}.items())


def meta_properties() -> str:
    """What formatting a data directory writes; done here, it saves the start of a second JVM."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    return f"version=1\ncluster.id={cluster_id}\nnode.id=1\n"


def jvm_flags(*, encrypted: bool) -> list[str]:
    """Quick start and little memory; where bytes are encrypted the second compiler is worth its start-up time.

    Without it TLS costs the broker seven times the CPU of plaintext; plaintext itself gains nothing from it.
    """
    flags = [
        f"-Xmx{HEAP_MIB}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",  # a broker that is dead rather than mute
        "-Xlog:disable",
        "-Xlog:all=error:stderr",
        "--sun-misc-unsafe-memory-access=allow",
        "--enable-native-access=ALL-UNNAMED",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    return flags if encrypted else [*flags, "-XX:TieredStopAtLevel=1"]
