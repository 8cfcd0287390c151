"""Every type with its edge values, through the planner, the reader's parser and the writer's encoder: byte-equal."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import asyncpg
import pytest
from pydantic import SecretStr

from conformance import database as made
from conformance.case import SCHEMA, TypeCase
from conformance.cases import CASES, NO_INPUT
from support.catalogues import HEAD, planned
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Parser
from tailrace_reader.ranges import RangeQuery, read_range
from tailrace_reader.snapshot import SourceServer, export_snapshot, reading_connection
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.messages import Bound
from tailrace_shared.plan.facts import SourceFacts
from tailrace_shared.plan.model import Plan, PlannedTable
from tailrace_shared.postgres import connect
from tailrace_writer.encode import TableEncoder

JOB = HEAD + f"schemas: [{SCHEMA}]\ndefault_mode: duplicate\n"
NAME = "conformance_types"


@dataclass
class Sides:
    """Both databases after everything was carried."""

    source: str
    destination: str
    cases: list[TypeCase]
    failed: dict[str, str]
    """Per table the error that it ended in."""


@pytest.fixture(scope="module")
def sides(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> Sides:
    for side, server in (("source", source), ("destination", destination)):
        server.create_database(NAME)
        server.run_sql(made.odd_settings(side, NAME))
    return asyncio.run(carried(source, destination))


async def carried(source: EmbeddedPostgres, destination: EmbeddedPostgres) -> Sides:
    admin = await asyncpg.connect(source.url(NAME))
    there = await asyncpg.connect(destination.url(NAME))
    cases = await made.available(there, await made.available(admin, CASES))
    for connection in (admin, there):
        await connection.execute(made.setup(cases) + made.structure(cases))
    await admin.execute(made.rows(cases))
    await admin.close()
    await there.close()

    server = SourceServer(SecretStr(source.url(NAME)), "tailrace/test", "SOURCE_URL")
    held = await export_snapshot(server)
    reading = await reading_connection(server, held)
    writing = await connect(SecretStr(destination.url(NAME)), "tailrace/test")
    catalogue = await connect(SecretStr(source.url(NAME)), "tailrace/test")
    plan = planned(
        JOB, await read_catalogue(catalogue, [SCHEMA]), await read_catalogue(writing, [SCHEMA]), SourceFacts()
    )
    await catalogue.close()
    failed = {}
    for table in plan.tables:
        try:
            await carry(reading, writing, plan, table)
        except Exception as error:
            failed[table.name.name] = f"{type(error).__name__}: {error}"
            reading.terminate()
            reading = await reading_connection(server, held)
    reading.terminate()
    held.release()
    await writing.close()
    return Sides(source.url(NAME), destination.url(NAME), cases, failed)


async def carry(reading: asyncpg.Connection, writing: asyncpg.Connection, plan: Plan, table: PlannedTable) -> None:
    layout, encoder = Layout.of(table), TableEncoder(table)

    async def write(cut: Cut) -> None:
        data = encoder.encode(cut.batch)
        await writing.copy_to_table(
            table.name.name, schema_name=SCHEMA, source=data.slices(), columns=encoder.columns, format=data.format
        )

    for leaf in table.leaves:
        query = RangeQuery(leaf, layout.names, Bound(block=0), None, layout.names_objects)
        rule = CutRule.of(plan, 7)  # batches with and without the values that do not fit a wire type
        await read_range(reading, query, RangeAssembler(Parser(layout), rule, str(table.name)), write)


def test_every_table_was_carried(sides: Sides) -> None:
    assert sides.failed == {}
    assert len(sides.cases) > 200


def test_every_value_arrives_byte_equal(sides: Sides) -> None:
    assert asyncio.run(made.differing(sides.source, sides.destination, sides.cases)) == []


def test_no_type_of_the_server_is_missing_in_the_table(sides: Sides) -> None:
    """Base types, ranges and multiranges of ``pg_catalog``, and arrays of all of them."""

    async def ask() -> set[str]:
        connection = await asyncpg.connect(sides.source)
        rows = await connection.fetch(
            "SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm') "
            "AND NOT EXISTS (SELECT 1 FROM pg_type e WHERE e.oid = t.typelem AND t.typcategory = 'A' "
            "AND (e.typtype NOT IN ('b', 'r', 'm') OR e.typname = ANY($2::text[]))) "
            "AND NOT EXISTS (SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.atttypid = t.oid "
            "AND c.relnamespace = $1::text::regnamespace AND a.attnum > 0)",
            SCHEMA,
            list(NO_INPUT),
        )
        await connection.close()
        return {row[0] for row in rows}

    left_out = {c.declared for c in CASES} - {c.declared for c in sides.cases}
    assert asyncio.run(ask()) - {n.replace("[]", "") for n in left_out} - {"_xml"} == NO_INPUT.keys()
