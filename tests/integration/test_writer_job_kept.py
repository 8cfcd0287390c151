"""A submitted job comes out of the state tables as it went in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import asyncpg
import pytest

from support.writing import RUN, Database, job
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.job.spec import Job, TableRule
from tailrace_shared.messages import RunSubmitted
from tailrace_writer.state.facts import apply_fact
from tailrace_writer.state.schema import ensure_schema


@pytest.fixture(scope="module")
def database(destination: EmbeddedPostgres) -> Database:
    made = Database(destination)
    made.create("SELECT 1")
    return made


def test_patterns_keep_their_order_since_the_first_one_counts(database: Database) -> None:
    patterns = {
        "public.zzz_log_*": TableRule(mode="exclude"),
        "public.*": TableRule(),
        "a.*": TableRule(mode="truncate"),
    }
    submitted = job().model_copy(update={"tables": patterns})

    async def round_trip() -> Job:
        connection = await asyncpg.connect(database.url)
        try:
            await ensure_schema(connection)
            await apply_fact(connection, RunSubmitted(run=RUN, job=submitted, at=datetime.now(UTC)))
            return Job.model_validate_json(
                await connection.fetchval("SELECT job FROM tailrace.run WHERE run = $1", RUN)
            )
        finally:
            await connection.close()

    kept = asyncio.run(round_trip())
    assert list(kept.tables) == list(patterns)
    assert kept == submitted
