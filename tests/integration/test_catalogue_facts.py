"""What planning asks the source: exact where a proof needs it, sampled where a warning is enough, never for ever."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from support.catalogues import job, plan, warnings
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.plan import facts as module
from tailrace_shared.plan.facts import SourceFacts, gather_facts
from tailrace_shared.postgres import connect

SCHEMA = """\
CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE, note text);
INSERT INTO users SELECT n, 'u' || n % 900 || '@x', CASE WHEN n = 7 THEN ' -- ' ELSE 'Grüße ' || n END
  FROM generate_series(1, 900) n;
CREATE TABLE post (id bigint PRIMARY KEY, author int REFERENCES users, body text, amount numeric(20));
INSERT INTO post SELECT n, n, repeat(md5(n::text), 40000), n FROM generate_series(1, 20) n;
ALTER TABLE post ALTER body SET STORAGE EXTERNAL;
INSERT INTO post SELECT n, n, repeat(md5(n::text), 60000), n FROM generate_series(21, 30) n;
CREATE TABLE wide_key (id numeric(30) PRIMARY KEY);
INSERT INTO wide_key VALUES (5), (1e29::numeric), ('NaN'), (77);
CREATE TABLE narrow (wide int REFERENCES wide_key);
CREATE TABLE parts (id int, at date, text text) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO parts VALUES (1, '2025-05-05', 'x'), (2, '2026-05-05', '***');
CREATE ROLE nobody_much LOGIN PASSWORD 'n';
GRANT SELECT ON ALL TABLES IN SCHEMA public TO nobody_much;
REVOKE SELECT ON users FROM nobody_much;
"""
RULES = (
    "policy: mask\ntables: {public.users: {columns: {email: mock.email}}, public.parts: {columns: {at: duplicate}}}\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-facts-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            postgres.create_database("facts")
            postgres.run_sql(SCHEMA, "facts")
            yield postgres


@pytest.fixture
async def session(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(SecretStr(server.url("facts")), "tailrace/test")
    yield connection
    await connection.close()


async def test_counts_largest_keys_widths_and_unchangeable_text(session: asyncpg.Connection) -> None:
    found = await read_catalogue(session, ["public"])
    limited = job(RULES + "limits: {message_bytes: 65536}")
    await session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")  # by a statement, as the readers do
    facts = await gather_facts(session, limited, found)
    assert session.is_in_transaction()
    await session.execute("ROLLBACK")
    assert facts.distinct == {"public.users.email": 900}
    assert facts.largest["public.users.id"] == 900
    assert facts.largest["public.post.id"] == 30
    assert facts.largest["public.wide_key.id"] == 77, "joined with integers: neither NaN nor what no integer reaches"
    assert facts.no_integers == {"public.wide_key.id": 2}, "NaN, and beyond bigint"
    assert "public.post.author" not in facts.largest, "it repeats the root's values"
    assert facts.widest_bytes["public.post"] > 1_900_000
    assert facts.unchangeable == {"public.users.note", "public.parts.text"}
    told = warnings(plan(RULES + "limits: {message_bytes: 65536}", found, found, facts))
    assert ("plan.unchangeable-text", "public.users.note") in told
    assert ("plan.wide-row", "public.post") in told


async def test_a_question_that_takes_too_long_is_dropped_and_the_transaction_goes_on(
    server: EmbeddedPostgres, session: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUESTION_MS", 100)
    found = await read_catalogue(session, ["public"])
    other = await connect(SecretStr(server.url("facts")), "tailrace/test")
    blocking = other.transaction()
    await blocking.start()
    await other.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    try:
        async with session.transaction():
            facts = await asyncio.wait_for(gather_facts(session, job(RULES), found), 20)
            assert await session.fetchval("SELECT 1") == 1
    finally:
        await blocking.rollback()
        await other.close()
    assert facts.distinct == {}
    assert facts.largest["public.post.id"] == 30


async def test_all_questions_together_end_at_their_deadline(
    session: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALL_QUESTIONS_S", 0.0)
    assert await gather_facts(session, job(RULES), await read_catalogue(session, ["public"])) == SourceFacts()


async def test_a_role_that_may_not_read_a_table_is_not_asked_about_it(server: EmbeddedPostgres) -> None:
    connection = await connect(SecretStr(server.url("facts", "nobody_much", "n")), "tailrace/test")
    try:
        found = await read_catalogue(connection, ["public"])
        facts = await gather_facts(connection, job(RULES), found)
        assert facts.distinct == {}
        result = plan(RULES, found, found.model_copy(update={"privileges": {}}), facts)
        assert 'GRANT SELECT ON "public"."users" TO "nobody_much";' in {p.remedy for p in result.problems}
    finally:
        await connection.close()
