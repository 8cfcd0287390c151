"""The two ways that ``bench.cdc`` compares: a continuous run through the services, and PostgreSQL's own logical replication.

Both read the same changes from slots of their own. The publication of the built-in way and its copy of the table are a second
database on the destination's server; what it does not do is mask.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import NamedTuple

import asyncpg
from pydantic import SecretStr

from bench.cdc_tables import LIMIT_S, LIVE, Shape, marked, rows, schema
from bench.meter import Reading, metered
from bench.steps import Steps, steps_of
from support.databases import Pair
from support.following import let_follow, streaming
from support.installation import Installation
from tailrace_shared.postgres import connect

JOB = """
version: 1
name: bench
mode: continuous
source: {{url: "${{SOURCE_URL}}"}}
destination: {{url: "${{DESTINATION_URL}}", mode: truncate}}
default_mode: exclude
tables:
  public.bench: {{columns: {{{rules}}}, policy: pass}}
verify: {{leak_sample: 0}}
"""
COPY = """
version: 1
name: bulk
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
default_mode: exclude
tables:
  public.bulk:
    columns: {id: key, owner: mock.full_name, email: mock.email, note: {generator: mask.hash, length: 32}}
    policy: pass
verify: {leak_sample: 0}
"""
BUILTIN = "builtin"
ARRIVED = "ALTER TABLE bench ADD COLUMN arrived timestamptz; ALTER TABLE bench ALTER COLUMN arrived SET DEFAULT clock_timestamp();"
"""An applied transaction of the built-in way keeps the commit time of the source: its rows say by themselves when they came."""
SERVICES = ("reader", "generator", "writer")
POLL_S = 0.02
"""Between looks at how far a way is: a look costs a few hundred µs."""
START_POLL_S = 0.002
SUM = "SELECT count(*), sum(ver::bigint), sum(balance) FROM bench"


class Drain(NamedTuple):
    """What one way took for what had piled up."""

    wall: float
    reading: Reading
    steps: Steps


@dataclass
class Following:
    """A pair of databases, a run that follows it, and a subscription beside it. ``ready`` first, then the ways by turns."""

    installation: Installation
    shape: Shape
    run: str = ""

    @property
    def pair(self) -> Pair:
        return self.installation.pair

    def ready(self, bulk: int) -> None:
        """Stream; the subscription's slot stands at the same place."""
        pair = self.pair
        let_follow(pair)
        pair.source.run_sql("CREATE PUBLICATION builtin FOR TABLE bench", pair.name)
        pair.destination.create_database(BUILTIN)
        pair.destination.run_sql(schema(self.shape) + "\n" + rows(self.shape, 0) + "\n" + ARRIVED, BUILTIN)
        pair.source.run_sql(f"SELECT pg_create_logical_replication_slot('{BUILTIN}', 'pgoutput')", pair.name)
        pair.destination.run_sql(
            f"CREATE SUBSCRIPTION {BUILTIN} CONNECTION '{pair.source.url(pair.name)}' PUBLICATION builtin "
            f"WITH (create_slot = false, slot_name = {BUILTIN}, copy_data = false, enabled = false)",
            BUILTIN,
        )
        self.run = self.installation.submit(JOB.format(rules=self.shape.rules))
        streaming(self.installation, self.run)

    def close(self) -> None:
        """Let go of what stays on the servers beyond the databases."""
        self.pair.destination.run_sql(f"ALTER SUBSCRIPTION {BUILTIN} DISABLE", BUILTIN)
        self.pair.destination.run_sql(f"DROP SUBSCRIPTION {BUILTIN}", BUILTIN)
        self.pair.destination.run_sql(f"DROP DATABASE {BUILTIN} WITH (FORCE)")

    # --- drains ------------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """End the reader: changes pile up in the source, the other services stay."""
        self.installation.scale("reader", 0)

    def go(self) -> None:
        """A reader again."""
        self.installation.scale("reader", 1)

    def drain(self, target: int) -> Drain:
        """Start a reader and let the lane come to ``target``; from START_REPLICATION on."""
        starting = threading.Thread(target=self.go)
        starting.start()
        drain = asyncio.run(self._drained(target))
        starting.join()
        self.same(self.pair.name)
        return drain

    def builtin_drain(self, target: int) -> Drain:
        """Enable the subscription until it has confirmed ``target``; from START_REPLICATION on."""
        drain = asyncio.run(self._replicated(target))
        self.same(BUILTIN)
        return drain

    def builtin(self, enabled: bool) -> None:
        """Let the subscription work, or not."""
        self.pair.destination.run_sql(f"ALTER SUBSCRIPTION {BUILTIN} {'ENABLE' if enabled else 'DISABLE'}", BUILTIN)

    def vacuum(self) -> None:
        """What autovacuum would do in the middle of one way's measurement or of the other's."""
        pair = self.pair
        for server, name in ((pair.source, pair.name), (pair.destination, pair.name), (pair.destination, BUILTIN)):
            server.run_sql("VACUUM (ANALYZE) bench; CHECKPOINT", name)

    def same(self, database: str) -> None:
        """Fails unless the copy has what the source has, by the columns that are not masked."""
        mine = self.pair.source.run_sql(SUM, self.pair.name)
        theirs = self.pair.destination.run_sql(SUM, database)
        assert mine == theirs, f"{database} has {theirs}, the source {mine}"

    async def _drained(self, target: int) -> Drain:
        pair = self.pair
        source = await connect(SecretStr(pair.source.url(pair.name)), "bench")
        destination = await connect(SecretStr(pair.destination.url(pair.name)), "bench")
        slot = await source.fetchval("SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'tailrace%'")
        ports = self._ports("generator", "writer")
        before = steps_of(self.run, ports)
        try:
            await _turned(source, slot, True)
            with metered(self.parts()) as reading:
                started = time.perf_counter()
                await _until(
                    destination, f"SELECT position >= {target} FROM tailrace.lane WHERE run = '{self.run}'", started
                )
                wall = time.perf_counter() - started
        finally:
            await source.close()
            await destination.close()
        after = steps_of(self.run, self._ports(*SERVICES))
        return Drain(wall, reading, {key: after[key] - before.get(key, 0.0) for key in after})

    async def _replicated(self, target: int) -> Drain:
        pair = self.pair
        source = await connect(SecretStr(pair.source.url(pair.name)), "bench")
        try:
            self.builtin(True)
            await _turned(source, BUILTIN, True)
            servers = {"source": pair.source.pid or 0, "destination": pair.destination.pid or 0}
            with metered(servers) as reading:
                started = time.perf_counter()
                await _until(
                    source,
                    "SELECT confirmed_flush_lsn - '0/0' >= "
                    f"{target} FROM pg_replication_slots WHERE slot_name = '{BUILTIN}'",
                    started,
                )
                wall = time.perf_counter() - started
            self.builtin(False)
            await _turned(source, BUILTIN, False)
        finally:
            await source.close()
        return Drain(wall, reading, {})

    async def caught_up(self, *, builtin: bool = False) -> None:
        """Wait until one way has everything that is committed now."""
        pair = self.pair
        source = await connect(SecretStr(pair.source.url(pair.name)), "bench")
        destination = await connect(SecretStr(pair.destination.url(pair.name)), "bench")
        try:
            target = await marked(source)
            if builtin:
                query = f"SELECT confirmed_flush_lsn - '0/0' >= {target} FROM pg_replication_slots WHERE slot_name = '{BUILTIN}'"
                await _until(source, query, time.perf_counter())
            else:
                query = f"SELECT position >= {target} FROM tailrace.lane WHERE run = '{self.run}'"
                await _until(destination, query, time.perf_counter())
        finally:
            await source.close()
            await destination.close()

    async def delays(self, first: int, database: str) -> list[float]:
        """Seconds from commit in the source to commit in a copy, per transaction of live traffic from number ``first`` on."""
        committed: list[dict[int, float]] = []
        for server, name in ((self.pair.source, self.pair.name), (self.pair.destination, database)):
            at = "arrived" if name == BUILTIN else "pg_xact_commit_timestamp(xmin)"
            query = f"SELECT ver, max(extract(epoch FROM {at})) FROM bench WHERE balance = {LIVE} AND ver >= {first} GROUP BY 1"
            connection = await connect(SecretStr(server.url(name)), "bench")
            try:
                committed.append({row[0]: float(row[1]) for row in await connection.fetch(query)})
            finally:
                await connection.close()
        left, arrived = committed
        assert left.keys() == arrived.keys(), "not every transaction has arrived"
        return [arrived[number] - left[number] for number in sorted(left)]

    # --- parts -------------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, int]:
        """Processes by what they are."""
        kafka = self.installation.runtime.kafka
        assert kafka is not None
        group = self.installation.group
        parts = {name: group.replicas(name)[0].pid for name in SERVICES}
        return parts | {
            "broker": kafka.pid or 0,
            "source": self.pair.source.pid or 0,
            "destination": self.pair.destination.pid or 0,
        }

    def _ports(self, *services: str) -> dict[str, int]:
        return {name: self.installation.group.replicas(name)[0].port for name in services}


async def _turned(source: asyncpg.Connection, slot: str, active: bool) -> None:
    """Wait until somebody streams from the slot, or nobody any more."""
    query = "SELECT active FROM pg_replication_slots WHERE slot_name = $1"
    while await source.fetchval(query, slot) is not active:  # noqa: ASYNC110 — another process is waited for
        await asyncio.sleep(START_POLL_S)


async def _until(connection: asyncpg.Connection, query: str, started: float) -> None:
    while not await connection.fetchval(query):
        if time.perf_counter() - started > LIMIT_S:
            raise TimeoutError(query)
        await asyncio.sleep(POLL_S)
