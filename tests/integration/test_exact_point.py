"""A snapshot that is a prefix of the WAL: what it sees are the commits below its point, and its slot does not stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from pydantic import SecretStr

from support.databases import Pair
from support.following import let_follow
from tailrace_reader.capture.exact import exact_point
from tailrace_reader.snapshot import SourceServer, reading_connection
from tailrace_shared.errors import TransientError

pytestmark = pytest.mark.timeout(120)
TABLE = "CREATE TABLE written (id int PRIMARY KEY);"
SLOT = "exact_point_test"
CHANGES = (
    "SELECT xid::text::bigint AS xid, (lsn - '0/0')::bigint AS lsn, data FROM "
    f"pg_logical_slot_get_changes('{SLOT}', NULL, NULL)"
)
DEADLINE_S = 30.0


async def _write(url: str, first: int, step: int, stop: asyncio.Event) -> None:
    connection = await asyncpg.connect(url)
    try:
        number = first
        while not stop.is_set():
            await connection.execute("INSERT INTO written VALUES ($1)", number)
            number += step
    finally:
        await connection.close()


async def _look(pair: Pair, server: SourceServer) -> tuple[set[int], int, list[asyncpg.Record], int]:
    owner = await asyncpg.connect(pair.source_url)
    stop = asyncio.Event()
    writers = [asyncio.create_task(_write(pair.source_url, n, 4, stop)) for n in range(4)]
    try:
        await asyncio.sleep(0.2)
        holder, point = await exact_point(server, "verify 1")
        reading = await reading_connection(server, holder)
        seen = {row[0] for row in await reading.fetch("SELECT id FROM written")}
        reading.terminate()
        holder.release()
        left = await owner.fetchval("SELECT count(*) FROM pg_replication_slots WHERE temporary")
        stop.set()
        await asyncio.gather(*writers)
        return seen, point, await owner.fetch(CHANGES), left
    finally:
        stop.set()
        await asyncio.gather(*writers, return_exceptions=True)
        await owner.close()


def test_the_snapshot_holds_the_commits_below_its_point_while_others_write(new_pair: Callable[..., Pair]) -> None:
    pair = new_pair("exactpoint", TABLE)
    let_follow(pair)
    server = SourceServer(SecretStr(pair.source_url), "test", "SOURCE_URL")
    pair.source.run_sql(f"SELECT pg_create_logical_replication_slot('{SLOT}', 'test_decoding')", pair.name)
    try:
        seen, point, changes, left = asyncio.run(_look(pair, server))
    finally:
        pair.source.run_sql(f"SELECT pg_drop_replication_slot('{SLOT}')", pair.name)
    # test_decoding gives a change the LSN of its own record and a COMMIT that of the record's end.
    commits = {row["xid"]: row["lsn"] for row in changes if row["data"].startswith("COMMIT")}
    inserts = [row for row in changes if "INSERT" in row["data"]]
    assert len(inserts) > len(seen) > 0
    below = {int(row["data"].rsplit(":", 1)[1]) for row in inserts if commits[row["xid"]] <= point}
    assert below == seen
    assert left == 0


def test_a_transaction_that_does_not_end_is_said_and_nothing_is_left(
    new_pair: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = new_pair("exactlong", TABLE)
    let_follow(pair)
    server = SourceServer(SecretStr(pair.source_url), "test", "SOURCE_URL")
    monkeypatch.setattr("tailrace_reader.capture.exact.SETTLE_S", 1.0)

    async def attempt() -> int:
        long = await asyncpg.connect(pair.source_url)
        try:
            async with long.transaction():
                await long.execute("INSERT INTO written VALUES (1)")
                with pytest.raises(TransientError, match="has been running"):
                    await exact_point(server, "verify 1")
                return int(await long.fetchval("SELECT count(*) FROM pg_replication_slots WHERE temporary"))
        finally:
            await long.close()

    assert asyncio.run(attempt()) == 0
