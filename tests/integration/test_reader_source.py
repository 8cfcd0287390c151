"""The reader against a real PostgreSQL: snapshots, ordered ranges, early ends, rewrites, leaks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.leaks import overlap
from tailrace_reader.parse import Parser
from tailrace_reader.patience import SourcePatience
from tailrace_reader.ranges import LOOKING_UP, ColumnsChanged, RangeQuery, TableRewritten, read_range
from tailrace_reader.session import SnapshotSession
from tailrace_reader.snapshot import (
    HeldSnapshot,
    SnapshotGone,
    SourceServer,
    export_snapshot,
    join_snapshot,
    reading_connection,
)
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.dataplane.retry import RetrySchedule
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.messages import Bound
from tailrace_shared.plan.model import Leaf, TableFilter
from tailrace_shared.types import ColumnType, arrow_type

RULE = CutRule(rows=1000, batch_bytes=64 << 10, range_bytes=1 << 40, row_bytes=1 << 20)
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-reader-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            yield postgres


@pytest.fixture
async def admin(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url())
    await connection.execute("DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s")
    yield connection
    connection.terminate()


@pytest.fixture
def source(server: EmbeddedPostgres) -> SourceServer:
    return SourceServer(SecretStr(server.url()), "tailrace/reader-test", "SOURCE_URL")


def layout(**bases: str) -> Layout:
    types = [ColumnType(name=b, base=b, family="other") for b in bases.values()]
    return Layout(tuple(bases), tuple(t.wire for t in types), tuple(map(arrow_type, types)))


async def leaf_of(admin: asyncpg.Connection, name: str) -> Leaf:
    row = await admin.fetchrow(
        "SELECT c::oid AS oid, pg_relation_filenode(c) AS node FROM to_regclass($1) c", f"s.{name}"
    )
    return Leaf(name=TableName(schema_name="s", name=name), oid=row["oid"], filenode=row["node"])


async def until(what: str, true: object, deadline_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(deadline_s):
        while not await true():  # type: ignore[operator]
            await asyncio.sleep(0.02)


async def read(
    source: SourceServer,
    held: HeldSnapshot,
    query: RangeQuery,
    columns: Layout,
    rule: CutRule = RULE,
) -> tuple[list[Cut], Bound | None, RangeAssembler]:
    connection = await reading_connection(source, held)
    cuts: list[Cut] = []

    async def keep(cut: Cut) -> None:
        cuts.append(cut)

    try:
        assembler = RangeAssembler(Parser(columns), rule, "range 0 of s.t")
        rest = await read_range(connection, query, assembler, keep)
        locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = $1"
        assert await connection.fetchval(locks, query.leaf.oid) == 0, "no lock outlives a range"
        return cuts, rest, assembler
    finally:
        connection.terminate()


def values(cuts: list[Cut], column: int = 0) -> list[object]:
    return [v for cut in cuts for v in cut.batch.column(column).to_pylist()]


# --- snapshots -------------------------------------------------------------------------------------------------------


async def test_every_reader_sees_the_snapshot_of_the_first(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute("CREATE TABLE s.t (a int); INSERT INTO s.t SELECT generate_series(1, 10)")
    first = await export_snapshot(source)
    await admin.execute("DELETE FROM s.t WHERE a > 5; INSERT INTO s.t VALUES (11)")
    second = await join_snapshot(source, ["not-an-id'; --", "00000000-00000000-1", first.id])
    assert second.id != first.id
    first.release()
    third = await join_snapshot(source, [second.id])
    query = RangeQuery(await leaf_of(admin, "t"), ("a",), Bound(block=0), None)
    cuts, rest, _ = await read(source, third, query, layout(a="int4"))
    assert values(cuts) == list(range(1, 11))
    assert rest is None
    second.release()
    third.release()


async def test_ids_that_have_died_are_reported_as_gone(admin: asyncpg.Connection, source: SourceServer) -> None:
    held = await export_snapshot(source)
    held.release()

    async def died() -> bool:
        try:
            (await join_snapshot(source, [held.id])).release()
        except SnapshotGone as error:
            return error.tried == (held.id,)
        return False

    await until("the exporting session has ended", died)


async def test_a_session_whose_holder_dies_joins_another_reader_and_goes_on(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await admin.execute("CREATE TABLE s.t (a int); INSERT INTO s.t VALUES (1)")
    other = await export_snapshot(source)
    mine = await join_snapshot(source, [other.id])
    pid = mine.connection.get_server_pid()
    reported: list[str] = []
    lost: list[tuple[str, ...]] = []

    async def held(snapshot: str) -> None:
        reported.append(snapshot)

    async def gone(tried: tuple[str, ...]) -> None:
        lost.append(tried)

    session = SnapshotSession(
        source,
        mine,
        listed=lambda: [other.id],
        held=held,
        lost=gone,
        ping_s=0.2,
        patience=SourcePatience(60),
        retry=RetrySchedule(first_s=0.05),
    )
    await session.start()
    await admin.execute("DELETE FROM s.t")
    await admin.execute("SELECT pg_terminate_backend($1)", pid)

    async def rejoined() -> bool:
        return len(reported) == 2

    await until("joined anew", rejoined)
    async with session.reading() as connection:
        assert await connection.fetchval("SELECT count(*) FROM s.t") == 1
    assert lost == []

    other.release()
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailrace/reader-test'"
    )

    async def told() -> bool:
        return bool(lost)

    await until("said that nobody holds it", told)
    assert set(lost[0]) == {other.id, reported[-1]}
    waiting = asyncio.create_task(anext_connection(session))
    await asyncio.sleep(0.3)
    assert not waiting.done(), "a range waits for the snapshot instead of failing"
    assert len(lost) == 1, "the same ids are reported once"
    await session.release()
    with pytest.raises(TransientError):
        await waiting


async def anext_connection(session: SnapshotSession) -> None:
    async with session.reading():
        pass


async def test_a_range_does_not_wait_for_ever_for_a_source_that_stays_away(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    held = await export_snapshot(source)
    away = SourceServer(SecretStr("postgresql://nobody@127.0.0.1:1/nothing"), "tailrace/reader-test", "SOURCE_URL")

    async def told(_: object) -> None:
        return None

    session = SnapshotSession(
        away, held, listed=list, held=told, lost=told, ping_s=0.1, patience=SourcePatience(0.5),
        retry=RetrySchedule(first_s=0.05, limit_s=0.1, attempts=None),
    )  # fmt: skip
    await session.start()
    await admin.execute("SELECT pg_terminate_backend($1)", held.connection.get_server_pid())

    async def read_when_possible() -> None:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(TransientError):
                    await anext_connection(session)
                await asyncio.sleep(0.05)

    with pytest.raises(TerminalError) as error:
        await read_when_possible()
    assert error.value.code == "reader.source-failing"
    await session.release()


# --- ranges ----------------------------------------------------------------------------------------------------------


async def test_ranges_are_tid_range_scans_in_ctid_order(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute(
        "CREATE TABLE s.t (a int PRIMARY KEY, b text); INSERT INTO s.t SELECT i, repeat('x', 200) FROM generate_series(1, 5000) i;"
        "UPDATE s.t SET b = 'y' WHERE a % 3 = 0; ANALYZE s.t"
    )
    leaf = await leaf_of(admin, "t")
    held = await export_snapshot(source)
    connection = await reading_connection(source, held)
    bounds = [Bound(block=0), Bound(block=7), Bound(block=7, item=4), Bound(block=60), None]
    got: list[object] = []
    for low, high in itertools.pairwise(bounds):
        assert low is not None
        query = RangeQuery(leaf, ("a", "b"), low, high)
        for text in (query.rows, query.place_after(3)):
            plan = "\n".join(r[0] for r in await connection.fetch(f"EXPLAIN {text}"))
            assert "Tid Range Scan" in plan
            assert "Sort" not in plan
            assert "Parallel" not in plan
        cuts, rest, assembler = await read(source, held, query, layout(a="int4", b="text"))
        assert rest is None
        assert assembler.rows == len(values(cuts))
        assert [c.last for c in cuts] == [False] * (len(cuts) - 1) + [True]
        got += values(cuts)
    assert got == [r["a"] for r in await connection.fetch("SELECT a FROM s.t ORDER BY ctid")]
    connection.terminate()
    held.release()


async def test_a_range_above_its_bytes_ends_early_and_says_where_the_rest_begins(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await admin.execute(
        "CREATE TABLE s.t (a int, b text); INSERT INTO s.t SELECT i, repeat(md5(i::text), 3000) FROM generate_series(1, 200) i"
    )
    leaf = await leaf_of(admin, "t")
    held = await export_snapshot(source)
    rule = CutRule(rows=1000, batch_bytes=300_000, range_bytes=5_000_000, row_bytes=1 << 20)
    low: Bound | None = Bound(block=0)
    got: list[object] = []
    ends: list[int] = []
    while low is not None:
        cuts, low, assembler = await read(
            source, held, RangeQuery(leaf, ("a", "b"), low, None), layout(a="int4", b="text"), rule
        )
        assert assembler.weight <= rule.range_bytes
        assert assembler.batches == len(cuts)
        got += values(cuts)
        ends.append(assembler.rows)
    assert got == list(range(1, 201))
    assert ends == [52, 52, 52, 44]
    held.release()


async def test_a_range_without_rows_has_no_batches(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute("CREATE TABLE s.t (a int)")
    held = await export_snapshot(source)
    query = RangeQuery(await leaf_of(admin, "t"), ("a",), Bound(block=0), None)
    cuts, rest, assembler = await read(source, held, query, layout(a="int4"))
    assert (cuts, rest, assembler.rows, assembler.batches) == ([], None, 0, 0)
    held.release()


async def test_a_table_without_columns_keeps_its_rows(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute("CREATE TABLE s.t (); INSERT INTO s.t DEFAULT VALUES; INSERT INTO s.t DEFAULT VALUES")
    held = await export_snapshot(source)
    query = RangeQuery(await leaf_of(admin, "t"), (), Bound(block=0), None)
    cuts, _, _ = await read(source, held, query, layout())
    assert [c.batch.num_rows for c in cuts] == [2]
    held.release()


async def test_children_by_inheritance_are_not_read_with_their_parent(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await admin.execute(
        "CREATE TABLE s.t (a int); CREATE TABLE s.child () INHERITS (s.t);"
        "INSERT INTO s.t VALUES (1); INSERT INTO s.child VALUES (2)"
    )
    held = await export_snapshot(source)
    query = RangeQuery(await leaf_of(admin, "t"), ("a",), Bound(block=0), None)
    assert values((await read(source, held, query, layout(a="int4")))[0]) == [1]
    held.release()


async def test_odd_names_and_odd_values_travel(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute(
        '''CREATE TABLE s."o""dd t" ("sel ect" date, "b""" timestamptz, c text);
        INSERT INTO s."o""dd t" VALUES ('infinity', '0044-03-15 00:00:00+00 BC', E'a"b\\n,c\\r'),
        (NULL, NULL, ''), ('2024-01-01', now(), NULL)'''
    )
    held = await export_snapshot(source)
    node = await admin.fetchrow(
        """SELECT c::oid AS oid, pg_relation_filenode(c) AS n FROM to_regclass('s."o""dd t"') c"""
    )
    leaf = Leaf(name=TableName(schema_name="s", name='o"dd t'), oid=node["oid"], filenode=node["n"])
    columns = layout(**{"sel ect": "date", 'b"': "timestamptz", "c": "text"})
    cuts, _, _ = await read(source, held, RangeQuery(leaf, columns.names, Bound(block=0), None), columns)
    assert values(cuts, 0) == ["infinity", None, "2024-01-01"]
    assert values(cuts, 1)[0] == "0044-03-15 00:00:00+00 BC"
    assert values(cuts, 2) == ['a"b\n,c\r', "", None]
    held.release()


@pytest.mark.parametrize(
    "change", ["VACUUM FULL s.t", "TRUNCATE s.t", "DROP TABLE s.t", "ALTER TABLE s.t ALTER a TYPE bigint"]
)
async def test_a_table_that_was_rewritten_under_the_snapshot_is_refused_not_read_as_empty(
    admin: asyncpg.Connection, source: SourceServer, change: str
) -> None:
    await admin.execute("CREATE TABLE s.t (a int); INSERT INTO s.t SELECT generate_series(1, 1500)")
    query = RangeQuery(await leaf_of(admin, "t"), ("a",), Bound(block=0), None)
    held = await export_snapshot(source)
    await admin.execute(change)
    with pytest.raises(TableRewritten) as error:
        await read(source, held, query, layout(a="int4"))
    assert "s.t" in error.value.message
    held.release()


async def test_another_table_under_the_old_name_is_refused(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute("CREATE TABLE s.t (a int)")
    query = RangeQuery(await leaf_of(admin, "t"), ("a",), Bound(block=0), None)
    held = await export_snapshot(source)
    await admin.execute("ALTER TABLE s.t RENAME TO u; CREATE TABLE s.t (a int)")
    with pytest.raises(TableRewritten):
        await read(source, held, query, layout(a="int4"))
    held.release()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE s.t RENAME open TO o; ALTER TABLE s.t RENAME secret TO open; ALTER TABLE s.t RENAME o TO secret",
        "ALTER TABLE s.t DROP open; ALTER TABLE s.t RENAME secret TO open",
        "ALTER TABLE s.t RENAME open TO other; ALTER TABLE s.t ADD open text DEFAULT 'new'",
        "ALTER TABLE s.t DROP open",
    ],
)
async def test_a_planned_name_that_is_another_column_now_is_not_read(
    admin: asyncpg.Connection, source: SourceServer, change: str
) -> None:
    """PostgreSQL resolves names by the catalogue of now, whatever the snapshot: ``open`` would hold what ``secret`` held."""
    await admin.execute("CREATE TABLE s.t (secret text, open text); INSERT INTO s.t VALUES ('canary', 'fine')")
    held = await export_snapshot(source)
    query = RangeQuery(await leaf_of(admin, "t"), ("open",), Bound(block=0), None)
    await admin.execute(change)
    with pytest.raises(ColumnsChanged) as error:
        await read(source, held, query, layout(open="text"))
    assert "s.t" in error.value.message
    held.release()


async def test_columns_that_are_not_read_may_change(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute("CREATE TABLE s.t (a text, b int, c int); INSERT INTO s.t VALUES ('x', 1, 2)")
    held = await export_snapshot(source)
    query = RangeQuery(await leaf_of(admin, "t"), ("a",), Bound(block=0), None)
    await admin.execute("ALTER TABLE s.t RENAME b TO d; ALTER TABLE s.t DROP c; ALTER TABLE s.t ADD e int DEFAULT 5")
    cuts, _, _ = await read(source, held, query, layout(a="text"))
    assert values(cuts) == ["x"]
    held.release()


async def test_row_security_is_an_error_and_not_a_smaller_table(
    admin: asyncpg.Connection, server: EmbeddedPostgres
) -> None:
    await admin.execute(
        "DROP ROLE IF EXISTS seer; CREATE ROLE seer LOGIN PASSWORD 'pw'; CREATE TABLE s.t (a int);"
        "INSERT INTO s.t VALUES (1), (2); ALTER TABLE s.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON s.t USING (a = 1);"
        "GRANT USAGE ON SCHEMA s TO seer; GRANT SELECT ON s.t TO seer"
    )
    mine = SourceServer(SecretStr(server.url(user="seer", password="pw")), "tailrace/reader-test", "SOURCE_URL")
    held = await export_snapshot(mine)
    query = RangeQuery(await leaf_of(admin, "t"), ("a",), Bound(block=0), None)
    with pytest.raises(TerminalError) as error:
        await read(mine, held, query, layout(a="int4"))
    assert error.value.code == "postgres.privilege"
    held.release()
    await admin.execute("DROP TABLE s.t; REVOKE ALL ON SCHEMA s FROM seer; DROP ROLE seer")


async def test_a_slow_consumer_holds_the_server_back(admin: asyncpg.Connection, source: SourceServer) -> None:
    await admin.execute(
        "CREATE TABLE s.t (b text); INSERT INTO s.t SELECT repeat(md5(i::text), 300) FROM generate_series(1, 4000) i"
    )
    held = await export_snapshot(source)
    query = RangeQuery(await leaf_of(admin, "t"), ("b",), Bound(block=0), None)
    connection = await reading_connection(source, held)
    pid = connection.get_server_pid()
    gate, seen = asyncio.Event(), []

    async def slowly(cut: Cut) -> None:
        seen.append(cut.batch.num_rows)
        await gate.wait()

    assembler = RangeAssembler(Parser(layout(b="text")), RULE, "range 0 of s.t")
    reading = asyncio.create_task(read_range(connection, query, assembler, slowly))

    async def blocked() -> bool:
        wait = await admin.fetchval("SELECT wait_event FROM pg_stat_activity WHERE pid = $1", pid)
        return wait == "ClientWrite"

    await until("the server waits for us", blocked)
    assert len(seen) == 1
    gate.set()
    assert await reading is None
    assert sum(seen) == 4000
    connection.terminate()
    held.release()


# --- filters ---------------------------------------------------------------------------------------------------------

TWO = (
    "CREATE TABLE s.p (id int PRIMARY KEY, keep bool); INSERT INTO s.p SELECT i, i % 2 = 0 FROM generate_series(1, 400) i;"
    "CREATE TABLE s.t (a int, p int, b text); INSERT INTO s.t SELECT i, 1 + i % 400, repeat(md5(i::text), 40) "
    "FROM generate_series(1, 4000) i; ANALYZE s.p; ANALYZE s.t"
)


async def filtered(admin: asyncpg.Connection) -> RangeQuery:
    """Rows of ``t`` whose row of ``p`` is kept, without the text of every tenth."""
    parent = await leaf_of(admin, "p")
    told = TableFilter(
        table=0,
        condition="EXISTS (SELECT FROM (SELECT id FROM ONLY s.p AS t WHERE (keep)) AS p WHERE p.id = t.p)",
        kept={"b": "t.a % 10 > 0"},
        looks_up=True,
        reads=(parent,),
    )
    return RangeQuery(await leaf_of(admin, "t"), ("a", "b"), Bound(block=0), None, filter=told)


async def test_filtered_ranges_end_early_in_order_and_look_up_by_index(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await admin.execute(TWO)
    query = await filtered(admin)
    held = await export_snapshot(source)
    rule = CutRule(rows=1000, batch_bytes=300_000, range_bytes=500_000, row_bytes=1 << 20)
    low: Bound | None = Bound(block=0)
    got: list[object] = []
    texts: list[object] = []
    pieces = 0
    while low is not None:
        cuts, low, _ = await read(source, held, replace(query, low=low), layout(a="int4", b="text"), rule)
        got += values(cuts)
        texts += values(cuts, 1)
        pieces += 1
    assert got == [i for i in range(1, 4001) if (1 + i % 400) % 2 == 0]
    assert pieces > 3
    assert all((text is None) == (a % 10 == 0) for a, text in zip(got, texts, strict=True))  # type: ignore[operator]
    connection = await reading_connection(source, held)
    await connection.execute(f"SAVEPOINT range; {LOOKING_UP}")
    narrow = replace(query, low=Bound(block=10), high=Bound(block=12))
    plan = "\n".join(r[0] for r in await connection.fetch(f"EXPLAIN {narrow.rows}"))
    assert "Tid Range Scan on t" in plan
    await connection.execute("ROLLBACK TO SAVEPOINT range")
    assert await connection.fetchval("SHOW enable_seqscan") == "off", "the next range is read in order again"
    connection.terminate()
    held.release()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("TRUNCATE s.p", TableRewritten),
        ("DROP TABLE s.p", TableRewritten),
        ("ALTER TABLE s.p RENAME keep TO was; ALTER TABLE s.p ADD keep bool", ColumnsChanged),
        ("ALTER TABLE s.t RENAME p TO q; ALTER TABLE s.t ADD p int", ColumnsChanged),
    ],
)
async def test_what_a_filter_looks_into_may_not_change_under_the_snapshot(
    admin: asyncpg.Connection, source: SourceServer, change: str, error: type[Exception]
) -> None:
    await admin.execute(TWO)
    query = await filtered(admin)
    held = await export_snapshot(source)
    await admin.execute(change)
    with pytest.raises(error):
        await read(source, held, query, layout(a="int4", b="text"))
    held.release()


# --- leaks -----------------------------------------------------------------------------------------------------------


async def test_leaks_are_counted_by_distinct_value_and_on_partitioned_parents(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    await admin.execute(
        "CREATE TABLE s.p (a int, e text) PARTITION BY RANGE (a); CREATE TABLE s.p1 PARTITION OF s.p FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE s.p2 PARTITION OF s.p FOR VALUES FROM (50) TO (200);"
        "INSERT INTO s.p SELECT i, CASE WHEN i % 10 > 0 THEN 'v' || i % 60 END FROM generate_series(1, 120) i"
    )
    name = TableName(schema_name="s", name="p")
    asked = [("e", ("v1", "v1", "v59", "none", "V2", "")), ("e", ()), ("a", ("7", "07", "500"))]
    assert await overlap(admin, name, asked, 30, what="s.p", allowed_s=30) == [(54, 2), (54, 0), (120, 1)]


async def test_a_leak_lookup_that_takes_too_long_fails_by_name(admin: asyncpg.Connection) -> None:
    await admin.execute("CREATE TABLE s.t (a int); INSERT INTO s.t SELECT generate_series(1, 300000)")
    name = TableName(schema_name="s", name="t")
    with pytest.raises(TerminalError) as error:
        await overlap(admin, name, [("a", ("1",))], 0.001, what="s.t.a", allowed_s=7)
    assert error.value.code == "reader.leak-timeout"
    assert "s.t.a" in error.value.message
    assert "within 7 s" in error.value.message
