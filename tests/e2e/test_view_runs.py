"""A view and a materialised view as sources, end to end, into tables of the same names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.databases import Pair, make_pair
from support.installation import Installation
from tailrace.embedded.postgres import EmbeddedPostgres

TABLES = """
CREATE TABLE client (client_id int PRIMARY KEY, name text NOT NULL, city text);
CREATE TABLE purchase (purchase_id int PRIMARY KEY, client_id int NOT NULL REFERENCES client, amount numeric(10,2) NOT NULL);
"""
VIEWS = """
CREATE VIEW client_sums AS
  SELECT c.client_id, c.name, c.city, sum(p.amount)::text AS total, count(*) AS times
  FROM client c JOIN purchase p USING (client_id) GROUP BY c.client_id;
CREATE VIEW places AS SELECT city, name FROM client JOIN purchase USING (client_id);
CREATE MATERIALIZED VIEW largest AS SELECT client_id, max(amount) AS amount FROM purchase GROUP BY client_id;
"""
COUNTERPARTS = """
CREATE TABLE client_sums (client_id int PRIMARY KEY, name text, city text, total numeric(12,2) NOT NULL, times bigint);
CREATE TABLE places (city text, name text);
CREATE TABLE largest (client_id int PRIMARY KEY REFERENCES client, amount numeric);
"""
ROWS = """
INSERT INTO client SELECT n, 'CanaryName ' || n, CASE WHEN n % 9 > 0 THEN 'town ' || n % 40 END FROM generate_series(1, 3000) n;
INSERT INTO purchase SELECT n, n % 3000 + 1, n / 7.0 FROM generate_series(1, 12000) n;
REFRESH MATERIALIZED VIEW largest;
"""
JOB = """\
name: views
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}"}
policy: pass
tables:
  public.client: {columns: {client_id: key, name: mock.full_name}}
  public.client_sums:
    key: [client_id]
    types: {total: "numeric(12,2)"}
    columns: {client_id: {generator: key, domain: person}, name: mock.full_name}
  public.places: {columns: {name: mask.text}}
  public.largest: {}
limits: {range_bytes: 65536, range_bytes_max: 65536, batch_bytes: 8192}
"""


@pytest.fixture(scope="module")
def views(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> Pair:
    return make_pair("views", source, destination, TABLES + VIEWS, ROWS, structure=TABLES + COUNTERPARTS)


def test_views_arrive_whole_masked_and_joined(install: Callable[..., Installation], views: Pair) -> None:
    """Ranges of 64 kB: ``places`` is read in several pieces, by two readers."""
    installation = install(views, replicas={"reader": 2})

    record = installation.run(JOB)

    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    for relation in ("client", "client_sums", "places", "largest"):
        count = f"SELECT count(*) FROM {relation}"
        assert views.value("source", count) == views.value("destination", count), relation
    plain = "SELECT sum(total::numeric), sum(times), count(city), sum(hashtext(city)) FROM client_sums"
    assert views.fetch("source", plain) == views.fetch("destination", plain)
    joins = "SELECT sum(amount) FROM client JOIN largest USING (client_id)"
    assert views.value("source", joins) == views.value("destination", joins)
    kept = "SELECT city, count(*), count(DISTINCT name) FROM places GROUP BY 1 ORDER BY 1"
    assert views.fetch("source", kept) == views.fetch("destination", kept), "every row once, duplicates and NULLs too"
    assert views.contains("CanaryName") == []


def test_carried_views_are_made_as_tables_where_the_run_makes_them(
    install: Callable[..., Installation], source: EmbeddedPostgres, destination: EmbeddedPostgres
) -> None:
    pair = make_pair("views_made", source, destination, TABLES + VIEWS, ROWS, structure="")
    job = JOB.replace(
        'destination: {url: "${DESTINATION_URL}"}', 'destination: {url: "${DESTINATION_URL}", mode: create}'
    )

    record = install(pair).run(job)

    assert record.state == "done", record.failure or record.problems
    assert [check for check in record.checks if not check.passed] == []
    kinds = "relkind IN ('r', 'v', 'm') AND relnamespace = 'public'::regnamespace"
    made = f"SELECT relname::text, relkind::text FROM pg_class WHERE {kinds}"
    tables = ("client", "purchase", "client_sums", "places", "largest")
    assert {row["relname"]: row["relkind"] for row in pair.fetch("destination", made)} == dict.fromkeys(tables, "r")
    for relation in ("client_sums", "places", "largest"):
        count = f"SELECT count(*) FROM {relation}"
        assert pair.value("source", count) == pair.value("destination", count), relation
    assert pair.value("destination", "SELECT pg_typeof(total)::text FROM client_sums LIMIT 1") == "numeric"
    assert pair.contains("CanaryName") == []
