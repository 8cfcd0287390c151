"""A snapshot and the stream behind it make the source in moments that are hard to come by: a commit that is written and not
visible yet, and transaction ids that come round."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from pydantic import SecretStr

from support.capturing import Capturing, Model, captured, table_name
from support.wrapping import WRAP, bring_near_the_wrap, burn_past_the_wrap
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_reader.capture.point import CutOver, export_point, settled
from tailrace_reader.capture.publication import ensure_publication
from tailrace_reader.capture.slots import create_slot, drop_slot
from tailrace_reader.capture.stream import ChangeStream, StreamOptions
from tailrace_reader.capture.tables import CapturedTable
from tailrace_reader.snapshot import SourceServer
from tailrace_shared.errors import TransientError
from tailrace_writer.lane.seen import Seen

OPTIONS = StreamOptions("tr_slot", "tr_p")
Rows = Counter[tuple[object, ...]]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """Commits wait for nobody, but for those that ask for it."""
    with tempfile.TemporaryDirectory(prefix="tailrace-moments-") as directory:
        folder = Path(directory)
        folder.chmod(0o711)
        with EmbeddedPostgres(folder / "postgres", fsync=False, settings={"synchronous_commit": "local"}) as postgres:
            yield postgres


@pytest.fixture
async def admin(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
    await ensure_publication(connection, "tr_p", [table_name("s.t")])
    await create_slot(connection, "tr_slot")
    yield connection
    await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await connection.execute("SELECT pg_reload_conf()")
    await drop_slot(connection, "tr_slot", 20)
    await connection.execute("DROP PUBLICATION tr_p; DROP SCHEMA s CASCADE")
    connection.terminate()


def source_of(server: EmbeddedPostgres) -> SourceServer:
    return SourceServer(SecretStr(server.url()), "tailrace/moments", "SOURCE_URL")


@asynccontextmanager
async def late_commit(server: EmbeddedPostgres, admin: asyncpg.Connection, statement: str) -> AsyncIterator[None]:
    """Within, the transaction is in WAL and nobody sees it: it waits for a standby that does not exist."""
    await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await admin.execute("SELECT pg_reload_conf()")
    late = await asyncpg.connect(server.url())
    await late.execute("SET synchronous_commit = on")
    committing = asyncio.create_task(late.execute(statement))
    try:
        async with asyncio.timeout(20):
            pid = late.get_server_pid()
            while await admin.fetchval("SELECT wait_event FROM pg_stat_activity WHERE pid = $1", pid) != "SyncRep":
                await asyncio.sleep(0.02)
        yield
    finally:
        await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await admin.execute("SELECT pg_reload_conf()")
        await committing
        await late.close()


async def cut_over(server: EmbeddedPostgres) -> tuple[CutOver, Rows]:
    """The snapshot, and what it holds."""
    loader = await source_of(server).connect()
    try:
        await loader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        point = await export_point(loader)
        return point, Counter(tuple(row) for row in await loader.fetch("SELECT id FROM s.t"))
    finally:
        loader.terminate()


async def by_the_reader(server: EmbeddedPostgres, admin: asyncpg.Connection, point: CutOver, loaded: Rows) -> Rows:
    """What the load and the stream make of the table where the capture leaves out what the load has seen."""
    (table,) = await captured(admin, "s.t", filter=point.filter())
    capturing = await all_of_it(server, admin, table)
    model = Model([table])
    model.rows[0] = list(loaded.elements())
    for head, body in capturing.bodies():
        model.apply(head, body)
    return model.as_counted(0)


async def by_the_writer(server: EmbeddedPostgres, admin: asyncpg.Connection, point: CutOver, loaded: Rows) -> Rows:
    """The same where the lane's owner does; rows are inserted only."""
    (table,) = await captured(admin, "s.t")
    capturing = await all_of_it(server, admin, table)
    seen, found = Seen.of(str(point.visible), point.lsn), Counter(loaded)
    for _, body in capturing.bodies():
        for _, rows in body.tables:
            keep = np.nonzero(~seen.mask(rows.xid, rows.lsn))[0]
            found.update((rows.columns[0][int(i)].as_py(),) for i in keep)
    return found


async def all_of_it(server: EmbeddedPostgres, admin: asyncpg.Connection, table: CapturedTable) -> Capturing:
    async with await ChangeStream.open(source_of(server), OPTIONS) as stream:
        capturing = Capturing.of(stream, [table])
        await capturing.until(int(await admin.fetchval("SELECT (pg_current_wal_lsn() - '0/0')::bigint")))
    return capturing


async def stored(admin: asyncpg.Connection) -> Rows:
    return Counter(tuple(row) for row in await admin.fetch("SELECT id FROM s.t"))


async def test_a_commit_that_is_written_and_not_visible_yet_comes_by_the_stream(
    server: EmbeddedPostgres, admin: asyncpg.Connection
) -> None:
    await settled(admin, 20)
    await admin.execute("INSERT INTO s.t VALUES (1)")
    async with late_commit(server, admin, "INSERT INTO s.t VALUES (2)"):
        await admin.execute("INSERT INTO s.t VALUES (3)")
        point, loaded = await cut_over(server)
    await admin.execute("INSERT INTO s.t VALUES (4)")
    assert set(loaded) == {(1,), (3,)}
    (table,) = await captured(admin, "s.t")
    commits = [
        int(rows.lsn[0]) for _, body in (await all_of_it(server, admin, table)).bodies() for _, rows in body.tables
    ]
    assert sum(lsn < point.lsn for lsn in commits) >= 1
    assert await by_the_reader(server, admin, point, loaded) == await stored(admin)
    assert await by_the_writer(server, admin, point, loaded) == await stored(admin)


async def test_a_snapshot_waits_for_a_commit_that_is_written_and_may_lie_before_its_slot(
    server: EmbeddedPostgres, admin: asyncpg.Connection
) -> None:
    async with late_commit(server, admin, "INSERT INTO s.t VALUES (1)"):
        with pytest.raises(TransientError, match="running since before"):
            await settled(admin, 0.3)
    await settled(admin, 20)
    assert set((await cut_over(server))[1]) == {(1,)}


async def test_transaction_ids_that_come_round_between_the_slot_and_the_snapshot_keep_their_order() -> None:
    with tempfile.TemporaryDirectory(prefix="tailrace-wrap-") as directory:
        folder = Path(directory)
        folder.chmod(0o711)
        with EmbeddedPostgres(folder / "postgres", fsync=False) as server:
            bring_near_the_wrap(server, 300)
            admin = await asyncpg.connect(server.url())
            running = await asyncpg.connect(server.url())
            try:
                await admin.execute("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY)")
                await ensure_publication(admin, "tr_p", [table_name("s.t")])
                await create_slot(admin, "tr_slot")
                await settled(admin, 20)
                await admin.execute("INSERT INTO s.t VALUES (1)")
                await running.execute("BEGIN; INSERT INTO s.t VALUES (2)")
                await burn_past_the_wrap(admin)
                await admin.execute("INSERT INTO s.t VALUES (3)")
                point, loaded = await cut_over(server)
                await running.execute("COMMIT")
                await admin.execute("INSERT INTO s.t VALUES (4)")
                assert point.visible.xmin // WRAP < point.visible.xmax // WRAP
                assert set(loaded) == {(1,), (3,)}
                assert await by_the_reader(server, admin, point, loaded) == await stored(admin)
                assert await by_the_writer(server, admin, point, loaded) == await stored(admin)
            finally:
                running.terminate()
                admin.terminate()
