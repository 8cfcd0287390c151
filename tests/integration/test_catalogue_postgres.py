"""The catalogue of a real PostgreSQL, and a plan's DDL carried out on it: dropped, and back exactly as it was."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from support.catalogues import job, plan
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.model import Catalogue, TableName
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import Plan
from tailrace_shared.postgres import connect

CORNER_CASES = Path(__file__).with_name("catalogue_corner_cases.sql")
SCHEMAS = ("public", "Odd Schema")
RULES = """\
policy: pass
schemas: [public, Odd Schema]
destination: {url: "${D}", mode: truncate}
tables:
  public.base: {mode: exclude}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-catalogue-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            postgres.create_database("corners")
            postgres.run_sql(CORNER_CASES, "corners")
            yield postgres


@pytest.fixture
async def session(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(SecretStr(server.url("corners")), "tailrace/test")
    yield connection
    await connection.close()


def without_identity(found: Catalogue) -> Catalogue:
    """What must come back: everything but file numbers and sizes."""
    tables = [
        t.model_copy(
            update={
                "oid": 0, "filenode": 0, "pages": 0, "bytes": 0, "rows": 0,
                "indexes": tuple(sorted(t.indexes, key=lambda i: (str(i.on), i.name))), "partitions": (),
            }
        )
        for t in found.tables
    ]  # fmt: skip
    return found.model_copy(update={"tables": tuple(tables)})


async def test_columns_are_resolved_through_domains_to_family_and_limits(session: asyncpg.Connection) -> None:
    found = await read_catalogue(session, SCHEMAS, ask_rows=True)
    odd = found.table(TableName(schema_name="Odd Schema", name='Wei"rd Table'))
    assert odd is not None
    kinds = {c.name: (c.type.base, c.type.family, c.type.length, c.type.precision, c.type.scale) for c in odd.columns}
    assert kinds["a column"] == ("numeric", "number", None, 12, 3)
    assert kinds["code"] == ("varchar", "text", 12, None, None)
    assert kinds["at"] == ("timestamptz", "timestamptz", None, None, 3)
    assert kinds["tags"][:2] == ("_text", "other")
    code, email, mood, doubled = (odd.column(c) for c in ("code", "email", "mood", "doubled"))
    assert code
    assert (code.nullable, code.has_default, code.type.name) == (False, True, "public.shorter")
    assert email
    assert email.type.folded
    assert mood
    assert mood.type.enum == ("sad", "ok", "happy")
    assert doubled
    assert doubled.generated == "s"
    assert [(c.name, c.columns, c.domain) for c in odd.checks] == [
        ("positive one", ("a column",), ""), ("shorter_check", ("code",), "public.shorter"),
    ]  # fmt: skip
    assert odd.has_rows is False


async def test_partitions_keys_sequences_and_triggers_are_all_there(session: asyncpg.Connection) -> None:
    found = await read_catalogue(session, ["public"])
    event, account = (found.table(TableName(schema_name="public", name=n)) for n in ("event", "account"))
    assert event
    assert account
    assert [str(p.name) for p in event.partitions] == [
        "Odd Schema.event_2026",
        "public.event_2025_eu",
        "public.event_2025_us",
    ]
    assert event.partition_columns == ("day", "region")
    assert [k.name for k in found.foreign_keys] == ["weird_fk", "event_account", "event_tag_event", "late_account"] or {
        k.name for k in found.foreign_keys
    } >= {"weird_fk", "event_account", "event_tag_event", "late_account"}
    assert found.table(TableName(schema_name="Odd Schema", name='Wei"rd Table')), (
        "a key's other side, outside the schemas"
    )
    assert {t.name: t.enabled for t in account.triggers} == {
        "Account Always": "A", "account_off": "D", "account_replica": "R", "account_touch": "O",
    }  # fmt: skip
    assert {(t.name, t.on and t.on.name, t.enabled) for t in event.triggers} == {
        ("event_touch", None, "O"), ("event_off", None, "D"), ("event_touch", "event_2025_us", "D"),
        ("event_off", "event_2025", "O"), ("event_off", "event_2026", "O"),
    }  # fmt: skip
    (stay,) = (k for k in found.foreign_keys if k.name == "stay_account")
    assert ['ADD CONSTRAINT "Own" FOREIGN KEY' in part for part in stay.parts] == [True, True]
    assert ("account_id_seq", "id") in [(s.name, s.owner_column) for s in found.sequences]
    team = next(i for i in account.indexes if i.name == "account_team_nick")
    assert (team.nulls_not_distinct, team.predicate, team.unique) == (True, "(team > 0)", True)
    base = found.table(TableName(schema_name="public", name="base"))
    assert base
    assert [str(t) for t in base.inherited_by] == ["public.derived"]


async def test_reading_leaves_the_session_as_it_was_and_works_inside_a_snapshot(session: asyncpg.Connection) -> None:
    before = await session.fetchval("SHOW search_path")
    async with session.transaction(isolation="repeatable_read", readonly=True):
        found = await read_catalogue(session, SCHEMAS)
        await gather_facts(session, job(RULES), found)
        assert await session.fetchval("SELECT 1") == 1
    assert await session.fetchval("SHOW search_path") == before
    assert await session.fetchval("SHOW statement_timeout") == "0"


async def planned(session: asyncpg.Connection, rules: str) -> tuple[Catalogue, Plan]:
    found = await read_catalogue(session, SCHEMAS, ask_rows=True)
    result = plan(rules, found, found, await gather_facts(session, job(rules), found))
    assert result.plan, result.problems
    return found, result.plan


@pytest.mark.parametrize("times", [1, 2])
async def test_what_bypass_drops_comes_back_exactly_even_when_every_statement_is_repeated(
    session: asyncpg.Connection, times: int
) -> None:
    before, made = await planned(session, RULES)
    assert {s.kind for s in made.ddl} == {"index", "foreign-key", "trigger"}
    for step in made.ddl:
        for _ in range(times):
            await session.execute(step.drop)
    bare = await read_catalogue(session, SCHEMAS)
    assert bare.foreign_keys == ()
    assert not any(i.droppable for t in bare.tables for i in t.indexes if t.kind != "m")
    for step in made.ddl:
        for statement in step.rebuild:
            for _ in range(times):
                await session.execute(statement)
    after = await read_catalogue(session, SCHEMAS, ask_rows=True)
    assert without_identity(after) == without_identity(before)
    assert after.server_version < 180000 or all(k.validated for k in after.foreign_keys if k.name != "late_account")


async def test_500_tables_are_read_and_planned_in_seconds(server: EmbeddedPostgres) -> None:
    server.create_database("many")
    server.run_sql(
        "SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, up int %s, a text UNIQUE, b date)', n,"
        " CASE WHEN n > 1 THEN format('REFERENCES t%s', n - 1) END) FROM generate_series(1, 500) n \\gexec",
        "many",
    )
    connection = await connect(SecretStr(server.url("many")), "tailrace/test")
    try:
        start = time.monotonic()
        found = await read_catalogue(connection, ["public"], ask_rows=True)
        result = plan("policy: mask", found, found, await gather_facts(connection, job("policy: mask"), found))
        assert result.plan
        assert len(result.plan.tables) == 500
        assert time.monotonic() - start < 20.0, "a machine under load takes a few seconds"
        assert len(result.plan.encode()) < 1 << 20
    finally:
        await connection.close()
