"""A masked copy of one table against ``psql COPY | psql COPY`` in the same run.

``python -m bench.copy [--rows 1000000] [--rounds 3]`` prints, per round and as medians: rows per second of the pipe, of an
unmasked copy and of one with six masked columns; their ratio to the pipe of the same round; CPU-seconds per million rows and
peak memory per process; where the services' time goes, step by step; and the next bottleneck.
The clock of a copy, and the meter, start when the run is *loading* (services are up and have joined) and stop when the ledger
is complete.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench.meter import Reading, metered
from bench.steps import Steps, steps_of
from support.databases import Pair, make_pair
from support.installation import Installation
from tailrace.embedded.postgres_programs import wheel_programs
from tailrace.embedded.runtime import Runtime
from tailrace_generator.member import STEPS as generator_steps
from tailrace_reader.member import STEPS as reader_steps
from tailrace_writer.member import STEPS as writer_steps

SCHEMA = """
CREATE TABLE bench (
  id bigint PRIMARY KEY, grp integer NOT NULL, amount numeric(12,2), name text NOT NULL, email varchar(80) NOT NULL,
  created timestamptz NOT NULL, birth date, active boolean NOT NULL, uid uuid NOT NULL, doc jsonb, score double precision, note text
);
"""
ROWS = """
INSERT INTO bench SELECT i, i % 1000, CASE WHEN i % 11 > 0 THEN (i * 7919 % 10000000)::numeric / 100 END,
  'Given' || i % 7919 || ' Family' || i % 104729 || ' of the long house', 'person' || i || '@mail' || i % 50 || '.example',
  TIMESTAMPTZ '2020-01-01' + i * INTERVAL '61 seconds', CASE WHEN i % 61 > 0 THEN DATE '1940-01-01' + (i % 25000)::int END,
  i % 3 = 0, md5(i::text)::uuid, CASE WHEN i % 5 = 0 THEN jsonb_build_object('k', i, 'tags', ARRAY['a', 'b']) END,
  CASE WHEN i % 7 > 0 THEN sqrt(i) END, CASE WHEN i % 2 = 0 THEN 'note ' || repeat('lorem ', (i % 13)::int) || i END
FROM generate_series(1::bigint, {rows}) i;
VACUUM (ANALYZE, FREEZE) bench;
"""
JOB = """
version: 1
name: bench
source: {{url: "${{SOURCE_URL}}"}}
destination: {{url: "${{DESTINATION_URL}}", mode: truncate}}
tables:
  public.bench: {rules}
verify: {{leak_sample: 0}}
limits: {{partitions: {partitions}}}
"""
MASKED = """{columns: {id: duplicate, grp: key, amount: duplicate, name: mock.full_name, email: mock.email,
    created: duplicate, birth: {generator: mask.date, days: 30}, active: duplicate, uid: key, doc: duplicate,
    score: duplicate, note: {generator: mask.hash, length: 32}}}"""
VARIANTS = {"unmasked": "{mode: duplicate}", "6 masked": MASKED}
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min"}
LOAD_LIMIT_S = 300
BEFORE = ("submitted", "planned", "preparing")
FULL = 0.85
"""From here on cores, or the one of a service, count as busy all the time."""
QUIET = 0.15
"""Share of the cores that other programs may have before a measurement is one of the machine's mood."""
SERVICES = ("reader", "generator", "writer")
STEPS = {"reader": reader_steps, "generator": generator_steps, "writer": writer_steps}


def pipe(pair: Pair, rows: int, psql: str) -> float:
    """Seconds of the bare binary pipe."""
    pair.fetch("destination", "TRUNCATE bench")
    source, destination = pair.source.url(pair.name), pair.destination.url(pair.name)
    command = (
        f"'{psql}' -qX '{source}' -c '\\copy bench to stdout (format binary)' | "
        f"'{psql}' -qX '{destination}' -c '\\copy bench from stdin (format binary)'"
    )
    started = time.perf_counter()
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    seconds = time.perf_counter() - started
    assert pair.value("destination", "SELECT count(*) FROM bench") == rows
    return seconds


class Copy(NamedTuple):
    """What one copy took."""

    load: float
    """Seconds, from the first released range to the complete ledger."""
    whole: float
    """Seconds, from submitting to done."""
    reading: Reading
    steps: Steps
    ratio: float = 0.0
    """To the pipe of the same round."""


def copy(installation: Installation, rules: str, rows: int) -> Copy:
    """Run the job; what the load took, and what every process used meanwhile."""
    runtime, pair = installation.runtime, installation.pair
    replicas = {name: installation.group.replicas(name)[0] for name in SERVICES}
    assert runtime.kafka is not None
    parts = {name: replica.pid for name, replica in replicas.items()}
    parts |= {
        "broker": runtime.kafka.pid or 0,
        "source": pair.source.pid or 0,
        "destination": pair.destination.pid or 0,
    }
    started = time.perf_counter()
    run = installation.submit(JOB.format(rules=rules, partitions=4))
    installation.wait(run, lambda r: r.state not in BEFORE)
    with metered(parts) as reading:
        loading = time.perf_counter()
        installation.wait(run, lambda r: r.state not in (*BEFORE, "loading"), LOAD_LIMIT_S)
        load = time.perf_counter() - loading
    steps = steps_of(run, {name: replica.port for name, replica in replicas.items()})
    record = installation.wait(run, seconds=LOAD_LIMIT_S)
    assert record.state == "done", record.failure
    assert pair.value("destination", "SELECT count(*) FROM bench") == rows
    return Copy(load, time.perf_counter() - started, reading, steps)


def report(name: str, copies: list[Copy], rows: int) -> None:
    """Medians of a variant."""
    millions = rows / 1e6
    load, whole = statistics.median(c.load for c in copies), statistics.median(c.whole for c in copies)
    ratios = sorted(c.ratio for c in copies)
    print(
        f"\n{name}: load {load:.2f} s, {rows / load / 1000:.0f}k rows/s, whole run {whole:.2f} s; "
        f"ratio to the pipe {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )
    cpu = {part: statistics.median(c.reading.cpu[part] for c in copies) for part in copies[0].reading.cpu}
    total = sum(cpu.values())
    print(f"  {'':12} CPU-s per million rows   share   of one core   peak MB")
    for part, seconds in cpu.items():
        peak = max(c.reading.peak[part] for c in copies)
        print(f"  {part:12} {seconds / millions:22.2f} {seconds / total:7.0%} {seconds / load:13.0%} {peak:9.0f}")
    print(f"  {'together':12} {total / millions:22.2f} {'':7} {total / load:13.0%}")
    print("  seconds per million rows and step, by the services' own clocks (a step of a batch may wait for a core):")
    for part in SERVICES:
        told = {step: statistics.median(c.steps.get((part, step), 0.0) for c in copies) for step in STEPS[part]}
        print(f"  {part:12} " + "   ".join(f"{step} {seconds / millions:.2f}" for step, seconds in told.items()))
    cores = psutil.cpu_count() or 1
    others = max(0.0, statistics.median((c.reading.machine - c.reading.total) / c.load for c in copies) / cores)
    print(f"  {_bottleneck(cpu, load, cores, others)}")


def _bottleneck(cpu: dict[str, float], load: float, cores: int, others: float) -> str:
    """What would have to be faster; ``others`` is the share of the cores that other programs had."""
    total = sum(cpu.values())
    dearest, busiest = max(cpu, key=lambda part: cpu[part]), max(SERVICES, key=lambda part: cpu[part])
    shares = (
        f"dearest part {dearest} ({cpu[dearest] / total:.0%}), dearest service {busiest} ({cpu[busiest] / total:.0%})"
    )
    if others > QUIET:
        return f"other programs had {others:.0%} of the cores: rates and ratios say little here, CPU-seconds more; {shares}"
    if total / load > FULL * cores:
        return f"bottleneck: the {cores} cores; {shares}"
    if cpu[busiest] / load > FULL:
        return f"bottleneck: the {busiest}, one process on one core: more replicas help; {shares}"
    return f"bottleneck: waiting, since neither the cores nor a service is busy all the time; {shares}"


def main() -> None:
    """Run the rounds and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    rows = chosen.rows
    with Runtime.in_temporary_directory() as runtime:
        source = runtime.start_postgres("source", settings=SETTINGS)
        destination = runtime.start_postgres("destination", settings=SETTINGS)
        print(f"preparing {rows:,} rows × 12 columns …", flush=True)
        pair = make_pair("bench", source, destination, SCHEMA, ROWS.format(rows=rows))
        psql = wheel_programs()["psql"]
        pipes: list[float] = []
        copies: dict[str, list[Copy]] = {name: [] for name in VARIANTS}
        with Installation(runtime, pair, extra={"TAILRACE_STALE_S": "30"}) as installation:
            for number in range(chosen.rounds + 1):  # the first warms the broker's JVM up and is not counted
                seconds = pipe(pair, rows, psql)
                made = {name: copy(installation, rules, rows) for name, rules in VARIANTS.items()}
                print(
                    f"round {number}{'' if number else ' (warm-up, not counted)'}: pipe {rows / seconds / 1000:.0f}k rows/s"
                )
                for name, one in made.items():
                    one = one._replace(ratio=seconds / one.load)
                    rate, cpu = rows / one.load / 1000, one.reading.total * 1e6 / rows
                    print(
                        f"  {name}: {rate:.0f}k rows/s, ratio {one.ratio:.2f}, {cpu:.1f} CPU-s per million rows",
                        flush=True,
                    )
                    if number:
                        copies[name].append(one)
                if number:
                    pipes.append(seconds)
        if not pipes:
            return
        pipe_s = statistics.median(pipes)
        print(f"\nmedians of {len(pipes)} rounds: pipe {pipe_s:.2f} s, {rows / pipe_s / 1000:.0f}k rows/s")
        for name, results in copies.items():
            report(name, results, rows)


if __name__ == "__main__":
    main()
