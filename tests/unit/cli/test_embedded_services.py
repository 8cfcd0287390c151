"""Replicas as processes, with a little program in place of each service."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.embedded import processes
from tailrace.embedded.ports import free_ports
from tailrace.embedded.services import ServiceGroup
from tailrace.embedded.supervisor import Supervisor
from tailrace_shared.errors import ExitCode, TerminalError, TransientError, UsageError

PROGRAM = textwrap.dedent(
    """
    import http.server, os, signal, sys
    name = sys.argv[1]
    print("settings", *sorted(n for n in os.environ if n.endswith("_URL") or n.startswith("TAILRACE_")), flush=True)
    if os.environ.get("DIE_WITH"):
        print("cannot go on", flush=True)
        sys.exit(int(os.environ["DIE_WITH"]))
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            ready = self.path == "/health/ready" and not os.environ.get("NEVER_READY")
            self.send_response(200 if ready else 503)
            self.end_headers()
        def log_message(self, *_):
            pass
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["TAILRACE_PORT"])), Health).serve_forever()
    """
)


def program(service: str) -> list[str]:
    return [sys.executable, "-S", "-c", PROGRAM, service]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as started:
        yield started


def group(directory: Path, supervisor: Supervisor, **common: str) -> ServiceGroup:
    secrets = {
        "reader": {"SOURCE_URL": "s"},
        "writer": {"DESTINATION_URL": "d"},
        "generator": {"TAILRACE_MASK_SECRET": "m"},
    }
    return ServiceGroup(directory, supervisor, common=common, secrets=secrets, command=program)


def test_services_start_ready_with_their_own_secrets_and_stop_when_asked(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    services = group(tmp_path, supervisor, TAILRACE_KAFKA="b:1")
    services.start({"generator": 2})
    assert [replica.name for replica in services.all()] == ["reader-1", "generator-1", "generator-2", "writer-1"]
    assert all(replica.is_ready() for replica in services.all())
    assert services.replicas("trainer") == []
    always = "TAILRACE_EMBEDDED_TOKEN TAILRACE_KAFKA"
    seen = {name: (tmp_path / f"{name}-1.log").read_text().strip() for name in ("reader", "generator", "writer")}
    assert seen == {
        "reader": f"settings SOURCE_URL {always} TAILRACE_PORT",
        "generator": f"settings {always} TAILRACE_MASK_SECRET TAILRACE_PORT",
        "writer": f"settings DESTINATION_URL {always} TAILRACE_PORT",
    }
    every = services.all()
    services.stop()
    assert [replica.exit_status for replica in every] == [0, 0, 0, 0]
    assert services.ended() == []


def test_scaling_ends_the_youngest_and_never_uses_a_name_twice(tmp_path: Path, supervisor: Supervisor) -> None:
    services = group(tmp_path, supervisor)
    assert [r.name for r in services.scale("writer", 2)] == ["writer-1", "writer-2"]
    assert [r.name for r in services.scale("writer", 1)] == ["writer-1"]
    assert [r.name for r in services.scale("writer", 3)] == ["writer-1", "writer-3", "writer-4"]
    assert services.scale("writer", 0) == []


def test_a_killed_replica_is_seen_as_ended_and_replaced_by_scaling(tmp_path: Path, supervisor: Supervisor) -> None:
    services = group(tmp_path, supervisor)
    (victim,) = services.scale("generator", 1)
    victim.kill()
    assert not victim.alive
    assert victim.exit_status == -signal.SIGKILL
    assert services.ended() == [victim]
    assert [r.name for r in services.scale("generator", 1, environment={"EXTRA_URL": "1"})] == ["generator-2"]
    assert "EXTRA_URL" in (tmp_path / "generator-2.log").read_text()
    assert services.ended() == []


def test_a_killed_replica_can_be_started_again_under_its_name(tmp_path: Path, supervisor: Supervisor) -> None:
    services = group(tmp_path, supervisor)
    (replica,) = services.scale("reader", 1)
    first = replica.pid
    replica.kill()
    replica.start()
    replica.await_ready()
    assert replica.pid != first
    assert services.replicas("reader") == [replica]


def test_a_suspended_replica_is_alive_and_not_ready(tmp_path: Path, supervisor: Supervisor) -> None:
    services = group(tmp_path, supervisor)
    (replica,) = services.scale("reader", 1)
    assert replica.resident_bytes > 1 << 20
    replica.suspend()
    assert replica.alive
    with pytest.raises(TransientError, match="reader-1 was not ready"):
        replica.await_ready(deadline_seconds=0.1)
    replica.resume()
    replica.await_ready(deadline_seconds=10)


def test_a_replica_that_ends_while_starting_is_reported_with_its_last_words(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    services = group(tmp_path, supervisor, DIE_WITH=str(int(ExitCode.USAGE)))
    with pytest.raises(TerminalError, match=r"(?s)status 2 .*cannot go on") as failed:
        services.scale("writer", 1)
    assert failed.value.exit_code == ExitCode.USAGE


def test_a_start_that_fails_leaves_no_replica_behind(tmp_path: Path, supervisor: Supervisor) -> None:
    services = group(tmp_path, supervisor, NEVER_READY="1")
    with pytest.raises(TransientError):
        services.start(deadline_seconds=0.5)
    assert services.all() == []


def test_a_replica_whose_port_was_taken_starts_again_on_another(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = group(tmp_path, supervisor)
    (holder,) = services.scale("reader", 1)
    replica = services._make("writer", {})
    draws = iter([[holder.port]])
    monkeypatch.setattr(processes, "free_ports", lambda count: next(draws, None) or free_ports(count))
    replica.start()
    replica.await_ready(deadline_seconds=10)
    assert replica.port != holder.port


@pytest.mark.parametrize("count", [-1])
def test_nonsense_is_refused(tmp_path: Path, supervisor: Supervisor, count: int) -> None:
    services = group(tmp_path, supervisor)
    with pytest.raises(UsageError, match="reader, trainer, generator, writer"):
        services.scale("painter", 1)
    with pytest.raises(UsageError, match="replicas of reader"):
        services.scale("reader", count)


def test_a_ctrl_c_in_the_terminal_does_not_reach_the_replicas(tmp_path: Path, supervisor: Supervisor) -> None:
    services = group(tmp_path, supervisor)
    (replica,) = services.scale("reader", 1)
    assert os.getpgid(replica.pid) == replica.pid != os.getpgrp()
