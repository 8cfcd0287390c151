"""What a process may use and what was killed, from both versions of control groups; labels that every series has."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tailrace_shared.service.exposition import LabelledRegistry
from tailrace_shared.service.memory import MemoryCollector, MemoryGroup

NONE_V1 = "9223372036854771712"


def machine(root: Path, cgroup: str, files: dict[str, str]) -> MemoryGroup:
    for path, text in {"proc/self/cgroup": cgroup, **files}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    return MemoryGroup(root)


@pytest.mark.parametrize(
    ("cgroup", "files", "limit", "kills"),
    [
        ("0::/", {"sys/fs/cgroup/memory.max": "268435456", "sys/fs/cgroup/memory.events": "low 0\noom 2\noom_kill 1"}, 1 << 28, 1),
        ("0::/", {"sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.events": "oom_kill 0"}, None, 0),
        (  # the tightest limit counts, wherever it is; kills are the own group's
            "0::/pod/box",
            {
                "sys/fs/cgroup/pod/box/memory.max": "max",
                "sys/fs/cgroup/pod/memory.max": "1000",
                "sys/fs/cgroup/pod/box/memory.events": "oom_kill 3",
                "sys/fs/cgroup/pod/memory.events": "oom_kill 9",
            },
            1000,
            3,
        ),
        (  # version 1, in a container that sees its own group as the top
            "4:memory:/docker/abc\n3:cpu:/x",
            {
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "5000",
                "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
            },
            5000,
            2,
        ),
        ("4:memory:/", {"sys/fs/cgroup/memory/memory.limit_in_bytes": NONE_V1}, None, 0),
        ("3:cpu:/x", {}, None, 0),
    ],
)  # fmt: skip
def test_the_limit_and_the_kills_of_a_control_group(
    tmp_path: Path, cgroup: str, files: dict[str, str], limit: int | None, kills: int
) -> None:
    group = machine(tmp_path, cgroup, files)
    assert (group.limit_bytes(), group.kills()) == (limit, kills)
    registry = CollectorRegistry()
    registry.register(MemoryCollector(group))
    assert registry.get_sample_value("tailrace_memory_limit_bytes") == (inf if limit is None else limit)
    assert registry.get_sample_value("tailrace_oom_kills_total") == kills


def test_a_machine_that_tells_nothing_has_no_limit(tmp_path: Path) -> None:
    assert (MemoryGroup(tmp_path).limit_bytes(), MemoryGroup(tmp_path).kills()) == (None, 0)
    assert MemoryGroup().resident_bytes() > 1 << 20


def test_every_series_says_its_namespace_and_stage_and_a_label_of_its_own_stays() -> None:
    registry = CollectorRegistry()
    Gauge("plain", "A gauge.", registry=registry).set(1)
    Gauge("lag", "A gauge.", ["stage"], registry=registry).labels("reader").set(2)
    text = generate_latest(LabelledRegistry(registry, {"tailrace_namespace": "n", "stage": "writer"})).decode()
    assert 'plain{stage="writer",tailrace_namespace="n"} 1.0' in text
    assert 'lag{stage="reader",tailrace_namespace="n"} 2.0' in text
    assert "# HELP plain A gauge." in text
