"""Broker, databases and services together; what is left after a clean stop and after a crash: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from tailrace.embedded import Runtime
from tailrace.embedded.kafka_probe import live_brokers

SERVICE = textwrap.dedent(
    """
    import http.server, os
    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
    http.server.HTTPServer(("127.0.0.1", int(os.environ["TAILRACE_PORT"])), Health).serve_forever()
    """
)

WHOLE = textwrap.dedent(
    f"""
    import json, sys, time
    import psutil
    from tailrace.embedded import Runtime
    runtime = Runtime.in_temporary_directory()
    runtime.start({{"source": {{}}}})
    runtime.start_services(command=lambda service: [sys.executable, "-c", {SERVICE!r}])
    pids = [process.pid for process in psutil.Process().children(recursive=True)]
    print(json.dumps([str(runtime.directory), pids]), flush=True)
    time.sleep(600)
    """
)


def left_over(pids: list[int]) -> list[str]:
    found = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{pid} {process.name()}")
        except psutil.NoSuchProcess:
            pass
    return found


def shared_memory() -> set[str]:
    """Segments that PostgreSQL frees when it is stopped, and not when it is killed."""
    return {place.name for place in Path("/dev/shm").glob("PostgreSQL.*")}


def test_after_a_clean_stop_no_process_and_no_folder_is_left() -> None:
    others = {process.pid for process in psutil.Process().children()}  # of other tests: their runtime lives on
    with Runtime.in_temporary_directory() as runtime:
        runtime.start({"source": {}, "destination": {"fsync": False}})
        services = runtime.start_services(
            {"generator": 2}, command=lambda service: [sys.executable, "-c", SERVICE], name="one"
        )
        assert len(services.all()) == 4
        assert services.all()[0].environment["TAILRACE_KAFKA"] == runtime.kafka_settings["TAILRACE_KAFKA"]
        assert runtime.kafka is not None
        assert live_brokers(int(runtime.kafka.bootstrap.rpartition(":")[2])) == 1
        assert list(runtime.databases) != []
        assert runtime.start_postgres("source") is runtime.databases["source"]
        own = [process for process in psutil.Process().children() if process.pid not in others]
        pids = [process.pid for started in own for process in (started, *started.children(recursive=True))]
        assert len(pids) > 7, "broker, two clusters with their backends, four services"
    assert left_over(pids) == []
    assert not runtime.directory.exists()


def test_real_brokers_are_named_to_the_services_and_none_is_started(tmp_path: Path) -> None:
    settings = {"TAILRACE_KAFKA": "broker:9092", "TAILRACE_KAFKA_SASL_PASSWORD": "p"}
    with Runtime(tmp_path / "r", kafka=settings) as runtime:
        assert runtime.kafka is None
        services = runtime.start_services(
            {"reader": 1, "generator": 0, "writer": 0},
            command=lambda service: [sys.executable, "-c", SERVICE],
            common={"TAILRACE_NAMESPACE": "n"},
        )
        (reader,) = services.all()
        assert settings.items() <= reader.environment.items()
        assert reader.environment["TAILRACE_NAMESPACE"] == "n"
    assert (tmp_path / "r" / "services" / "reader-1.log").exists(), "a named directory is kept"


@pytest.mark.crash
def test_kill_minus_nine_of_the_parent_leaves_no_process_and_no_folder() -> None:
    before = shared_memory()
    parent = subprocess.Popen([sys.executable, "-c", WHOLE], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    line = parent.stdout.readline()
    parent.stdout.close()
    assert line, "the runtime did not start"
    name, pids = json.loads(line)
    directory = Path(name)
    assert directory.exists()
    assert len(pids) > 8, "watchdog, broker, three services, a postmaster and its processes"
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 30
    while (left_over(pids) or directory.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_over(pids) == []
    assert not directory.exists()
    assert shared_memory() <= before | shared_memory_of_others(pids)


def shared_memory_of_others(pids: list[int]) -> set[str]:
    """Segments that other clusters of this machine have mapped meanwhile."""
    mapped = set()
    for process in psutil.process_iter():
        if process.pid in pids:
            continue
        try:
            text = Path(f"/proc/{process.pid}/maps").read_text()
        except OSError:
            continue
        mapped |= {line.rpartition("/")[2].strip() for line in text.splitlines() if "/dev/shm/PostgreSQL." in line}
    return mapped


@pytest.mark.crash
def test_a_crash_in_the_middle_of_the_start_leaves_nothing_either() -> None:
    before = shared_memory()
    script = WHOLE.replace("runtime.start(", "print(runtime.directory, flush=True); runtime.start(", 1)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    directory = Path(parent.stdout.readline().strip())
    time.sleep(0.7)  # not a wait for a condition: any moment of the start will do
    below = [process.pid for process in psutil.Process(parent.pid).children(recursive=True)]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while (left_over(below) or directory.exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_over(below) == []
    assert not directory.exists()
    assert shared_memory() <= before | shared_memory_of_others(below)
