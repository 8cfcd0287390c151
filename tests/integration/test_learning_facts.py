"""What planning asks PostgreSQL of tables that are to be learned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg

from support.databases import Pair
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.job.load import parse_job
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.learning_facts import LearningFacts

SCHEMA = """
CREATE TABLE empty (id int PRIMARY KEY, a int);
CREATE TABLE small (id int PRIMARY KEY, a int);
CREATE TABLE enough (id int PRIMARY KEY, doc jsonb, same jsonb, void jsonb, "Net " inet, tags text[], paid money, left_out jsonb);
CREATE TABLE saved (id int PRIMARY KEY, doc jsonb);
"""
ROWS = """
INSERT INTO small SELECT n, n FROM generate_series(1, 64) n;
INSERT INTO enough SELECT n, jsonb_build_object('n', n), '{}', NULL, '10.0.0.1'::inet + n, ARRAY[n::text], n::money,
    jsonb_build_object('n', n) FROM generate_series(1, 200) n;
"""
JOB = """
name: facts
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
policy: halt
tables:
  public.*: {mode: synthesize}
  public.enough: {mode: synthesize, columns: {left_out: null}}
  public.saved: {mode: synthesize, rows: 10, train: {model: "%s"}}
"""


def test_rows_are_counted_where_that_decides_and_values_that_nobody_shares_are_found(
    new_pair: Callable[..., Pair],
) -> None:
    pair = new_pair("learning_facts", SCHEMA, ROWS)
    job = parse_job(JOB % ("0" * 64), "job.yaml")

    async def ask() -> LearningFacts:
        session = await asyncpg.connect(pair.source_url)
        try:
            return (await gather_facts(session, job, await read_catalogue(session, job.schemas))).learning
        finally:
            await session.close()

    found = asyncio.run(ask())
    assert found.few == {"public.empty": 0, "public.small": 64}
    assert {name: found.rows.get(name) for name in ("public.empty", "public.small")} == {
        "public.empty": 0, "public.small": 64,
    }, "nobody has analysed them"  # fmt: skip
    assert found.alone == {"public.enough.doc", "public.enough.Net "}
