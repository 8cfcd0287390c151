"""Planning and the plan's DDL with minimal grants, as docs/privileges.md lists them; without one, the plan names it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from support.catalogues import errors, job, plan
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import PlanResult
from tailrace_shared.postgres import connect

SCHEMA = """\
CREATE ROLE shop_owner;
CREATE ROLE reading LOGIN PASSWORD 'r';
CREATE ROLE writing LOGIN PASSWORD 'w';
CREATE ROLE respecting LOGIN PASSWORD 'p';
CREATE SCHEMA shop AUTHORIZATION shop_owner;
SET ROLE shop_owner;
CREATE TABLE shop.customer (id serial PRIMARY KEY, name text);
CREATE TABLE shop.orders (id int PRIMARY KEY, customer int REFERENCES shop.customer, boss int);
CREATE INDEX orders_customer ON shop.orders (customer);
CREATE TABLE shop.secret (id int PRIMARY KEY);
ALTER TABLE shop.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY none ON shop.secret USING (false);
CREATE TABLE shop.empty (id int);
RESET ROLE;
"""
READING = "GRANT USAGE ON SCHEMA shop TO reading; GRANT SELECT ON shop.customer, shop.orders, shop.empty TO reading;"
WRITING = """\
GRANT USAGE, CREATE ON SCHEMA shop TO writing; GRANT CREATE ON DATABASE shop TO writing; GRANT shop_owner TO writing;
"""
RESPECTING = """\
GRANT USAGE ON SCHEMA shop TO respecting; CREATE SCHEMA tailrace AUTHORIZATION respecting;
GRANT SELECT, INSERT, TRUNCATE ON shop.customer, shop.orders TO respecting;
GRANT SELECT, TRUNCATE ON shop.empty TO respecting; GRANT SELECT, UPDATE ON SEQUENCE shop.customer_id_seq TO respecting;
"""
RULES = """\
policy: mask
schemas: [shop]
destination: {url: "${D}", mode: truncate, constraints: %s}
tables: {shop.secret: {mode: exclude}, shop.empty: {mode: truncate}}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-privileges-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            postgres.create_database("shop")
            postgres.run_sql(SCHEMA, "shop")
            yield postgres


async def planned(server: EmbeddedPostgres, writer: str, constraints: str) -> PlanResult:
    """Reads both sides as minimal roles; the destination's is the same database here."""
    passwords = {"reading": "r", "writing": "w", "respecting": "p"}
    found = []
    rules = RULES % constraints
    for role in ("reading", writer):
        connection = await connect(SecretStr(server.url("shop", role, passwords[role])), "tailrace/test")
        try:
            found.append(await read_catalogue(connection, ["shop"], ask_rows=role != "reading"))
            if role == "reading":
                facts = await gather_facts(connection, job(rules), found[0])
        finally:
            await connection.close()
    return plan(rules, found[0], found[1], facts)


async def test_without_grants_every_one_that_is_missing_is_named_and_with_them_the_plan_stands(
    server: EmbeddedPostgres,
) -> None:
    refused = await planned(server, "writing", "bypass")
    assert {c for c, _ in errors(refused)} == {"plan.privilege"}
    grants = {p.remedy for p in refused.problems}
    assert 'GRANT USAGE ON SCHEMA "shop" TO "reading";' in grants
    assert 'GRANT SELECT ON "shop"."orders" TO "reading";' in grants
    assert 'GRANT SELECT, INSERT, TRUNCATE ON "shop"."orders" TO "writing";' in grants
    assert 'GRANT SELECT, TRUNCATE ON "shop"."empty" TO "writing";' in grants
    assert 'GRANT CREATE ON DATABASE "shop" TO "writing";' in grants
    assert 'GRANT CREATE ON SCHEMA "shop" TO "writing"; or use constraints: respect.' in grants
    server.run_sql(READING + WRITING + RESPECTING, "shop")
    for writer, constraints in (("writing", "bypass"), ("respecting", "respect")):
        result = await planned(server, writer, constraints)
        assert errors(result) == []


async def test_the_bypassing_role_can_carry_out_the_plan_s_ddl(server: EmbeddedPostgres) -> None:
    server.run_sql(READING + WRITING, "shop")
    result = await planned(server, "writing", "bypass")
    assert result.plan
    connection = await connect(SecretStr(server.url("shop", "writing", "w")), "tailrace/test")
    try:
        for step in result.plan.ddl:
            await connection.execute(step.drop)
        for step in result.plan.ddl:
            for statement in step.rebuild:
                await connection.execute(statement)
        assert await connection.fetchval(
            "SELECT convalidated FROM pg_constraint WHERE conname = 'orders_customer_fkey'"
        )
    finally:
        await connection.close()


async def test_a_policy_that_hides_rows_is_refused_for_the_source(server: EmbeddedPostgres) -> None:
    server.run_sql("GRANT USAGE ON SCHEMA shop TO reading; GRANT SELECT ON shop.secret TO reading", "shop")
    connection = await connect(SecretStr(server.url("shop", "reading", "r")), "tailrace/test")
    try:
        found = await read_catalogue(connection, ["shop"], ask_rows=True)
        secret = next(t for t in found.tables if t.name.name == "secret")
        assert secret.row_security
        assert secret.has_rows is None, "asking would be an error"
    finally:
        await connection.close()


@pytest.fixture
async def superuser(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(SecretStr(server.url("shop")), "tailrace/test")
    yield connection
    await connection.close()


async def test_the_replica_role_is_seen_where_it_is_granted(
    server: EmbeddedPostgres, superuser: asyncpg.Connection
) -> None:
    assert (await read_catalogue(superuser, ["shop"])).can_replicate
    server.run_sql("CREATE ROLE replicating LOGIN PASSWORD 'x'", "shop")
    for grant, expected in (("", False), ("GRANT SET ON PARAMETER session_replication_role TO replicating", True)):
        server.run_sql(grant or "SELECT 1", "shop")
        connection = await connect(SecretStr(server.url("shop", "replicating", "x")), "tailrace/test")
        assert (await read_catalogue(connection, ["shop"])).can_replicate is expected
        await connection.close()
