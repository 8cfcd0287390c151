"""Tables are emptied together, also where PostgreSQL refuses to truncate them, and planning knows when that is."""

from __future__ import annotations

import asyncpg
import pytest

from support.catalogues import planned
from support.writing import Database
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.postgres import read_catalogue
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
