"""The schema ``tailrace`` comes to newer versions, whoever tries, and a writer that is older than it says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from support.writing import Database
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.errors import TerminalError
from tailrace_writer.state.migrations import OLDEST, STEPS, Step, migrate, newest, version_of

NEXT = (
    *STEPS,
    Step(newest() + 1, "ALTER TABLE tailrace.run ADD colour text NOT NULL DEFAULT 'blue'; CREATE INDEX ON tailrace.run (colour)"),
    Step(newest() + 2, "CREATE TABLE tailrace.colour AS SELECT DISTINCT colour FROM tailrace.run"),
)  # fmt: skip


@pytest.fixture
def database(destination: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database(destination)
    made.create("CREATE TABLE t (id int)")
    monkeypatch.setenv("DESTINATION_URL", made.url)
    return made


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    made = await database.destination().connect()
    yield made
    await made.close()


def test_steps_follow_each_other_without_a_gap() -> None:
    assert [step.version for step in STEPS] == list(range(OLDEST + 1, newest() + 1))


async def test_a_schema_that_is_made_anew_is_of_the_newest_version(connection: asyncpg.Connection) -> None:
    assert await version_of(connection) == newest()
    await migrate(connection)


async def test_every_step_is_taken_once_however_many_writers_try(
    database: Database, connection: asyncpg.Connection
) -> None:
    await database.submit(connection)
    others = [await database.destination(f"writer-{n}").connect() for n in range(4)]
    await asyncio.gather(*(migrate(other, NEXT) for other in others))
    for other in others:
        await other.close()
    assert await version_of(connection) == newest() + 2
    assert await connection.fetchval("SELECT colour FROM tailrace.run") == "blue"
    assert await connection.fetchval("SELECT count(*) FROM tailrace.colour") == 1
    await migrate(connection, NEXT)


async def test_a_step_that_fails_changes_nothing_and_is_taken_again(connection: asyncpg.Connection) -> None:
    broken = (*NEXT[:-1], Step(newest() + 2, "CREATE TABLE tailrace.half (a int); SELECT 1 / 0"))
    with pytest.raises(TerminalError):
        await migrate(connection, broken)
    assert await version_of(connection) == newest() + 1
    assert not await connection.fetchval("SELECT to_regclass('tailrace.half') IS NOT NULL")
    await migrate(connection, NEXT)
    assert await version_of(connection) == newest() + 2


async def test_a_writer_that_is_older_than_the_schema_says_so_and_leaves_it_alone(
    database: Database, connection: asyncpg.Connection
) -> None:
    await migrate(connection, NEXT)
    with pytest.raises(TerminalError) as refused:
        await database.destination("writer-old").connect()
    assert refused.value.code == "state.version"
    assert f"version {newest() + 2}, this writer knows {newest()}" in refused.value.message
    assert "newer" in refused.value.remedy
    assert await version_of(connection) == newest() + 2


async def test_a_schema_older_than_any_step_is_refused(database: Database, connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE tailrace.version SET version = 1")
    with pytest.raises(TerminalError) as refused:
        await database.destination("writer-new").connect()
    assert refused.value.code == "state.version"
    assert "drop the schema" in refused.value.remedy


async def test_a_role_that_does_not_own_the_schema_is_told_who_must_change_it(
    database: Database, destination: EmbeddedPostgres, connection: asyncpg.Connection
) -> None:
    other = f"{database.name}_other"
    destination.run_sql(
        f"CREATE ROLE {other} LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA tailrace TO {other}; "
        f"GRANT ALL ON ALL TABLES IN SCHEMA tailrace TO {other};",
        database.name,
    )
    session = await asyncpg.connect(destination.url(database.name, other, "pw"))
    try:
        with pytest.raises(TerminalError) as refused:
            await migrate(session, NEXT)
    finally:
        await session.close()
    assert refused.value.code == "state.migration"
    assert database.name in refused.value.message
    assert await version_of(connection) == newest()
