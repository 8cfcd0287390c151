"""Following a source with masked keys through the services, beside PostgreSQL's own logical replication in the same run.

``python -m bench.cdc [--transactions 20000] [--rounds 3] [--rates 2000,5000,10000] [--seconds 10]`` prints, for a narrow table of 8
columns and a wide one of 20, each with 100,000 rows and a primary key:

- **drain**: how many changes per second each way takes of what has piled up while it was down, from START_REPLICATION to the last
  commit in the destination; CPU-seconds per million changes and peak memory per process; where the services' time goes;
- **live** (narrow): how long after its commit in the source a transaction is committed in the destination, at fixed rates, with and
  without another run's snapshot in progress.

A transaction has 10 updates and 5 inserts. The built-in way does not mask and has neither broker nor services: it is the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench.cdc_tables import CHANGES, ROWS, SHAPES, Shape, live, pile_up, rows, schema
from bench.cdc_ways import BUILTIN, COPY, SERVICES, Drain, Following
from bench.meter import metered
from support.databases import make_pair
from support.installation import Installation
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "track_commit_timestamp": "on",
}
AS_SHIPPED = {"TAILRACE_HEARTBEAT_S": "2", "TAILRACE_STALE_S": "10", "TAILRACE_DRAIN_S": "10"}
"""The tests' installation is hastier than the services' own settings."""
FULL = 0.85
"""From here on cores count as busy all the time."""
QUIET = 0.15
"""Share of the cores that other programs may have before a measurement is one of the machine's mood."""


def drains(following: Following, transactions: int, rounds: int) -> int:
    """Rounds of both ways, each first by turns; prints each round and the medians. The number of the next transaction."""
    pair, shape = following.pair, following.shape
    changes = transactions * CHANGES
    made: list[dict[str, Drain]] = []
    at = 1
    for number in range(rounds + 1):
        following.hold()
        target = asyncio.run(pile_up(pair.source, pair.name, shape, at, transactions))
        at += transactions
        following.vacuum()
        one: dict[str, Drain] = {}
        for way in ("tailrace", BUILTIN)[:: -1 if number % 2 else 1]:
            one[way] = following.drain(target) if way == "tailrace" else following.builtin_drain(target)
        ratio = one[BUILTIN].wall / one["tailrace"].wall
        said = ", ".join(
            f"{way} {changes / d.wall / 1000:.0f}k/s ({d.reading.total * 1e6 / changes:.1f} CPU-s per million)"
            for way, d in one.items()
        )
        others = statistics.mean(_others(d) for d in one.values())
        print(
            f"  round {number}{'' if number else ' (warm-up, not counted)'}: {said}; ratio {ratio:.2f}; others had {others:.0%}",
            flush=True,
        )
        if number:
            made.append(one)
    if made:
        _report(shape, made, changes)
    return at


def _report(shape: Shape, made: list[dict[str, Drain]], changes: int) -> None:
    millions = changes / 1e6
    ratios = sorted(one[BUILTIN].wall / one["tailrace"].wall for one in made)
    print(
        f"\n{shape.name}, {changes:,} changes, medians of {len(made)} rounds: ratio to built-in {statistics.median(ratios):.2f} "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    for way in ("tailrace", BUILTIN):
        mine = [one[way] for one in made]
        wall = statistics.median(d.wall for d in mine)
        cpu = {part: statistics.median(d.reading.cpu[part] for d in mine) for part in mine[0].reading.cpu}
        total = sum(cpu.values())
        print(f"  {way}: {changes / wall / 1000:.0f}k changes/s, {total / millions:.1f} CPU-s per million changes")
        for part, seconds in sorted(cpu.items(), key=lambda item: -item[1]):
            peak = max(d.reading.peak[part] for d in mine)
            print(
                f"    {part:12} {seconds / millions:6.2f} {seconds / total:5.0%}  {seconds / wall:5.0%} of one core {peak:6.0f} MB"
            )
        if mine[0].steps:
            told = [
                f"{service} {step} {statistics.median(d.steps.get((service, step), 0.0) for d in mine) / millions:.2f}"
                for service in SERVICES
                for step in sorted({s for d in mine for name, s in d.steps if name == service})
            ]
            print("    seconds per million changes by the services' own clocks: " + ", ".join(told))
        cores = psutil.cpu_count() or 1
        print(f"    {_bottleneck(cpu, wall, cores, statistics.median(_others(d) for d in mine))}")


def _others(drain: Drain) -> float:
    """Share of the cores that other programs had."""
    return max(0.0, (drain.reading.machine - drain.reading.total) / drain.wall / (psutil.cpu_count() or 1))


def _bottleneck(cpu: dict[str, float], wall: float, cores: int, others: float) -> str:
    total = sum(cpu.values())
    dearest = max(cpu, key=lambda part: cpu[part])
    alone = f"with a core for every process the {dearest} would decide: at most {wall / cpu[dearest]:.1f} times as fast"
    if others > QUIET:
        return f"other programs had {others:.0%} of the cores: ratios say more than rates, CPU-seconds most; {alone}"
    if total / wall > FULL * cores:
        return f"bottleneck: the {cores} cores; {alone}"
    if cpu[dearest] / wall > FULL:
        return f"bottleneck: the {dearest}, one process on one core"
    return f"bottleneck: waiting, since neither the cores nor a process is busy all the time; {alone}"


def latencies(following: Following, at: int, rates: list[int], seconds: float) -> None:
    """Live traffic at each rate, alone and with a snapshot of another run; then the built-in way alone."""
    print(f"\nlive, {seconds:.0f} s each: milliseconds from commit to commit; cores in use, traffic included")
    print(f"  {'':34} {'p50':>6} {'p95':>6} {'p99':>6} {'max':>6}   changes/s   cores (all programs)")
    pair = following.pair
    for snapshot in (False, True):
        for rate in rates:
            copy = following.installation.submit(COPY) if snapshot else None
            if copy is not None:
                following.installation.wait(copy, lambda r: r.state == "loading" or r.terminal)
            name = f"tailrace at {rate:,}/s" + (" beside a snapshot" if snapshot else "")
            at = _lived(following, at, rate, seconds, name, pair.name)
            if copy is not None:
                record = following.installation.wait(copy, seconds=300)
                assert record.state == "done", record.failure
    following.hold()
    following.builtin(True)
    asyncio.run(following.caught_up(builtin=True))
    for rate in rates:
        at = _lived(following, at, rate, seconds, f"built-in at {rate:,}/s", BUILTIN)
    following.builtin(False)
    following.go()


def _lived(following: Following, at: int, rate: int, seconds: float, name: str, database: str) -> int:
    pair = following.pair
    parts = (
        following.parts()
        if database == pair.name
        else {"source": pair.source.pid or 0, "destination": pair.destination.pid or 0}
    )
    with metered(parts) as reading:
        came = asyncio.run(live(pair.source, pair.name, following.shape, at, rate, seconds))
    asyncio.run(following.caught_up(builtin=database == BUILTIN))
    delays = np.array(asyncio.run(following.delays(at, database))) * 1000
    p50, p95, p99 = np.percentile(delays, [50, 95, 99])
    print(
        f"  {name:34} {p50:6.0f} {p95:6.0f} {p99:6.0f} {delays.max():6.0f} {came:11,.0f}   "
        f"{reading.total / seconds:.2f} ({reading.machine / seconds:.2f})",
        flush=True,
    )
    return at + int(rate * seconds / CHANGES) + 1


def bench(
    runtime: Runtime, source: EmbeddedPostgres, destination: EmbeddedPostgres, shape: Shape, chosen: argparse.Namespace
) -> None:
    """One shape."""
    print(f"\n{shape.name}: preparing {ROWS:,} rows …", flush=True)
    pair = make_pair(f"bench_{shape.name}", source, destination, schema(shape), rows(shape, chosen.bulk))
    with Installation(runtime, pair, extra=AS_SHIPPED) as installation:
        following = Following(installation, shape)
        following.ready(chosen.bulk)
        at = drains(following, chosen.transactions, chosen.rounds)
        if shape is SHAPES[0] and chosen.rates:
            latencies(following, at, [int(rate) for rate in chosen.rates.split(",")], chosen.seconds)
        following.close()


def main() -> None:
    """Run everything and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--transactions", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--rates", default="2000,5000,10000")
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument(
        "--bulk", type=int, default=2_000_000, help="rows of the table that another run copies meanwhile"
    )
    options.add_argument("--shapes", default=",".join(shape.name for shape in SHAPES))
    chosen = options.parse_args()
    with Runtime.in_temporary_directory() as runtime:
        source = runtime.start_postgres("source", settings=SETTINGS)
        destination = runtime.start_postgres("destination", settings=SETTINGS)
        for shape in SHAPES:
            if shape.name in chosen.shapes.split(","):
                bench(runtime, source, destination, shape, chosen)


if __name__ == "__main__":
    main()
