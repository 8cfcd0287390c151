"""A masked copy of one table against ``psql COPY | psql COPY`` in the same run.

``python -m bench.copy [--rows 1000000] [--rounds 3]`` prints, per round and as medians: rows per second of the pipe, of an
unmasked copy and of one with six masked columns; the ratio; CPU-seconds per million rows and peak memory per process.
The clock of a copy starts when the run is *loading* (services are up and have joined) and stops when the ledger is complete.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench.meter import Reading, metered
from support.databases import Pair, make_pair
from support.installation import Installation
from tailrace.embedded.postgres_programs import wheel_programs
from tailrace.embedded.runtime import Runtime

SCHEMA = """
CREATE TABLE bench (
  id bigint PRIMARY KEY, grp integer NOT NULL, amount numeric(12,2), name text NOT NULL, email varchar(80) NOT NULL,
  created timestamptz NOT NULL, birth date, active boolean NOT NULL, uid uuid NOT NULL, doc jsonb, score double precision, note text
);
"""
ROWS = """
INSERT INTO bench SELECT i, i % 1000, CASE WHEN i % 11 > 0 THEN (i * 7919 % 10000000)::numeric / 100 END,
  'Given' || i % 7919 || ' Family' || i % 104729 || ' of the long house', 'person' || i || '@mail' || i % 50 || '.example',
  TIMESTAMPTZ '2020-01-01' + i * INTERVAL '61 seconds', CASE WHEN i % 61 > 0 THEN DATE '1940-01-01' + (i % 25000)::int END, i % 3 = 0,
  md5(i::text)::uuid, CASE WHEN i % 5 = 0 THEN jsonb_build_object('k', i, 'tags', ARRAY['a', 'b']) END,
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
limits: {{partitions: 4}}
"""
MASKED = """{columns: {id: duplicate, grp: key, amount: duplicate, name: mock.full_name, email: mock.email,
    created: duplicate, birth: {generator: mask.date, days: 30}, active: duplicate, uid: key, doc: duplicate,
    score: duplicate, note: {generator: mask.hash, length: 32}}}"""
VARIANTS = {"unmasked": "{mode: duplicate}", "6 masked": MASKED}
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "30min"}
LOAD_LIMIT_S = 300


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


def copy(installation: Installation, rules: str, rows: int) -> tuple[float, float, Reading]:
    """Seconds of the load, of the whole run, and what every process used while loading."""
    runtime, pair = installation.runtime, installation.pair
    parts = {name: installation.group.replicas(name)[0].pid for name in ("reader", "generator", "writer")}
    assert runtime.kafka is not None
    parts |= {
        "broker": runtime.kafka.pid or 0,
        "source": pair.source.pid or 0,
        "destination": pair.destination.pid or 0,
    }
    started = time.perf_counter()
    with metered(parts) as reading:
        run = installation.submit(JOB.format(rules=rules))
        installation.wait(run, lambda r: r.state not in ("submitted", "planned", "preparing"))
        loading = time.perf_counter()
        record = installation.wait(
            run, lambda r: r.state not in ("submitted", "planned", "preparing", "loading"), LOAD_LIMIT_S
        )
        load = time.perf_counter() - loading
    record = installation.wait(run, seconds=LOAD_LIMIT_S)
    assert record.state == "done", record.failure
    assert pair.value("destination", "SELECT count(*) FROM bench") == rows
    return load, time.perf_counter() - started, reading


def main() -> None:
    """Run the rounds and print the table."""
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
        loads: dict[str, list[tuple[float, float, Reading]]] = {name: [] for name in VARIANTS}
        with Installation(runtime, pair, extra={"TAILRACE_HEARTBEAT_S": "2", "TAILRACE_STALE_S": "30"}) as installation:
            for number in range(chosen.rounds + 1):  # the first warms the broker's JVM up and is not counted
                seconds = pipe(pair, rows, psql)
                made = {name: copy(installation, rules, rows) for name, rules in VARIANTS.items()}
                print(
                    f"round {number}{'' if number else ' (warm-up, not counted)'}: pipe {rows / seconds / 1000:.0f}k rows/s"
                )
                for name, (load, _, reading) in made.items():
                    rate, cpu = rows / load / 1000, reading.total * 1e6 / rows
                    print(
                        f"  {name}: {rate:.0f}k rows/s, ratio {seconds / load:.2f}, {cpu:.1f} CPU-s per million rows",
                        flush=True,
                    )
                    if number:
                        loads[name].append(made[name])
                if number:
                    pipes.append(seconds)
        if not pipes:
            return
        pipe_s = statistics.median(pipes)
        print(f"\nmedians of {len(pipes)} rounds: pipe {pipe_s:.2f} s, {rows / pipe_s / 1000:.0f}k rows/s")
        for name, results in loads.items():
            load = statistics.median(r[0] for r in results)
            whole = statistics.median(r[1] for r in results)
            print(
                f"{name}: load {load:.2f} s, {rows / load / 1000:.0f}k rows/s, ratio {pipe_s / load:.2f}; whole run {whole:.2f} s"
            )
            for part in results[0][2].cpu:
                cpu = statistics.median(r[2].cpu[part] for r in results) * 1e6 / rows
                peak = max(r[2].peak[part] for r in results)
                print(f"  {part:12} {cpu:6.2f} CPU-s per million rows   peak {peak:6.0f} MB")


if __name__ == "__main__":
    main()
