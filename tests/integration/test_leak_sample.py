"""The leak scan's sample: bounded in values and in bytes before it leaves the server."""

from __future__ import annotations

import asyncpg

from support.writing import Database
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.verify import queries


async def test_wide_values_make_the_sample_smaller(destination: EmbeddedPostgres) -> None:
    database = Database(destination)
    database.create("CREATE TABLE wide (v text)")
    query = queries.sample(TableName(schema_name="public", name="wide"), "v")
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(
            "INSERT INTO wide SELECT lpad(i::text, 96, 'ä') FROM generate_series(1, 50) i, generate_series(1, 2); "
            "INSERT INTO wide VALUES (NULL)"
        )
        every = [row["v"] for row in await connection.fetch(query, 1000, 1 << 20)]
        assert len(every) == len(set(every)) == 50
        assert [row["v"] for row in await connection.fetch(query, 7, 1 << 20)] == every[:7]
        few = [row["v"] for row in await connection.fetch(query, 1000, 1000)]
        assert few == every[: len(few)]
        assert sum(len(v.encode()) + queries.VALUE_BYTES for v in few) <= 1000
        assert len(few) == 5
        assert await connection.fetch(query, 1000, 100) == []
    finally:
        await connection.close()
