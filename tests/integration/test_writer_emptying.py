"""Tables are emptied together, also where PostgreSQL refuses to truncate them, and planning knows when that is."""

from __future__ import annotations

import asyncpg
import pytest

from support.catalogues import planned
from support.writing import Database
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.privileges import truncate_refuses
from tailrace_writer.emptying import empty

LOOSE = "REFERENCES parent NOT ENFORCED"
CASES = {
    "the only key of a table": (f"CREATE TABLE child (id int, up int {LOOSE})", True),
    "not its only key": (f"CREATE TABLE child (id int, up int {LOOSE}, upper int REFERENCES parent)", False),
    "a table with a trigger": (
        f"CREATE TABLE child (id int, up int {LOOSE}); "
        "CREATE TRIGGER told BEFORE UPDATE ON child FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        False,
    ),
}
TABLES = "CREATE TABLE top (id int PRIMARY KEY); CREATE TABLE parent (id int PRIMARY KEY REFERENCES top);"
ROWS = "INSERT INTO top VALUES (1); INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1);"


@pytest.mark.parametrize("case", CASES)
async def test_a_key_that_is_not_enforced_makes_truncate_refuse_where_planning_says_so(
    destination: EmbeddedPostgres, case: str
) -> None:
    child, refused = CASES[case]
    database = Database(destination)
    database.create(f"{TABLES} {child}; {ROWS.replace('(1, 1)', '(1)')}")
    connection = await asyncpg.connect(database.url)
    try:
        found = await read_catalogue(connection, ["public"])
        tables = planned("tables: {public.*: {mode: duplicate}}", found).tables
        assert truncate_refuses(tables, found, {}) is refused
        names = [f"public.{name}" for name in ("top", "parent", "child")]
        async with connection.transaction():
            await empty(connection, names)
        assert [await connection.fetchval(f"SELECT count(*) FROM {name}") for name in names] == [0, 0, 0]
        if refused:
            with pytest.raises(asyncpg.FeatureNotSupportedError):
                await connection.execute(f"TRUNCATE {', '.join(names)}")
        else:
            await connection.execute(f"TRUNCATE {', '.join(names)}")
    finally:
        await connection.close()


@pytest.mark.parametrize("granted", [False, True], ids=["without the replica role", "with it"])
@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "NO ACTION"])
async def test_a_row_of_a_table_that_is_left_alone_keeps_everything_as_it_is(
    destination: EmbeddedPostgres, action: str, granted: bool
) -> None:
    database = Database(destination)
    database.create(
        f"{TABLES} CREATE TABLE theirs (up int REFERENCES parent ON DELETE {action}); "
        "INSERT INTO top VALUES (1); INSERT INTO parent VALUES (1); INSERT INTO theirs VALUES (1);"
    )
    if granted:
        destination.run_sql(f"GRANT SET ON PARAMETER session_replication_role TO {database.name}")
    connection = await asyncpg.connect(database.url)
    names = ["ONLY public.top", "ONLY public.parent"]
    try:
        with pytest.raises(TerminalError, match=r"rows of public\.theirs.*theirs_up_fkey") as refused:
            async with connection.transaction():
                await empty(connection, names)
        assert refused.value.code == "prepare.outside-rows"
        for name in ("top", "parent", "theirs"):
            assert [tuple(row) for row in await connection.fetch(f"SELECT * FROM {name}")] == [(1,)]
        await connection.execute("DELETE FROM theirs")
        async with connection.transaction():
            await empty(connection, names)
        assert await connection.fetchval("SELECT count(*) FROM parent") == 0
    finally:
        await connection.close()
