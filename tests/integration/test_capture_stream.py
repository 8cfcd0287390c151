"""Capture against a real PostgreSQL: what the lane says, applied, is what the source holds."""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pyarrow as pa
import pytest
import uvloop
from pydantic import SecretStr

from support.capturing import Capturing, Model, captured, layout_of, table_name
from support.old_servers import WHEEL, available, programs_of
from support.tls_proxy import tls_in_front_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_reader.capture.cutting import CutRule
from tailrace_reader.capture.errors import CapturePrivilege, PublicationMissing, SlotActive, SlotLost, StreamEnded
from tailrace_reader.capture.point import export_point, settled
from tailrace_reader.capture.publication import (
    check_publication,
    drop_publication,
    ensure_publication,
    heaps_of,
    publication_of,
    relations_of,
)
from tailrace_reader.capture.slots import create_slot, drop_slot, slot_state, slots_named, source_position
from tailrace_reader.capture.stream import ChangeStream, StreamOptions
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.capture.watch import BORN
from tailrace_reader.parse import Parser, typed
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.changes import Heartbeat, Truncated
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.postgres import connect

OLD = [pytest.mark.long, pytest.mark.skipif(not available(), reason="no programs of older servers are pinned here")]


@pytest.fixture(
    scope="module", params=[WHEEL, *(pytest.param(v, marks=OLD) for v in (14, 15, 16, 17))], ids=lambda v: f"on-{v}"
)
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    settings = {"min_wal_size": "32MB", "max_wal_size": "64MB", "wal_sender_timeout": "4s"}
    with tempfile.TemporaryDirectory(prefix="tailrace-capture-") as directory:
        folder = Path(directory)
        folder.chmod(0o711)
        options: dict[str, Any] = {} if request.param == WHEEL else {"programs": programs_of(request.param, folder)}
        with EmbeddedPostgres(folder / "postgres", fsync=False, settings=settings, **options) as postgres:
            yield postgres


@pytest.fixture
def source(server: EmbeddedPostgres) -> SourceServer:
    return SourceServer(SecretStr(server.url()), "tailrace/capture-test", "SOURCE_URL")


@pytest.fixture
async def admin(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(SecretStr(server.url()), "tailrace/capture-test")
    for state in await slots_named(connection, "tr_"):
        await drop_slot(connection, state.name, 10)
    await connection.execute("DROP PUBLICATION IF EXISTS tr_p; DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s")
    yield connection
    for state in await slots_named(connection, "tr_"):
        await drop_slot(connection, state.name, 10)
    connection.terminate()


OPTIONS = StreamOptions("tr_slot", "tr_p")


async def set_up(admin: asyncpg.Connection, schema: str, *tables: str) -> list[CapturedTable]:
    await admin.execute(schema)
    await ensure_publication(admin, "tr_p", [table_name(t) for t in tables])
    await create_slot(admin, "tr_slot")
    return await captured(admin, *tables)


async def now(admin: asyncpg.Connection) -> int:
    """A position behind everything committed so far."""
    return int(await admin.fetchval("SELECT (pg_current_wal_lsn() - '0/0')::bigint"))


def applied(capturing: Capturing, tables: list[CapturedTable]) -> Model:
    model = Model(tables)
    for head, body in capturing.bodies():
        model.apply(head, body)
    return model


async def stored(admin: asyncpg.Connection, table: CapturedTable) -> Counter[tuple[object, ...]]:
    """The table as a snapshot reads it: CSV, parsed as the reader does."""
    name = f"{table.relation.schema}.{table.relation.name}"
    return Counter(zip(*(c.to_pylist() for c in await read(admin, table, f"SELECT * FROM {name}")), strict=True))


async def read(admin: asyncpg.Connection, table: CapturedTable, query: str) -> list[pa.Array]:
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        parts.append(bytes(data))

    await admin.copy_from_query(query, output=take, format="csv")
    chunk = Parser(table.layout).parse(b"".join(parts))
    return [
        (typed(c, t) or c) if i in chunk.untyped else c
        for i, (c, t) in enumerate(zip(chunk.columns, table.layout.types, strict=True))
    ]


async def test_every_kind_of_change_applied_from_the_lane_is_the_source(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    tables = await set_up(
        admin,
        """CREATE TABLE s.t (id int PRIMARY KEY, email text UNIQUE, body text, n numeric(10, 2));
        CREATE TABLE s.pair (a int, b text, v text, PRIMARY KEY (a, b));
        CREATE TABLE s.whole (a int, v text); ALTER TABLE s.whole REPLICA IDENTITY FULL;
        CREATE TABLE s.other (a int, code text NOT NULL UNIQUE, v text);
        ALTER TABLE s.other REPLICA IDENTITY USING INDEX other_code_key""",
        "s.t", "s.pair", "s.whole", "s.other",
    )  # fmt: skip
    long = "SELECT string_agg(md5(i::text), '') FROM generate_series(1, 400) i"
    await admin.execute("ALTER TABLE s.t ALTER COLUMN body SET STORAGE EXTERNAL")
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, tables)
        await admin.execute(f"INSERT INTO s.t SELECT i, 'm' || i, ({long}), i / 3.0 FROM generate_series(1, 40) i")
        await admin.execute("UPDATE s.t SET n = n + 1 WHERE id <= 20")
        await admin.execute("UPDATE s.t SET id = id + 100 WHERE id <= 5")
        await admin.execute("DELETE FROM s.t WHERE id BETWEEN 10 AND 15")
        async with admin.transaction():
            await admin.execute("UPDATE s.t SET email = 'x' WHERE id = 30; UPDATE s.t SET email = 'm30' WHERE id = 31")
            await admin.execute("UPDATE s.t SET email = 'm31' WHERE id = 30")
            await admin.execute("INSERT INTO s.pair SELECT i, 'p' || i, 'v' FROM generate_series(1, 5) i")
            await admin.execute("SAVEPOINT a; INSERT INTO s.pair VALUES (99, 'rolled', 'back'); ROLLBACK TO a")
            await admin.execute("UPDATE s.pair SET b = 'moved' WHERE a = 2; DELETE FROM s.pair WHERE a = 3")
        await admin.execute("INSERT INTO s.whole VALUES (1, 'a'), (1, 'a'), (NULL, NULL), (2, 'b')")
        await admin.execute("UPDATE s.whole SET v = 'c' WHERE a = 1; DELETE FROM s.whole WHERE a IS NULL")
        await admin.execute("INSERT INTO s.other VALUES (1, 'k1', 'v'), (2, 'k2', NULL)")
        await admin.execute("UPDATE s.other SET code = 'k3' WHERE a = 1; DELETE FROM s.other WHERE a = 2")
        await capturing.until(await now(admin))
    model = applied(capturing, tables)
    assert any(rows.gone is not None for _, body in capturing.bodies() for _, rows in body.tables)
    for table in tables:
        assert model.as_counted(table.number) == await stored(admin, table), table.relation.name
    assert not capturing.halts


TYPES = """
  i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(12, 3), b bool, t text, v varchar(40), c char(6), d date,
  ts timestamp, tz timestamptz, ti time, tt timetz, iv interval, u uuid, j json, jb jsonb, by bytea, ia int[], ta text[], net inet,
  r int4range, e s.mood, dom s.positive, p point, comp s.both, m money, bits bit(5), q tsvector
"""
VALUES = [
    """-32768, 2147483647, -9223372036854775808, 1e-37, 1e300, 'NaN', -0.500, true, E'a"b\\n,\\\\c\\r\\n''', 'é', 'ab',
    '2024-02-29', '2024-02-29 01:02:03.4', '2024-02-29 01:02:03.456789+05', '23:59:59.999999', '12:00+02', '1 year 2 days -03:00',
    gen_random_uuid(), '{"a": [1, 2]}',
    '{"b": "x,y"}', '\\x00ff', '{1,NULL,3}', '{"a,b",NULL,"c\\"d"}', '10.0.0.0/8', '[1,5)', 'glad', 7, '(1,2)',
    ROW(1, 'z,z'), 12.34, B'10101', 'a fat cat'""",
    """0, 0, 0, 'Infinity', '-0', 12345678901234567890.123456789, 0, false, '', '', '', 'infinity', '-infinity', '0044-03-15 BC',
    '24:00:00', '00:00-11', '0', '00112233-4455-6677-8899-aabbccddeeff', 'null', '[]', '', '{}', '{{a,b},{c,d}}', '::1', 'empty',
    'sad', 1, '(0,0)', NULL, -1, B'00000', ''""",
    ", ".join(["NULL"] * 32),
]


@pytest.mark.parametrize("chosen", [[0], [1], [2], [0, 1, 2]])
async def test_a_row_that_was_captured_equals_the_row_that_is_read(
    admin: asyncpg.Connection, source: SourceServer, chosen: list[int]
) -> None:
    (table,) = await set_up(
        admin,
        f"""CREATE TYPE s.mood AS ENUM ('glad', 'sad'); CREATE DOMAIN s.positive AS int CHECK (VALUE > 0);
        CREATE TYPE s.both AS (a int, b text); CREATE TABLE s.types (id int PRIMARY KEY, {TYPES})""",
        "s.types",
    )
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        rows = ", ".join(f"({i}, {VALUES[c]})" for i, c in enumerate(chosen))
        await admin.execute(f"INSERT INTO s.types VALUES {rows}")
        await capturing.until(await now(admin))
    [(_, changes)] = [t for _, body in capturing.bodies() for t in body.tables]
    expected = await read(admin, table, "SELECT * FROM s.types ORDER BY id")
    for name, got, wanted in zip(table.layout.names, changes.columns, expected, strict=True):
        assert got.type == wanted.type, name
        assert str(got.to_pylist()) == str(wanted.to_pylist()), name  # NaN equals itself as text
        assert got.equals(wanted) or "nan" in str(got.to_pylist()).lower(), name


async def test_truncate_names_every_table_that_cascade_reached(admin: asyncpg.Connection, source: SourceServer) -> None:
    tables = await set_up(
        admin,
        "CREATE TABLE s.parent (id int PRIMARY KEY); CREATE TABLE s.child (id int PRIMARY KEY, p int REFERENCES s.parent)",
        "s.parent", "s.child",
    )  # fmt: skip
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, tables)
        await admin.execute("INSERT INTO s.parent VALUES (1); INSERT INTO s.child VALUES (1, 1)")
        async with admin.transaction():
            await admin.execute("INSERT INTO s.parent VALUES (2)")
            await admin.execute("TRUNCATE s.parent CASCADE")
            await admin.execute("INSERT INTO s.parent VALUES (3)")
        await capturing.until(await now(admin))
    entries = [c for _, body in capturing.bodies() for c in body.controls]
    assert [(sorted(c.tables), c.cascade) for c in entries if isinstance(c, Truncated)] == [([0, 1], True)]
    model = applied(capturing, tables)
    assert (model.rows[0], model.rows[1]) == ([(3,)], [])


async def test_a_partitioned_table_comes_as_one_with_rows_that_move_between_partitions(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(
        admin,
        """CREATE TABLE s.p (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
        CREATE TABLE s.p_a PARTITION OF s.p FOR VALUES IN ('a');
        CREATE TABLE s.p_b (v text, region text NOT NULL, id int NOT NULL, PRIMARY KEY (id, region));
        ALTER TABLE s.p ATTACH PARTITION s.p_b FOR VALUES IN ('b')""",
        "s.p",
    )
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        await admin.execute(
            "INSERT INTO s.p SELECT i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, 'v' FROM generate_series(1, 10) i"
        )
        await admin.execute("UPDATE s.p SET region = 'a' WHERE id = 3; UPDATE s.p SET v = 'w' WHERE id IN (4, 5)")
        await admin.execute("DELETE FROM s.p WHERE id = 7")
        await capturing.until(await now(admin))
    assert applied(capturing, [table]).as_counted(0) == await stored(admin, table)


async def test_partitions_that_were_made_as_such_are_told_from_those_that_were_attached(
    admin: asyncpg.Connection,
) -> None:
    await admin.execute(
        """CREATE TABLE s.born (id int, day int) PARTITION BY RANGE (day);
        CREATE TABLE s.born_1 PARTITION OF s.born FOR VALUES FROM (0) TO (10)"""
    )
    await admin.execute("CREATE TABLE s.born_2 (id int, day int); INSERT INTO s.born_2 VALUES (1, 15)")
    await admin.execute("ALTER TABLE s.born ATTACH PARTITION s.born_2 FOR VALUES FROM (10) TO (20)")
    await admin.execute("CREATE TABLE s.born_3 (id int, day int) PARTITION BY LIST (id)")
    await admin.execute("CREATE TABLE s.born_4 PARTITION OF s.born_3 DEFAULT; INSERT INTO s.born_3 VALUES (1, 25)")
    await admin.execute("ALTER TABLE s.born ATTACH PARTITION s.born_3 FOR VALUES FROM (20) TO (30)")
    await admin.execute("VACUUM (FREEZE) s.born_1")
    oids = [await admin.fetchval(f"SELECT 's.born_{n}'::regclass::oid") for n in (1, 2, 4)]
    assert [row["oid"] for row in await admin.fetch(BORN, oids)] == oids[:1]


async def test_what_the_stream_does_not_say_of_partitions_shows_in_their_files(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(
        admin,
        """CREATE TABLE s.p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE s.low PARTITION OF s.p FOR VALUES FROM (0) TO (10);
        CREATE TABLE s.high PARTITION OF s.p FOR VALUES FROM (10) TO (20)""",
        "s.p",
    )
    name = table_name("s.p")
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        await admin.execute("INSERT INTO s.p VALUES (1, 'a'), (11, 'b')")
        before = await heaps_of(admin, [name])
        await admin.execute("UPDATE s.p SET v = 'c'")
        assert await heaps_of(admin, [name]) == before
        await admin.execute("TRUNCATE s.low")
        truncated = await heaps_of(admin, [name])
        await admin.execute("ALTER TABLE s.p DETACH PARTITION s.high")
        detached = await heaps_of(admin, [name])
        await capturing.until(await now(admin))
    assert len({before[name], truncated[name], detached[name]}) == 3
    assert not [c for _, body in capturing.bodies() for c in body.controls], "the stream tells of it now: use that"


async def test_a_large_transaction_comes_in_pieces_and_memory_stays_bounded(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
    await admin.execute("INSERT INTO s.t SELECT i, repeat(md5(i::text), 10) FROM generate_series(1, 200000) i")
    target = await now(admin)
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        changes = held = 0
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        while stream_end(capturing) < target:
            if await capturing.step() is None:
                stream.report(reply=True)
                if stream.idle_lsn >= target:
                    break
                continue
            held = max(held, stream._wire.buffer.held)
            head = capturing.records.pop().head
            assert head.changes <= 16_384
            changes += head.changes
            if changes < 200_000:
                assert not head.final
                assert head.end == 0
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert changes == 200_000
    assert held <= OPTIONS.hold_bytes + (1 << 20)
    assert grown < 120 << 10, f"{grown >> 10} MB for a transaction of 70 MB"


def stream_end(capturing: Capturing) -> int:
    return capturing.recorder.tail.end


async def test_the_stream_goes_on_without_loss_or_repetition_when_its_session_is_killed_at_random(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
    chance = random.Random(5)
    busy = True

    async def work() -> None:
        worker = await connect(source.url, "tailrace/worker")
        number = 0
        while busy:
            number += 1
            await worker.execute(
                f"INSERT INTO s.t SELECT {number} * 100 + i, 'v' FROM generate_series(1, {chance.randrange(1, 60)}) i"
            )
            await worker.execute(
                f"UPDATE s.t SET v = v || 'x' WHERE id % 7 = {number % 7} AND id > {number * 100 - 500}"
            )
            if number % 5 == 0:
                await worker.execute(f"DELETE FROM s.t WHERE id < {number * 100 - 400} AND id % 3 = 0")
        worker.terminate()

    task = asyncio.create_task(work())
    records, tail, kills = [], None, 0
    options = StreamOptions("tr_slot", "tr_p", CutRule(changes=50, delay_s=0.01), status_s=0.05)
    while kills < 6:
        with contextlib.suppress(SlotActive):
            stream = await ChangeStream.open(source, options, tail.end if tail else 0)
            async with stream:
                capturing = Capturing.of(stream, [table], tail)
                for _ in range(chance.randrange(3, 15)):
                    await capturing.step()
                    if chance.random() < 0.5:
                        stream.confirm(capturing.recorder.tail.end)
                if kills % 2:
                    await admin.execute(
                        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'tr_slot'"
                    )
                    with contextlib.suppress(StreamEnded, TransientError):
                        while True:
                            await capturing.step()
                kills += 1
                records += capturing.records
                tail = capturing.recorder.tail
        await asyncio.sleep(0.02)
    busy = False
    await task
    stream = await opened_again(source, options, tail.end if tail else 0)
    async with stream:
        capturing = Capturing.of(stream, [table], tail)
        await capturing.until(await now(admin))
        capturing.records[:0] = records
        assert applied(capturing, [table]).as_counted(0) == await stored(admin, table)
    assert [r.head.sequence for r in capturing.records] == list(range(len(capturing.records)))


async def opened_again(source: SourceServer, options: StreamOptions, lsn: int) -> ChangeStream:
    async with asyncio.timeout(20):
        while True:
            try:
                return await ChangeStream.open(source, options, lsn)
            except SlotActive:
                await asyncio.sleep(0.05)


async def test_a_snapshot_under_load_and_the_stream_behind_it_make_the_source(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await admin.execute("CREATE TABLE s.t (id int PRIMARY KEY, v int)")
    await ensure_publication(admin, "tr_p", [table_name("s.t")])
    busy = True

    async def work(number: int) -> None:
        worker = await connect(source.url, "tailrace/worker")
        for i in range(100_000):
            if not busy:
                break
            async with worker.transaction():
                await worker.execute(f"INSERT INTO s.t VALUES ({number + i * 10}, 0)")
                await asyncio.sleep(0.003 * (i % 3))
                await worker.execute(f"UPDATE s.t SET v = v + 1 WHERE id % 7 = {i % 7} AND id % 10 = {number}")
        worker.terminate()

    workers = [asyncio.create_task(work(n)) for n in range(3)]
    await asyncio.sleep(0.2)
    await create_slot(admin, "tr_slot", timeout_s=20)
    await asyncio.sleep(0.2)
    await settled(admin, 20)
    loader = await source.connect()
    await loader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    point = await export_point(loader)
    await asyncio.sleep(0.3)
    loaded = [tuple(row) for row in await loader.fetch("SELECT id, v FROM s.t")]
    loader.terminate()
    busy = False
    await asyncio.gather(*workers)
    (table,) = await captured(admin, "s.t", filter=point.filter())
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        await capturing.until(await now(admin))
    model = Model([table])
    model.rows[0] = loaded
    for head, body in capturing.bodies():
        model.apply(head, body)
    assert len(loaded) > 10
    assert model.as_counted(0) == await stored(admin, table)
    assert table.filter is not None
    assert table.filter.retired


async def test_ddl_halts_in_its_place_and_the_added_column_comes_with_its_first_row(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
    await admin.execute("INSERT INTO s.t VALUES (1, 'a')")
    async with admin.transaction():
        await admin.execute("INSERT INTO s.t VALUES (2, 'b')")
        await admin.execute("ALTER TABLE s.t ADD COLUMN extra int")
        await admin.execute("INSERT INTO s.t VALUES (3, 'c', 30)")
    await admin.execute("INSERT INTO s.t VALUES (4, 'd', 40)")
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        while not capturing.halts:
            await capturing.step()
        (halt,) = capturing.halts
        assert [(c.change, not halt.broken) for c in halt.changes] == [("added", True)]
        (again,) = await captured(admin, "s.t")
        capturing.decoder.carry(again)
        await capturing.until(await now(admin))
        rows = [r for _, b in capturing.bodies() for _, r in b.tables]
        assert [c.to_pylist() for r in rows if len(r.columns) == 3 for c in [r.columns[2]]] in (
            [[30], [40]],
            [[30, 40]],
        )
        await admin.execute("ALTER TABLE s.t ALTER COLUMN v TYPE varchar(9); INSERT INTO s.t VALUES (5, 'e', 50)")
        await capturing.until(await now(admin))
    assert capturing.halts[-1].broken
    assert capturing.decoder.left_out == {0}


async def test_a_heartbeat_moves_the_slot_of_an_idle_database_and_so_does_a_position(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY); CREATE TABLE s.unpublished (v text)", "s.t")
    async with await ChangeStream.open(source, StreamOptions("tr_slot", "tr_p", status_s=0.05)) as stream:
        capturing = Capturing.of(stream, [table])
        await admin.execute("SELECT pg_logical_emit_message(true, 'tailrace.heartbeat', '42')")
        await capturing.until(await now(admin))
        beats = [c for _, body in capturing.bodies() for c in body.controls if isinstance(c, Heartbeat)]
        assert [b.token for b in beats] == ["42"]
        await admin.execute("INSERT INTO s.unpublished SELECT repeat('x', 1000) FROM generate_series(1, 100)")
        target = await now(admin)
        await capturing.until(target)
        stream.confirm(capturing.recorder.tail.end)
        async with asyncio.timeout(10):
            while not (state := await slot_state(admin, "tr_slot")) or (state.confirmed_lsn or 0) < target:
                await asyncio.sleep(0.02)
    model = Model([table])
    for head, body in capturing.bodies():
        model.apply(head, body)


async def test_the_session_lives_on_while_nobody_takes_anything(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
    options = StreamOptions("tr_slot", "tr_p", CutRule(bytes=128 << 10), hold_bytes=256 << 10, status_s=0.5, still_s=60)
    async with await ChangeStream.open(source, options) as stream:
        capturing = Capturing.of(stream, [table])
        await admin.execute("INSERT INTO s.t SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 20000) i")
        await asyncio.sleep(6)  # wal_sender_timeout is 4 s
        assert stream._wire.buffer.held < 2 << 20
        state = await slot_state(admin, "tr_slot")
        assert state is not None
        assert state.active
        await capturing.until(await now(admin))
    assert applied(capturing, [table]).as_counted(0).total() == 20_000


async def test_a_slot_is_made_once_looked_at_and_dropped_under_its_reader(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY)", "s.t")
    state = await slot_state(admin, "tr_slot")
    assert state is not None
    assert await create_slot(admin, "tr_slot") == state.confirmed_lsn
    assert (state.plugin, state.active, state.wal_status, state.lost) == ("pgoutput", False, "reserved", False)
    assert (state.retained_bytes or 0) > 0
    assert await slot_state(admin, "tr_none") is None
    await create_slot(admin, "tr_copied", failover=True)
    copied = await slot_state(admin, "tr_copied")
    assert copied is not None
    assert copied.failover == (admin.get_server_version().major >= 17)
    system, timeline, lsn = await source_position(admin)
    assert system.isdecimal()
    assert timeline == 1
    assert lsn >= (state.confirmed_lsn or 0)
    async with await ChangeStream.open(source, OPTIONS) as stream:
        with pytest.raises(SlotActive):
            await ChangeStream.open(source, OPTIONS)
        with pytest.raises(TransientError, match="in use"):
            await drop_slot(admin, "tr_slot", 0.3, terminate=False)
        assert await drop_slot(admin, "tr_slot", 10)
        with pytest.raises(TransientError):
            await until_it_ends(stream)
    assert not await drop_slot(admin, "tr_slot", 1)
    with pytest.raises(SlotLost):
        await ChangeStream.open(source, OPTIONS)


async def test_a_slot_whose_wal_was_removed_is_lost_and_says_so(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY); CREATE TABLE s.noise (v text)", "s.t")
    await admin.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '32MB'")
    await admin.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(60):
        while not (state := await slot_state(admin, "tr_slot")) or not state.lost:
            await admin.execute("INSERT INTO s.noise SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i")
            await admin.execute("SELECT pg_switch_wal(); CHECKPOINT")
    assert state.wal_status == "lost"
    await admin.execute("ALTER SYSTEM RESET max_slot_wal_keep_size")
    await admin.execute("SELECT pg_reload_conf()")
    with pytest.raises(SlotLost):
        await ChangeStream.open(source, OPTIONS)


async def test_a_publication_that_is_gone_is_named(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute("CREATE TABLE s.t (id int PRIMARY KEY)")
    await create_slot(admin, "tr_slot")
    async with await ChangeStream.open(source, OPTIONS) as stream:
        await admin.execute("INSERT INTO s.t VALUES (1)")
        version = admin.get_server_version().major
        if version >= 18:  # from there on a missing publication is only warned about
            assert await stream.cut(False, 0.5) is None
        else:
            with pytest.raises(PublicationMissing):
                await until_it_ends(stream)


async def test_a_role_without_replication_is_told(
    admin: asyncpg.Connection, server: EmbeddedPostgres, source: SourceServer
) -> None:
    await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY)", "s.t")
    await admin.execute("DROP ROLE IF EXISTS plain_reader; CREATE ROLE plain_reader LOGIN PASSWORD 'p'")
    url = SecretStr(server.url("postgres", "plain_reader", "p"))
    plain = await connect(url, "tailrace/plain")
    with pytest.raises(CapturePrivilege):
        await create_slot(plain, "tr_more")
    plain.terminate()
    with pytest.raises(TerminalError) as told:
        await ChangeStream.open(SourceServer(url, "tailrace/plain", "SOURCE_URL"), OPTIONS)
    assert "REPLICATION" in told.value.remedy


async def test_a_replicating_role_captures_with_the_documented_grants(
    admin: asyncpg.Connection, server: EmbeddedPostgres
) -> None:
    (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY)", "s.t")
    await admin.execute(
        "DROP ROLE IF EXISTS capture_reader; CREATE ROLE capture_reader LOGIN REPLICATION PASSWORD 'p'; "
        "GRANT USAGE ON SCHEMA s TO capture_reader; GRANT SELECT ON s.t TO capture_reader"
    )
    url = SecretStr(server.url("postgres", "capture_reader", "p"))
    mine = await connect(url, "tailrace/mine")
    await check_publication(mine, "tr_p", [table_name("s.t")])
    assert (await source_position(mine))[0].isdecimal()
    await settled(mine, 10)
    await mine.execute("SELECT pg_logical_emit_message(true, 'tailrace.heartbeat', '1')")
    async with await ChangeStream.open(SourceServer(url, "tailrace/mine", "SOURCE_URL"), OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        await capturing.until(await now(admin))
    await drop_slot(mine, "tr_slot", 10)
    mine.terminate()
    await admin.execute("DROP OWNED BY capture_reader; DROP ROLE capture_reader")


async def test_what_would_fail_on_the_source_is_refused_before_it_is_published(admin: asyncpg.Connection) -> None:
    await admin.execute(
        """CREATE TABLE s.fine (id int PRIMARY KEY); CREATE TABLE s.bare (id int);
        CREATE TABLE s.late (id int PRIMARY KEY DEFERRABLE); CREATE UNLOGGED TABLE s.fleeting (id int PRIMARY KEY);
        CREATE TABLE s.nothing (id int PRIMARY KEY); ALTER TABLE s.nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE s.root (id int PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE s.leaf PARTITION OF s.root FOR VALUES FROM (0) TO (9); ALTER TABLE s.leaf REPLICA IDENTITY FULL;
        CREATE VIEW s.seen AS SELECT 1 AS id"""
    )

    async def refused(*tables: str) -> TerminalError:
        with pytest.raises(TerminalError) as raised:
            await ensure_publication(admin, "tr_p", [table_name(t) for t in tables])
        return raised.value

    told = await refused("s.fine", "s.bare", "s.late", "s.nothing")
    assert told.code == "capture.replica-identity"
    assert all(t in told.message for t in ("s.bare", "s.late", "s.nothing"))
    assert "s.fine" not in told.message
    assert (await refused("s.fleeting")).code == "capture.not-logged"
    assert (await refused("s.root")).code == "capture.partition-identity"
    assert (await refused("s.seen")).code == "capture.unknown-table"
    assert await publication_of(admin, "tr_p") is None


async def test_the_publication_holds_exactly_the_tables_of_the_job(admin: asyncpg.Connection) -> None:
    await admin.execute("CREATE TABLE s.a (id int PRIMARY KEY, v text); CREATE TABLE s.b (id int PRIMARY KEY, v text)")
    a, b = table_name("s.a"), table_name("s.b")
    assert await ensure_publication(admin, "tr_p", [a])
    assert not await ensure_publication(admin, "tr_p", [a])
    await check_publication(admin, "tr_p", [a])
    with pytest.raises(TerminalError, match=r"s\.b"):
        await check_publication(admin, "tr_p", [a, b])
    assert await ensure_publication(admin, "tr_p", [a, b])
    if admin.get_server_version().major >= 15:
        await admin.execute("ALTER PUBLICATION tr_p SET TABLE s.a (id), s.b WHERE (id > 5)")
        with pytest.raises(TerminalError, match="only in part"):
            await check_publication(admin, "tr_p", [a, b])
    assert await ensure_publication(admin, "tr_p", [b])
    found = await publication_of(admin, "tr_p")
    assert found is not None
    assert found.tables == {b}
    await admin.execute("ALTER PUBLICATION tr_p SET (publish = 'insert')")
    with pytest.raises(TerminalError, match="does not publish"):
        await check_publication(admin, "tr_p", [b])
    await drop_publication(admin, "tr_p")
    await drop_publication(admin, "tr_p")


async def test_the_catalogue_describes_tables_as_the_stream_does(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    (table,) = await set_up(
        admin,
        """CREATE TABLE s.t (gone int, id int, v varchar(7), twice int GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id));
        ALTER TABLE s.t DROP COLUMN gone""",
        "s.t",
    )
    async with await ChangeStream.open(source, OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        await admin.execute("INSERT INTO s.t VALUES (1, 'a')")
        await capturing.until(await now(admin))
        assert capturing.decoder._known == {table.relation.oid: table.relation}
    assert (await relations_of(admin, [table_name("s.t")]))[table_name("s.t")] == table.relation
    assert layout_of(table.relation).names == ("id", "v")


async def until_it_ends(stream: ChangeStream) -> None:
    async with asyncio.timeout(20):
        while True:
            if (frames := await stream.cut(False, 0.5)) is not None:
                stream.drop(len(frames.starts))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_stream_comes_through_tls_on_either_loop(server: EmbeddedPostgres, loop: str, tmp_path: Path) -> None:
    async def over_tls() -> None:
        admin = await connect(SecretStr(server.url()), "tailrace/capture-test")
        await admin.execute("DROP PUBLICATION IF EXISTS tr_p; DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s")
        (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
        await admin.execute("INSERT INTO s.t SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i")
        async with tls_in_front_of(server.port, tmp_path) as port:
            url = server.url().replace(f":{server.port}/", f":{port}/") + "?sslmode=require"
            async with await ChangeStream.open(SourceServer(SecretStr(url), "tailrace/tls", "URL"), OPTIONS) as stream:
                assert type(stream._wire._transport).__name__ != "_SelectorSocketTransport"
                capturing = Capturing.of(stream, [table])
                await capturing.until(await now(admin))
        assert applied(capturing, [table]).as_counted(0).total() == 20_000
        await drop_slot(admin, "tr_slot", 10)
        admin.terminate()

    (uvloop.run if loop == "uvloop" else asyncio.run)(over_tls())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_session_that_the_server_has_ended_is_left_without_ado_on_either_loop(
    server: EmbeddedPostgres, loop: str
) -> None:
    async def ended() -> None:
        admin = await connect(SecretStr(server.url()), "tailrace/capture-test")
        await admin.execute("DROP PUBLICATION IF EXISTS tr_p; DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s")
        await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
        source = SourceServer(SecretStr(server.url()), "tailrace/capture-test", "SOURCE_URL")
        async with await ChangeStream.open(source, OPTIONS) as stream:
            await admin.execute(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'tr_slot'"
            )
            with pytest.raises(TransientError):
                await stream.cut(False, 10)
            await asyncio.sleep(0.2)  # the transport is closed for good by then
        await drop_slot(admin, "tr_slot", 10)
        admin.terminate()

    (uvloop.run if loop == "uvloop" else asyncio.run)(ended())


def test_a_source_that_is_shut_down_is_let_go_and_goes_on_where_it_was(server: EmbeddedPostgres) -> None:
    """A walsender waits for its last position to be confirmed: a capture that never does would hold up production."""

    async def stopped_and_started() -> None:
        source = SourceServer(SecretStr(server.url()), "tailrace/capture-test", "SOURCE_URL")
        admin = await connect(source.url, "tailrace/capture-test")
        await admin.execute("DROP PUBLICATION IF EXISTS tr_p; DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s")
        (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
        await admin.execute("INSERT INTO s.t VALUES (1, 'a')")
        admin.terminate()
        async with await ChangeStream.open(source, OPTIONS) as stream:
            capturing = Capturing.of(stream, [table])
            started = asyncio.get_running_loop().time()
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            with contextlib.suppress(TransientError):
                while True:
                    await capturing.step(0.1)
                    idle = stream.idle_lsn
                    if not capturing.decoder.inside and (made := capturing.recorder.position(idle)):
                        capturing.records.append(made)
                    stream.confirm(capturing.recorder.tail.end)
            await stopping
            assert asyncio.get_running_loop().time() - started < 10
        await asyncio.to_thread(server.start)
        admin = await connect(source.url, "tailrace/capture-test")
        tail = capturing.recorder.tail
        async with await ChangeStream.open(source, OPTIONS, tail.end) as stream:
            again = Capturing.of(stream, [table], tail)
            await admin.execute("INSERT INTO s.t VALUES (2, 'b')")
            await again.until(await now(admin))
        again.records[:0] = capturing.records
        assert applied(again, [table]).rows[0] == [(1, "a"), (2, "b")]
        await drop_slot(admin, "tr_slot", 10)
        admin.terminate()

    asyncio.run(stopped_and_started())


@pytest.mark.parametrize("rows", [3, 60_000])
def test_a_capture_that_stands_still_does_not_hold_up_the_shutdown_of_its_source(
    server: EmbeddedPostgres, rows: int
) -> None:
    """Kafka or the destination is away: with little in hand the server waits to be confirmed, with much it waits to send."""

    async def stopped() -> None:
        source = SourceServer(SecretStr(server.url()), "tailrace/capture-test", "SOURCE_URL")
        admin = await connect(source.url, "tailrace/capture-test")
        await admin.execute("DROP PUBLICATION IF EXISTS tr_p; DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s")
        (table,) = await set_up(admin, "CREATE TABLE s.t (id int PRIMARY KEY, v text)", "s.t")
        options = StreamOptions(
            "tr_slot", "tr_p", CutRule(bytes=64 << 10), hold_bytes=128 << 10, status_s=0.1, still_s=1
        )
        async with await ChangeStream.open(source, options) as stream:
            await admin.execute(f"INSERT INTO s.t SELECT i, repeat('x', 500) FROM generate_series(1, {rows}) i")
            admin.terminate()
            started = asyncio.get_running_loop().time()
            await asyncio.to_thread(server.stop)
            assert asyncio.get_running_loop().time() - started < 10  # a server that is not let go is killed after 15 s
            with pytest.raises(TransientError):
                await until_it_ends(stream)
        await asyncio.to_thread(server.start)
        admin = await connect(source.url, "tailrace/capture-test")
        async with await opened_again(source, OPTIONS, 0) as stream:
            capturing = Capturing.of(stream, [table])
            await capturing.until(await now(admin))
        assert applied(capturing, [table]).as_counted(0).total() == rows
        await drop_slot(admin, "tr_slot", 10)
        admin.terminate()

    asyncio.run(stopped())
