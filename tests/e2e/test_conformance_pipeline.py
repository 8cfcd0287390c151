"""Every type with its edge values, through reader, Kafka, generator and writer; and masks of values that travel in two ways."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

import asyncpg
import pytest

from conformance import database as made
from conformance.case import SCHEMA, TypeCase
from conformance.cases import CASES
from support.databases import Pair
from support.installation import Installation
from tailrace.embedded.postgres import EmbeddedPostgres

NAME = "conformance"
JOB = """\
name: conformance
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
schemas: [conformance]
limits: {rows_per_batch: 7, partitions: 4}
default_mode: duplicate
tables:
"""
RULES = """\
  conformance.%s:
    columns:
      {id: duplicate, d: mask.date, ts: mask.date, tz: mask.date, t: mask.date, n: mask.number, s: mask.text,
       k: {generator: key, domain: k}, u: {generator: key, domain: u}}
"""
JOB += RULES % "typed" + RULES % "as_text"
MASKED = """
CREATE TABLE conformance.{name} (
    id integer PRIMARY KEY, d date, ts timestamp, tz timestamptz, t time, n numeric(12,2), k bigint UNIQUE, u uuid UNIQUE, s text
);
"""
MASKED_ROWS = """
INSERT INTO conformance.typed SELECT i, date '1950-01-01' + i * 37, timestamp '1950-01-01' + i * interval '3 days 00:00:00.000001',
    timestamptz '1950-01-01 00:00:00+00' + i * interval '5 hours', time '00:00' + i * interval '7 minutes', i * 10.05, i * 1000003,
    md5(i::text)::uuid, 'Word ' || i
FROM generate_series(1, 200) i;
INSERT INTO conformance.typed (id) VALUES (201);
INSERT INTO conformance.as_text SELECT * FROM conformance.typed;
-- One value per batch of seven rows that the wire type does not hold: all its neighbours travel as text.
UPDATE conformance.as_text SET d = 'infinity', ts = '-infinity', tz = '0044-03-15 00:00:00+00 BC', t = '24:00', n = 'NaN'
WHERE id % 5 = 0;
"""


@pytest.fixture(scope="module")
def carried(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> tuple[Pair, list[TypeCase]]:
    return make_conformance_pair(NAME, source, destination)


def make_conformance_pair(
    name: str, source: EmbeddedPostgres, destination: EmbeddedPostgres
) -> tuple[Pair, list[TypeCase]]:
    """A source that holds the whole table, and an empty destination; roles with the grants that bypass needs."""
    pair = Pair(name, source, destination, secrets.token_hex(8))

    async def have() -> list[TypeCase]:
        found = list(CASES)
        for server in (source, destination):
            connection = await asyncpg.connect(server.url())
            found = await made.available(connection, found)
            await connection.close()
        return found

    cases = asyncio.run(have())
    masked = "".join(MASKED.format(name=name) for name in ("typed", "as_text"))
    for side, server, role in (
        ("source", source, f"{name}_reader"),
        ("destination", destination, f"{name}_loader"),
    ):
        server.create_database(name)
        server.run_sql(made.odd_settings(side, name))
        server.run_sql(
            f"CREATE ROLE {role} LOGIN PASSWORD '{pair.password}'; GRANT CONNECT, CREATE ON DATABASE {name} TO {role}"
        )
        server.run_sql(made.setup(cases) + made.structure(cases) + masked, name)
        server.run_sql(
            f"GRANT USAGE ON SCHEMA {SCHEMA}, extension TO {role};"
            f"GRANT {'SELECT' if side == 'source' else 'SELECT, INSERT, TRUNCATE'} ON ALL TABLES IN SCHEMA {SCHEMA} TO {role};",
            name,
        )
    source.run_sql(made.rows(cases) + MASKED_ROWS, name)
    return pair, cases


def test_every_type_arrives_byte_equal_through_the_whole_pipeline(
    install: Callable[..., Installation], carried: tuple[Pair, list[TypeCase]]
) -> None:
    pair, cases = carried
    record = install(pair, replicas={"generator": 2}).run(JOB, seconds=120)
    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    assert len(cases) > 200
    urls = (pair.source.url(pair.name), pair.destination.url(pair.name))
    assert asyncio.run(made.differing(*urls, cases)) == []


def test_masks_are_equal_whether_the_value_travelled_typed_or_as_text(carried: tuple[Pair, list[TypeCase]]) -> None:
    pair, _ = carried
    for column in ("d", "ts", "tz", "t", "n", "k", "u", "s"):
        misfits = "true" if column in "kus" else "a.id % 5 <> 0"
        equal = (
            f"SELECT count(*) FILTER (WHERE a.{column} IS NOT DISTINCT FROM b.{column}) || ' of ' || count(*) "
            f"FROM {SCHEMA}.typed a JOIN {SCHEMA}.as_text b USING (id) WHERE {misfits}"
        )
        expected = "201 of 201" if column in "kus" else "161 of 161"
        assert pair.value("destination", equal) == expected, column
        original = pair.fetch("source", f"SELECT id, {column}::text FROM {SCHEMA}.typed ORDER BY id")
        arrived = pair.fetch("destination", f"SELECT id, {column}::text FROM {SCHEMA}.typed ORDER BY id")
        assert sum(a[1] == b[1] for a, b in zip(original, arrived, strict=True)) < 20, f"{column} is masked"
