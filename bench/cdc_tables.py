"""The tables that ``bench.cdc`` follows, and the traffic on them: transactions of 10 updates and 5 inserts by single keys."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import asyncpg
from pydantic import SecretStr

from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.postgres import connect

ROWS = 100_000
UPDATES, INSERTS = 10, 5
CHANGES = UPDATES + INSERTS
"""Per transaction."""
SESSIONS = 2
LIMIT_S = 300.0
LIVE = -1
"""The balance of rows that live traffic has inserted: by it they are found behind a masked key."""


@dataclass(frozen=True)
class Shape:
    """One width of the table."""

    name: str
    columns: str
    values: str
    rules: str


_NARROW = Shape(
    "narrow",
    "owner text, email text, phone text, balance bigint, ver int, updated timestamptz, note text",
    "'Owner ' || i, 'm' || i || '@mail.example', '+41 79 ' || i, {balance}, {ver}, now(), 'note ' || md5(i::text)",
    "id: key, owner: mock.full_name, email: mock.email, phone: mock.phone, note: {generator: mask.hash, length: 32}",
)
_WIDE = Shape(
    "wide",
    _NARROW.columns
    + ", amount numeric(12, 2), birth date, uid uuid, active boolean, score double precision, street text,"
    + " doc jsonb, place text, kind int, made timestamptz, other bigint, remark varchar(200)",
    _NARROW.values
    + ", i / 7.0, DATE '1950-01-01' + i % 20000, md5(i::text)::uuid, i % 3 = 0, sqrt(i), i || ' Long Lane',"
    + " jsonb_build_object('k', i), 'Place ' || i % 999, i % 9, now(), i * 3, repeat('remark ', 1 + i % 9)",
    _NARROW.rules + ", birth: {generator: mask.date, days: 30}, uid: key, street: mock.street",
)
SHAPES = (_NARROW, _WIDE)
BULK = """CREATE TABLE bulk (id bigint PRIMARY KEY, owner text, email text, created timestamptz, note text);"""
BULK_ROWS = """INSERT INTO bulk SELECT i, 'Owner ' || i, 'm' || i || '@mail.example', now(), 'note ' || repeat(md5(i::text), 3)
  FROM generate_series(1, {rows}) i;"""


def schema(shape: Shape) -> str:
    """The followed table, and the one that another run copies meanwhile."""
    return f"CREATE TABLE bench (id bigint PRIMARY KEY, {shape.columns}) WITH (autovacuum_enabled = off);\n{BULK}"


def rows(shape: Shape, bulk: int) -> str:
    """What is there at the beginning."""
    values = shape.values.format(balance="i", ver="0")
    return (
        f"INSERT INTO bench SELECT i, {values} FROM generate_series(1, {ROWS}) i;\n{BULK_ROWS.format(rows=bulk)}\n"
        "VACUUM (ANALYZE, FREEZE) bench; VACUUM (ANALYZE, FREEZE) bulk;"
    )


def work(shape: Shape, first: int, count: int, *, session: int = 0, per_second: float = 0.0) -> str:
    """``count`` transactions from number ``first`` on, paced where ``per_second`` says so: then several sessions run at once, and
    each touches rows of its own."""
    pace, sessions = "", SESSIONS if per_second else 1
    if per_second:
        pace = f"PERFORM pg_sleep(extract(epoch FROM begun - clock_timestamp()) + (t - {first}) / {per_second});"
    values = shape.values.format(balance=LIVE if per_second else "i", ver="t")
    return f"""DO $$ DECLARE begun timestamptz := clock_timestamp(); BEGIN
      FOR t IN {first}..{first + count - 1} LOOP {pace}
        FOR u IN 1..{UPDATES} LOOP
          UPDATE bench SET balance = balance + 7, ver = t, updated = now()
          WHERE id = 1 + {session} + {sessions} * ((t::bigint * 7919 + u * 104729) % {ROWS // sessions});
        END LOOP;
        INSERT INTO bench SELECT {ROWS} + i, {values} FROM generate_series(t * {INSERTS}, t * {INSERTS} + {INSERTS - 1}) i;
        COMMIT;
      END LOOP; END $$"""


async def pile_up(source: EmbeddedPostgres, database: str, shape: Shape, first: int, count: int) -> int:
    """Commit the transactions as quickly as the source can; where the last of them begins to be in WAL for good."""
    connection = await connect(SecretStr(source.url(database)), "bench")
    try:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute(work(shape, first, count), timeout=LIMIT_S)
        return await marked(connection)
    finally:
        await connection.close()


async def marked(connection: asyncpg.Connection) -> int:
    """Commit something behind all that was committed, and flush it; where WAL was before."""
    lsn = int(await connection.fetchval("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"))
    await connection.execute(
        "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'tailrace.heartbeat', 'bench')"
    )
    return lsn


async def live(source: EmbeddedPostgres, database: str, shape: Shape, first: int, rate: int, seconds: float) -> float:
    """Traffic of ``rate`` changes per second; the rate that it came to. Transactions are numbered from ``first`` on."""
    each = int(rate * seconds / CHANGES / SESSIONS)
    connections = [await connect(SecretStr(source.url(database)), "bench") for _ in range(SESSIONS)]
    started = time.perf_counter()
    try:
        await asyncio.gather(
            *(
                c.execute(
                    work(shape, first + n * each, each, session=n, per_second=rate / CHANGES / SESSIONS),
                    timeout=LIMIT_S,
                )
                for n, c in enumerate(connections)
            )
        )
        return each * SESSIONS * CHANGES / (time.perf_counter() - started)
    finally:
        for connection in connections:
            await connection.close()
