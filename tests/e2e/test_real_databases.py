"""Databases that nobody of this project made, through the real services: minimal roles, policy mask, one and three replicas."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from conftest import shared_databases
from support.catalogues import planned
from support.databases import Pair, make_pair
from support.installation import Installation, eventually
from tailrace.demo.dump import pagila, structure_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.runtime import Runtime
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.generators import Duplicate
from tailrace_shared.job.load import parse_job
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import Plan
from tailrace_shared.postgres import connect
from tailrace_shared.types import quote_ident

FOLDER = shared_databases()
HEAD = """\
name: real
source: {url: "${SOURCE_URL}"}
destination: {url: "${DESTINATION_URL}", mode: truncate}
policy: mask
limits: {rows_per_batch: 700, range_bytes: 262144, partitions: 6}
"""
RULES = {
    # What no mask covers: NOT NULL booleans and a tsvector, and dates that partition or are part of a unique index.
    "pagila": "tables:\n"
    "  public.customer: {columns: {activebool: duplicate}}\n"
    "  public.film: {columns: {fulltext: duplicate, release_year: duplicate}}\n"
    "  public.staff: {columns: {active: duplicate}}\n"
    "  public.payment: {columns: {payment_date: duplicate}}\n"
    "  public.rental: {columns: {rental_date: duplicate}}\n",
    "chinook": "tables:\n"
    "  public.genre: {mode: duplicate}\n"
    "  public.media_type: {mode: duplicate}\n"
    "  public.track: {columns: {milliseconds: duplicate, bytes: duplicate, unit_price: duplicate}}\n",
    "northwind": "tables:\n"
    "  public.us_states: {mode: duplicate}\n"
    "  public.order_details: {columns: {quantity: duplicate, discount: duplicate}}\n",
    "synthea_small": "tables:\n"
    '  public.conditions: {columns: {"CODE": duplicate, "DESCRIPTION": duplicate}}\n'
    '  public.observations: {columns: {"VALUE": duplicate, "UNITS": duplicate}}\n',
}
FOREIGN_KEYS = """
SELECT format(
    'SELECT count(*) FROM %s c JOIN %s p ON (%s)', k.conrelid::regclass, k.confrelid::regclass,
    (SELECT string_agg(format('c.%I = p.%I', c.attname, p.attname), ' AND ')
     FROM unnest(k.conkey, k.confkey) AS n(child, parent)
     JOIN pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = n.child
     JOIN pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = n.parent)
)
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 AND k.connamespace = 'public'::regnamespace ORDER BY 1
"""
SEQUENCES = """
SELECT s.oid::regclass::text AS sequence, d.refobjid::regclass::text AS "table", quote_ident(a.attname) AS "column"
FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE s.relkind = 'S' AND s.relnamespace = 'public'::regnamespace ORDER BY 1
"""


@dataclass
class Loaded:
    """A database that arrived: by one replica of each service at first."""

    pair: Pair
    job: str
    plan: Plan
    installation: Installation
    catalogue: list[tuple[str, ...]]
    """Of the destination, before."""
    digest: dict[str, tuple[int, int]]


def dump_of(name: str) -> str:
    if FOLDER is None:
        assert name == "pagila"
        return pagila()
    return gzip.decompress((FOLDER / f"{name}.sql.gz").read_bytes()).decode()


def plan_of(pair: Pair, job: str) -> Plan:
    """What the reader planned, planned again: the tests ask it which columns are duplicated."""

    async def look() -> Plan:
        source = await connect(SecretStr(pair.source_url), "tailrace/test")
        destination = await connect(SecretStr(pair.destination_url), "tailrace/test")
        try:
            found = await read_catalogue(source, ["public"])
            theirs = await read_catalogue(destination, ["public"], ask_rows=True)
            return planned(job, found, theirs, await gather_facts(source, parse_job(job), found))
        finally:
            await source.close()
            await destination.close()

    return asyncio.run(look())


def database(name: str, *marks: pytest.MarkDecorator) -> object:
    if name != "pagila":  # pagila comes with the demo
        marks = (*marks, pytest.mark.skipif(FOLDER is None, reason="no dumps: set TAILRACE_TEST_DATA"))
    return pytest.param(name, marks=marks)


@pytest.fixture(
    scope="module",
    params=[
        database("pagila"),
        database("northwind", pytest.mark.long),
        database("chinook", pytest.mark.long),
        database("synthea_small", pytest.mark.long),
    ],
)
def loaded(
    request: pytest.FixtureRequest, runtime: Runtime, source: EmbeddedPostgres, destination: EmbeddedPostgres
) -> Iterator[Loaded]:
    dump = dump_of(request.param)
    pair = make_pair(f"real_{request.param}", source, destination, dump, "ANALYZE;", structure=structure_of(dump))
    job = HEAD + RULES[request.param]
    plan = plan_of(pair, job)
    catalogue = pair.catalogue()
    with Installation(runtime, pair) as installation:
        record = installation.run(job, seconds=120)
        assert record.state == "done", record.failure or record.problems
        assert [check for check in record.checks if not check.passed] == []
        yield Loaded(pair, job, plan, installation, catalogue, pair.digest())


def test_every_row_arrives_and_the_catalogue_is_as_it_was(loaded: Loaded) -> None:
    pair = loaded.pair
    rows = {table: count for table, (count, _) in pair.digest("source").items()}
    assert {table: count for table, (count, _) in loaded.digest.items()} == rows
    assert sum(rows.values()) > 3000
    assert any(kind == "constraint" for kind, *_ in loaded.catalogue)
    assert pair.catalogue() == loaded.catalogue


def test_every_foreign_key_joins_as_many_rows_as_in_the_source(loaded: Loaded) -> None:
    keys = [row[0] for row in loaded.pair.fetch("source", FOREIGN_KEYS)]
    assert keys == [row[0] for row in loaded.pair.fetch("destination", FOREIGN_KEYS)]
    joined = {side: {key: loaded.pair.value(side, key) for key in keys} for side in ("source", "destination")}
    assert joined["destination"] == joined["source"]
    assert sum(map(int, joined["source"].values())) > 1000  # type: ignore[call-overload]


def multiset(pair: Pair, side: str, table: str, columns: list[str]) -> object:
    row = f"ROW({', '.join(map(quote_ident, columns))})::text"
    return pair.value(side, f"SELECT coalesce(sum(hashtextextended({row}, 3)::numeric), 0)::text FROM {table}")


def test_duplicated_columns_are_the_same_rows_and_masked_ones_are_not(loaded: Loaded) -> None:
    duplicated = masked = 0
    for table in loaded.plan.tables:
        name = str(table.name)  # as digest() names it: these databases need no quotes
        if loaded.digest[name][0] == 0:
            continue
        kept = [c.name for c in table.columns if isinstance(c.rule, Duplicate)]
        if kept:
            duplicated += 1
            assert multiset(loaded.pair, "source", name, kept) == multiset(loaded.pair, "destination", name, kept)
        for column in (c for c in table.columns if c.masked):
            # An empty text has nothing to mask, and zero stays zero under relative noise.
            maskable = f"SELECT count(*) FROM {name} WHERE {quote_ident(column.name)}::text !~ '^[-0.]*$'"
            if loaded.pair.value("source", maskable):
                masked += 1
                sides = [multiset(loaded.pair, side, name, [column.name]) for side in ("source", "destination")]
                assert sides[0] != sides[1], f"{name}.{column.name} arrived as it was"
    assert duplicated
    assert masked > 20


def test_three_replicas_of_each_service_make_the_same_of_it(loaded: Loaded) -> None:
    for service in ("reader", "generator", "writer"):
        loaded.installation.scale(service, 3)
    record = loaded.installation.run(loaded.job, seconds=120)
    assert record.state == "done", record.failure
    assert loaded.pair.digest() == loaded.digest
    assert loaded.pair.catalogue() == loaded.catalogue
    eventually(lambda: not loaded.installation.topics_left(), 60, "the runs' topics are gone")


def test_sequences_give_values_that_no_row_has(loaded: Loaded) -> None:
    sequences = loaded.pair.fetch("destination", SEQUENCES)
    assert len(sequences) == len(loaded.pair.fetch("source", SEQUENCES))
    for sequence in sequences:
        largest = loaded.pair.value("destination", f"SELECT max({sequence['column']}) FROM {sequence['table']}")
        following = loaded.pair.value("destination", f"SELECT nextval('{sequence['sequence']}')")
        assert largest is None or following > largest, sequence["sequence"]  # type: ignore[operator]
