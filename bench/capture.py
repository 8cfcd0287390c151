"""Change capture on its own: receiving, decoding and sealing records, beside PostgreSQL's own logical replication in the same run.

``python -m bench.capture [--transactions 20000] [--rounds 3]``: transactions of 10 single-row updates and 5 inserts, primary key
only, on 8 columns (narrow) and 12 (wide). They are written first; then each way drains them, from START_REPLICATION to the last
commit. Capture ends where Kafka would begin; built-in replication applies to a second server, so it does more: it is the limit of
the whole path, not of this half.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pyarrow as pa
import uvloop
from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from bench.meter import cpu_seconds
from support.capturing import KEY, LANE, captured, table_name
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_reader.capture.decode import Decoder
from tailrace_reader.capture.publication import ensure_publication
from tailrace_reader.capture.record import Recorder, Tail
from tailrace_reader.capture.slots import create_slot, drop_slot
from tailrace_reader.capture.stream import ChangeStream, StreamOptions
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.envelope import DataCipher
from tailrace_shared.postgres import connect

ROWS = 100_000
CHANGES_PER_TRANSACTION = 15
SCHEMA = """CREATE TABLE bench (id bigint PRIMARY KEY, owner text, email text, phone text, balance bigint, ver int,
  updated timestamptz, note text{more})"""
MORE = {"narrow": "", "wide": ", amount numeric(12, 2), birth date, uid uuid, active boolean"}
VALUES = "'Owner ' || i, 'm' || i || '@mail.example', '+41 79 ' || i, i, 0, now(), 'note ' || md5(i::text)"
MORE_VALUES = {"narrow": "", "wide": ", i / 7.0, DATE '1950-01-01' + i % 20000, md5(i::text)::uuid, i % 3 = 0"}
WORK = """DO $$ BEGIN FOR t IN {first}..{last} LOOP
  FOR u IN 1..10 LOOP
    UPDATE bench SET balance = balance + 7, ver = ver + 1, updated = now() WHERE id = 1 + (t::bigint * 7919 + u * 104729) % {rows};
  END LOOP;
  INSERT INTO bench SELECT {rows} + i, {values} FROM generate_series(t * 5, t * 5 + 4) i;
  COMMIT; END LOOP; END $$"""
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "synchronous_commit": "off",
}
PUBLICATION = "bench"
LIMIT_S = 300.0


class Drain(NamedTuple):
    """Seconds and CPU-seconds of one drain; ``steps`` are seconds inside the process."""

    wall: float
    source: float
    other: float
    """Of this process, or of the destination server."""
    steps: dict[str, float]


class Clock:
    """Seconds per step."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.steps[step] = self.steps.get(step, 0.0) + time.perf_counter() - started


async def drained(source: EmbeddedPostgres, slot: str, tables: list[CapturedTable], target: int, whole: bool) -> Drain:
    """Receive up to ``target``; decode and seal, too, when ``whole``."""
    server = SourceServer(SecretStr(source.url("bench")), "tailrace/bench", "SOURCE_URL")
    decoder, recorder, clock = Decoder(tables), Recorder(LANE, DataCipher(KEY), Tail()), Clock()
    before, mine, started = cpu_seconds(source.pid or 0), time.process_time(), time.perf_counter()
    end = 0
    async with await ChangeStream.open(server, StreamOptions(slot, PUBLICATION)) as stream:
        while end < target:
            if time.perf_counter() - started > LIMIT_S:
                raise TimeoutError
            with clock("waiting and frames"):
                frames = await stream.cut(decoder.inside, 1.0)
            if frames is None:
                continue
            if whole:
                with clock("decode"):
                    segment = decoder.decode(frames)
                with clock("encode and seal"):
                    recorder.record(segment)
                end = segment.end
            else:
                end = int.from_bytes(frames.data[frames.end - 16 : frames.end - 8], "big")  # of the last Commit
            stream.drop(len(frames.starts))
    wall = time.perf_counter() - started
    return Drain(wall, cpu_seconds(source.pid or 0) - before, time.process_time() - mine, clock.steps)


async def replicated(
    source: EmbeddedPostgres, destination: EmbeddedPostgres, admin: asyncpg.Connection, target: int
) -> Drain:
    """Built-in replication of the same transactions into the second server, from the slot ``builtin``."""
    there = await connect(SecretStr(destination.url("bench")), "tailrace/bench")
    await there.execute(
        f"CREATE SUBSCRIPTION bench CONNECTION '{source.url('bench')}' PUBLICATION {PUBLICATION} "
        "WITH (create_slot = false, slot_name = builtin, copy_data = false, enabled = false)"
    )
    before, theirs, started = cpu_seconds(source.pid or 0), cpu_seconds(destination.pid or 0), time.perf_counter()
    await there.execute("ALTER SUBSCRIPTION bench ENABLE")
    begun = 0.0
    while True:
        row = await admin.fetchrow(
            "SELECT active, (confirmed_flush_lsn - '0/0')::bigint AS lsn FROM pg_replication_slots WHERE slot_name = 'builtin'"
        )
        assert row is not None
        begun = begun or (time.perf_counter() if row["active"] else 0.0)
        if row["lsn"] >= target:
            break
        if time.perf_counter() - started > LIMIT_S:
            raise TimeoutError
        await asyncio.sleep(0.05)
    drain = Drain(
        time.perf_counter() - begun,
        cpu_seconds(source.pid or 0) - before,
        cpu_seconds(destination.pid or 0) - theirs,
        {},
    )
    await there.execute("DROP SUBSCRIPTION bench")
    await there.close()
    return drain


async def one_round(
    source: EmbeddedPostgres, destination: EmbeddedPostgres, width: str, transactions: int, number: int
) -> dict[str, Drain]:
    """Write the transactions, drain them in each way."""
    admin = await connect(SecretStr(source.url("bench")), "tailrace/bench")
    tables = await captured(admin, "public.bench")
    for slot in ("tr_receive", "tr_capture", "builtin"):
        await create_slot(admin, slot)
    work = WORK.format(
        first=number * transactions + 1, last=(number + 1) * transactions, rows=ROWS, values=VALUES + MORE_VALUES[width]
    )  # fmt: skip
    await admin.execute(work, timeout=LIMIT_S)
    await admin.execute("SET synchronous_commit = on; UPDATE bench SET ver = 0 WHERE id = 1")
    target = int(await admin.fetchval("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"))
    last_commit = target - 1
    made = {
        "receive": await drained(source, "tr_receive", tables, await _behind(admin, last_commit), False),
        "capture": await drained(source, "tr_capture", tables, await _behind(admin, last_commit), True),
        "built-in": await replicated(source, destination, admin, last_commit),
    }
    for slot in ("tr_receive", "tr_capture"):
        await drop_slot(admin, slot, 30)
    await admin.close()
    return made


async def _behind(admin: asyncpg.Connection, lsn: int) -> int:
    """The last commit ends at or before the position read after it; alignment leaves a few bytes between."""
    return lsn - 64


def report(width: str, drains: list[dict[str, Drain]], changes: int) -> None:
    """Medians."""
    print(
        f"\n{width}: {changes:,} changes       changes/s      source µs/change   other µs/change (reader, or applying server)"
    )
    for way in drains[0]:
        mine = [d[way] for d in drains]

        def median(of: Callable[[Drain], float], mine: list[Drain] = mine) -> float:
            return statistics.median(of(d) for d in mine)

        micro = 1e6 / changes
        rate = changes / median(lambda d: d.wall) / 1000
        print(
            f"  {way:22} {rate:12.0f}k {median(lambda d: d.source) * micro:18.2f} {median(lambda d: d.other) * micro:18.2f}"
        )
        if way == "capture":
            steps = {s: statistics.median(d.steps[s] for d in mine) * micro for s in mine[0].steps}
            print("    µs per change by its own clock: " + ", ".join(f"{s} {value:.2f}" for s, value in steps.items()))


async def bench(source: EmbeddedPostgres, destination: EmbeddedPostgres, transactions: int, rounds: int) -> None:
    """Both widths."""
    for width, more in MORE.items():
        for server in (source, destination):
            server.create_database("bench")
            server.run_sql(SCHEMA.format(more=more), "bench")
            server.run_sql(
                f"INSERT INTO bench SELECT i, {VALUES}{MORE_VALUES[width]} FROM generate_series(1, {ROWS}) i", "bench"
            )
            server.run_sql("VACUUM ANALYZE bench", "bench")
        admin = await connect(SecretStr(source.url("bench")), "tailrace/bench")
        await ensure_publication(admin, PUBLICATION, [table_name("public.bench")])
        await admin.close()
        drains = [await one_round(source, destination, width, transactions, n) for n in range(rounds)]
        report(width, drains, transactions * CHANGES_PER_TRANSACTION)
        for server in (source, destination):
            server.run_sql("DROP DATABASE bench WITH (FORCE)")


def main() -> None:
    """Start two servers and measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--transactions", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    pa.set_cpu_count(1)
    with Runtime.in_temporary_directory() as runtime:
        source = runtime.start_postgres("source", settings=SETTINGS)
        destination = runtime.start_postgres("destination", settings=SETTINGS)
        uvloop.run(bench(source, destination, chosen.transactions, chosen.rounds))


if __name__ == "__main__":
    main()
