"""Well-known databases, where their dumps are at hand: planned under the policy mask, and their DDL carried out and back."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from support.catalogues import errors, job, plan
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.postgres import connect

DATA = [Path(os.environ.get("TAILRACE_TEST_DATA", "")), Path(__file__).parents[3] / "shared" / "data"]
FOLDER = next((d / "databases" for d in DATA if (d / "databases").is_dir()), None)
MASK = 'policy: mask\ndestination: {url: "${D}", mode: truncate}\n'
RULES = {
    # What no mask covers: NOT NULL booleans and a tsvector, and dates that partition or are part of a unique index.
    "pagila": MASK + "tables:\n"
    "  public.customer: {columns: {activebool: duplicate}}\n"
    "  public.film: {columns: {fulltext: duplicate, release_year: duplicate}}\n"
    "  public.staff: {columns: {active: duplicate}}\n"
    "  public.payment: {columns: {payment_date: duplicate}}\n"
    "  public.rental: {columns: {rental_date: duplicate}}\n",
    "chinook": MASK,
    "northwind": MASK,
    "synthea_small": MASK,
}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-databases-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            yield postgres


@pytest.mark.skipif(FOLDER is None, reason="no dumps: set TAILRACE_TEST_DATA")
@pytest.mark.parametrize("database", sorted(RULES))
async def test_a_database_is_planned_and_what_bypass_drops_comes_back(server: EmbeddedPostgres, database: str) -> None:
    assert FOLDER is not None
    server.create_database(database)
    with gzip.open(FOLDER / f"{database}.sql.gz", "rt") as dump:
        server.run_sql(dump.read(), database)
    connection = await connect(SecretStr(server.url(database)), "tailrace/test")
    try:
        found = await read_catalogue(connection, ["public"], ask_rows=True)
        facts = await gather_facts(connection, job(RULES[database]), found)
        result = plan(RULES[database], found, found, facts)
        assert errors(result) == []
        assert result.plan
        for step in result.plan.ddl:
            await connection.execute(step.drop)
        for step in result.plan.ddl:
            for statement in step.rebuild:
                await connection.execute(statement)
        after = await read_catalogue(connection, ["public"], ask_rows=True)
        assert after.foreign_keys == found.foreign_keys
        assert [(t.name, t.indexes, t.triggers) for t in after.tables] == [
            (t.name, t.indexes, t.triggers) for t in found.tables
        ]
    finally:
        await connection.close()
