"""The conformance table as a pair of databases with minimal roles, and a job that carries all of it."""

from __future__ import annotations

import asyncio
import secrets

import asyncpg

from conformance import database as made
from conformance.case import SCHEMA, TypeCase
from conformance.cases import CASES
from support.databases import Pair
from tailrace.embedded.postgres import EmbeddedPostgres

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
        server.run_sql(f"CREATE ROLE {role} LOGIN PASSWORD '{pair.password}'")
        server.run_sql(made.setup(cases) + made.structure(cases) + masked, name)
        pair.grant(side, "use", schema="extension")
        pair.grant(side, "use", "select" if side == "source" else "load", schema=SCHEMA)
    pair.grant("destination", "keep state")
    source.run_sql(made.rows(cases) + MASKED_ROWS, name)
    return pair, cases


def unequal_masks(pair: Pair) -> list[str]:
    """Columns that masked otherwise where they travelled as text; and such that were not masked at all."""
    found = []
    for column in ("d", "ts", "tz", "t", "n", "k", "u", "s"):
        fits = "true" if column in "kus" else "a.id % 5 <> 0"
        other = (
            f"SELECT count(*) FILTER (WHERE a.{column} IS DISTINCT FROM b.{column}) FROM {SCHEMA}.typed a "
            f"JOIN {SCHEMA}.as_text b USING (id) WHERE {fits}"
        )
        if pair.value("destination", other) != 0:
            found.append(f"{column} differs")
        rows = f"SELECT id, {column}::text FROM {SCHEMA}.typed"
        same = set(map(tuple, pair.fetch("source", rows))) & set(map(tuple, pair.fetch("destination", rows)))
        if len(same) > 20:
            found.append(f"{column} is not masked")
    return found
