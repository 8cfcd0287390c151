"""Fixed work by one, two and four replicas of a stage: ``python -m bench.scale [--rows 1000000] [--rounds 2]``.

The same million rows are copied and masked by 1, 2 and 4 generators and writers, by 4 of every stage, and by 4 on a run with 2
partitions; each way twice, of which the second counts. Printed per way: rows per second, CPU-seconds per million rows and stage,
and how many replicas had rows. On a machine with few cores the rate cannot grow; that CPU-seconds per million rows stay is what
shows that it would, and what they grow by is the cost of coordination. From both, ``scale_model`` computes what 16 cores would
give. Also printed: what a replica with nothing to do costs, and the WAL that a destination has to write.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench.copy import BEFORE, JOB, LOAD_LIMIT_S, MASKED, QUIET, ROWS, SCHEMA, SERVICES, SETTINGS
from bench.meter import Reading, metered
from bench.scale_model import BUSY, Stage, growth, predict
from bench.steps import steps_of
from support.databases import make_pair
from support.installation import Installation
from tailrace.embedded.runtime import Runtime

PARTITIONS = 12
"""The default of a job."""
IDLE_S = 5.0
CORES = (2, 4, 8, 16)
AS_SHIPPED = {"TAILRACE_HEARTBEAT_S": "2", "TAILRACE_STALE_S": "30", "TAILRACE_DRAIN_S": "10"}
"""The tests' installation is hastier than the services' own settings; a replica on a busy machine is not lost."""


class Way(NamedTuple):
    """How many replicas share the work."""

    reader: int
    generator: int
    writer: int
    partitions: int = PARTITIONS

    def __str__(self) -> str:
        text = f"{self.reader}, {self.generator}, {self.writer}"
        return text if self.partitions == PARTITIONS else f"{text} on {self.partitions} partitions"


ONE, TWO, FOUR, EVERY = Way(1, 1, 1), Way(1, 2, 2), Way(1, 4, 4), Way(4, 4, 4)
WAYS = (ONE, TWO, FOUR, EVERY, Way(1, 4, 4, partitions=2))


class Load(NamedTuple):
    """What one load took."""

    seconds: float
    reading: Reading
    working: dict[str, int]
    """Replicas of each service that had rows."""
    wal_bytes: float
    """That the destination wrote meanwhile."""


def load(installation: Installation, way: Way, rows: int) -> Load:
    """Scale, run the job, and meter its load."""
    runtime, pair = installation.runtime, installation.pair
    for service in SERVICES:
        installation.scale(service, getattr(way, service))
    replicas = {replica.name: replica for service in SERVICES for replica in installation.group.replicas(service)}
    assert runtime.kafka is not None
    parts = {name: replica.pid for name, replica in replicas.items()}
    parts |= {
        "broker": runtime.kafka.pid or 0,
        "source": pair.source.pid or 0,
        "destination": pair.destination.pid or 0,
    }
    run = installation.submit(JOB.format(rules=MASKED, partitions=way.partitions))
    installation.wait(run, lambda r: r.state not in BEFORE)
    before = pair.value("destination", "SELECT pg_current_wal_lsn() - '0/0'")
    with metered(parts) as reading:
        started = time.perf_counter()
        installation.wait(run, lambda r: r.state not in (*BEFORE, "loading"), LOAD_LIMIT_S)
        seconds = time.perf_counter() - started
    steps = steps_of(run, {name: replica.port for name, replica in replicas.items()})
    wal = float(pair.value("destination", "SELECT pg_current_wal_lsn() - '0/0'") - before)
    record = installation.wait(run, seconds=LOAD_LIMIT_S)
    assert record.state == "done", record.failure
    assert pair.value("destination", "SELECT count(*) FROM bench") == rows
    worked = {name for (name, _), spent in steps.items() if spent > 0}
    return Load(seconds, reading, {s: sum(name.startswith(s) for name in worked) for s in SERVICES}, wal)


def cost(loads: list[Load], part: str, rows: int) -> float:
    """CPU-seconds per million rows of a part, all its replicas together: the median of the rounds."""
    sums = [sum(s for name, s in one.reading.cpu.items() if name.split("-")[0] == part) for one in loads]
    return statistics.median(sums) * 1e6 / rows


def idle(installation: Installation) -> float:
    """CPU-seconds per second of a replica while there is no run."""
    replicas = installation.group.all()
    with metered({replica.name: replica.pid for replica in replicas}) as reading:
        time.sleep(IDLE_S)
    return reading.total / IDLE_S / len(replicas)


def report(loads: Mapping[Way, list[Load]], rows: int, idle_share: float) -> None:
    """The table, the coordination's cost, and what more cores would give."""
    parts = (*SERVICES, "broker", "source", "destination")
    print(
        f"\n{'readers, generators, writers':32} k rows/s  had rows "
        + "".join(f"{p:>12}" for p in parts)
        + f"{'together':>12}"
    )
    costs = {way: {part: cost(some, part, rows) for part in parts} for way, some in loads.items()}
    for way, some in loads.items():
        rate = rows / statistics.median(one.seconds for one in some) / 1000
        worked = ", ".join(str(max(one.working[s] for one in some)) for s in SERVICES)
        figures = "".join(f"{costs[way][part]:12.2f}" for part in parts)
        print(f"{way!s:32} {rate:8.0f}  {worked:8} {figures}{sum(costs[way].values()):12.2f}")
    print("(figures of parts: CPU-seconds per million rows, all replicas of the stage together)")
    capped = next(way for way in loads if way.partitions < PARTITIONS)
    print(
        f"with {capped.partitions} partitions at most {capped.partitions} generators and {capped.partitions} writers have rows, "
        "whatever their number; the rest waits, for the price of idling"
    )
    print(f"a replica with nothing to do: {idle_share * 1000:.0f} ms of a core per second")

    four = {"reader": EVERY, "generator": FOUR, "writer": FOUR}
    measured = {s: {1: costs[ONE][s], 4: costs[four[s]][s]} for s in SERVICES}
    for service in ("generator", "writer"):
        measured[service][2] = costs[TWO][service]
    stages = {
        s: Stage(costs[ONE][s], growth(measured[s]), most=1 << 10 if s == "reader" else PARTITIONS) for s in SERVICES
    }
    grown = ", ".join(f"{name} {stage.growth:+.1%}" for name, stage in stages.items())
    print(f"what each further replica of a stage adds to its cost: {grown}")
    print(f"computed, each core and process busy for {BUSY:.0%} of the time, {PARTITIONS} partitions:")
    rest = sum(costs[ONE][part] for part in ("broker", "source", "destination"))
    wal = statistics.median(one.wal_bytes for one in loads[ONE]) / rows
    first = predict(stages, rest, CORES[0]).rate
    for cores in CORES:
        told = predict(stages, rest, cores)
        shape = ", ".join(f"{count} {name}s" for name, count in told.replicas.items())
        print(
            f"  {cores:2} cores: {told.rate * 1000:5.0f}k rows/s, {told.rate / first:.1f} times {CORES[0]} cores, with {shape}; "
            f"decided by {told.bound}; the destination writes {told.rate * wal:.0f} MB of WAL per second"
        )
    total = sum(one.reading.total for some in loads.values() for one in some)
    busy = sum(one.reading.machine for some in loads.values() for one in some)
    wall = sum(one.seconds for some in loads.values() for one in some) * (psutil.cpu_count() or 1)
    others = max(0.0, busy - total) / wall
    said = ": rates say little here, CPU-seconds more" if others > QUIET else ""
    print(f"other programs had {others:.0%} of the {psutil.cpu_count()} cores{said}")


def main() -> None:
    """Run the rounds and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=2)
    chosen = options.parse_args()
    rows, loads = chosen.rows, {way: list[Load]() for way in WAYS}
    with Runtime.in_temporary_directory() as runtime:
        source = runtime.start_postgres("source", settings=SETTINGS)
        destination = runtime.start_postgres("destination", settings=SETTINGS)
        print(f"preparing {rows:,} rows × 12 columns …", flush=True)
        pair = make_pair("bench", source, destination, SCHEMA, ROWS.format(rows=rows))
        with Installation(runtime, pair, extra=AS_SHIPPED) as installation:
            for number in range(chosen.rounds):
                for way in WAYS[:: -1 if number % 2 else 1]:
                    load(installation, way, rows)  # new processes load pools and code: their cost is not the work's
                    one = load(installation, way, rows)
                    loads[way].append(one)
                    each = one.reading.total * 1e6 / rows
                    print(
                        f"round {number + 1}: {way}: {rows / one.seconds / 1000:.0f}k rows/s, {each:.1f} CPU-s per million rows",
                        flush=True,
                    )
            report(loads, rows, idle(installation))


if __name__ == "__main__":
    main()
