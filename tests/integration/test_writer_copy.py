"""Encoding for COPY against a real PostgreSQL: every wire type, edges included, in both formats."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pyarrow as pa
import pytest

from support.writing import Database, column, table
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.plan.model import PlannedColumn
from tailrace_writer.encode import TableEncoder

UTC = dt.UTC
SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int4 CHECK (VALUE > 0);
CREATE TABLE typed (
    b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric(12, 2), d date, t time, ts timestamp,
    tz timestamptz, u uuid, s text, v varchar(10), c char(4), j json, jb jsonb, e mood, p positive
);
"""
COLUMNS: list[tuple[PlannedColumn, pa.DataType, list[Any]]] = [
    (column("b", "bool", "boolean"), pa.bool_(), [True, None, False]),
    (column("i2", "int2", "integer"), pa.int16(), [-32768, None, 32767]),
    (column("i4", "int4", "integer"), pa.int32(), [-(2**31), None, 2**31 - 1]),
    (column("i8", "int8", "integer"), pa.int64(), [-(2**63), None, 2**63 - 1]),
    (column("f4", "float4", "float"), pa.float32(), [1.5, None, float("inf")]),
    (column("f8", "float8", "float"), pa.float64(), [0.1, None, float("nan")]),
    (
        column("n", "numeric", "number", precision=12, scale=2),
        pa.decimal128(12, 2),
        [decimal.Decimal("-9999999999.99"), None, decimal.Decimal("0.00")],
    ),
    (column("d", "date", "date"), pa.date32(), [dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
    (column("t", "time", "time"), pa.time64("us"), [dt.time(0, 0), None, dt.time(23, 59, 59, 999999)]),
    (
        column("ts", "timestamp", "timestamp"),
        pa.timestamp("us"),
        [dt.datetime(1969, 1, 1, 0, 0, 0, 1), None, dt.datetime(2026, 2, 3)],  # noqa: DTZ001 - without a zone by type
    ),
    (
        column("tz", "timestamptz", "timestamptz"),
        pa.timestamp("us", tz="UTC"),
        [dt.datetime(1999, 12, 31, 23, 59, 59, 999999, UTC), None, dt.datetime(2000, 1, 1, tzinfo=UTC)],
    ),
    (column("u", "uuid", "uuid"), pa.binary(16), [uuid.UUID(int=1).bytes, None, uuid.UUID(int=2**128 - 1).bytes]),
    (column("s", "text", "text"), pa.string(), ['a "quoted"\nline, comma', None, ""]),
    (column("v", "varchar", "text", length=10), pa.string(), ["żółć", None, "\\."]),
    (column("c", "bpchar", "text", length=4), pa.string(), ["ab", None, "abcd"]),
    (column("j", "json", "json"), pa.string(), ['{"a": 1, "a": 2}', None, "null"]),
    (column("jb", "jsonb", "json"), pa.string(), ['{"b": [1, "x"]}', None, '""']),
    (column("e", "mood", "enum"), pa.string(), ["sad", None, "happy"]),
    (column("p", "int4", "integer", type_name="positive"), pa.int32(), [1, None, 7]),
]


@pytest.fixture(scope="module")
def database(destination: EmbeddedPostgres) -> Database:
    made = Database(destination)
    made.create(SCHEMA)
    return made


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(database.url, server_settings={"TimeZone": "UTC", "DateStyle": "ISO"})
    await made.execute("TRUNCATE typed")
    yield made
    await made.close()


async def copied(connection: asyncpg.Connection, encoder: TableEncoder, batch: pa.RecordBatch) -> str:
    data = encoder.encode(batch)
    await connection.copy_to_table("typed", source=data.slices(), columns=encoder.columns, format=data.format)
    return data.format


def batch_of(names: set[str] | None = None) -> tuple[list[PlannedColumn], pa.RecordBatch]:
    chosen = [(c, t, v) for c, t, v in COLUMNS if names is None or c.name in names]
    arrays = [pa.array(values, kind) for _, kind, values in chosen]
    return [c for c, _, _ in chosen], pa.record_batch(arrays, names=[c.name for c, _, _ in chosen])


async def test_binary_and_csv_write_the_same_rows_for_every_wire_type(connection: asyncpg.Connection) -> None:
    columns, batch = batch_of()
    assert await copied(connection, TableEncoder(table(0, "typed", columns)), batch) == "binary"
    binary = await connection.fetch("SELECT t::text FROM typed t")
    await connection.execute("TRUNCATE typed")
    assert await copied(connection, TableEncoder(table(0, "typed", columns, copy_format="csv")), batch) == "csv"
    assert await connection.fetch("SELECT t::text FROM typed t") == binary
    row = await connection.fetchrow("SELECT * FROM typed OFFSET 2 LIMIT 1")
    assert row is not None
    assert (row["s"], row["v"], row["i8"], row["u"]) == ("", "\\.", 2**63 - 1, uuid.UUID(int=2**128 - 1))
    assert await connection.fetchval("SELECT count(*) FROM typed t WHERE t IS NULL") == 1


async def test_slices_of_a_larger_batch_are_written_as_they_are(connection: asyncpg.Connection) -> None:
    columns, batch = batch_of()
    for format_ in ("binary", "csv"):
        encoder = TableEncoder(table(0, "typed", columns, copy_format=format_))
        for start in range(3):
            await copied(connection, encoder, batch.slice(start, 1))
    assert len({row[0] for row in await connection.fetch("SELECT t::text FROM typed t")}) == 3
    assert await connection.fetchval("SELECT count(*) FROM typed t") == 6


async def test_a_typed_column_that_comes_as_text_makes_its_batch_csv(connection: asyncpg.Connection) -> None:
    columns, _ = batch_of({"i4", "ts", "u"})
    batch = pa.record_batch(
        [
            pa.array([1, 2], pa.int32()),
            pa.array(["infinity", "0044-03-15 12:00:00 BC"]),
            pa.array([b"\0" * 16, None], pa.binary(16)),
        ],
        names=["i4", "ts", "u"],
    )
    assert await copied(connection, TableEncoder(table(0, "typed", columns)), batch) == "csv"
    assert await connection.fetchval("SELECT count(*) FROM typed WHERE ts = 'infinity' AND u IS NOT NULL") == 1


async def test_integers_are_widened_for_a_wider_destination_and_refused_by_the_server_when_too_large(
    connection: asyncpg.Connection,
) -> None:
    source = column("i8", "int4", "integer")
    wide = source.model_copy(update={"destination_type": column("i8", "int8", "integer").type})
    batch = pa.record_batch([pa.array([7], pa.int32())], names=["i8"])
    assert await copied(connection, TableEncoder(table(0, "typed", [wide])), batch) == "binary"
    narrow = column("i2", "int8", "integer").model_copy(
        update={"destination_type": column("i2", "int2", "integer").type}
    )
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        await copied(
            connection,
            TableEncoder(table(0, "typed", [narrow])),
            pa.record_batch([pa.array([2**40], pa.int64())], names=["i2"]),
        )


async def test_a_row_of_one_null_is_a_row(connection: asyncpg.Connection) -> None:
    columns, _ = batch_of({"s"})
    batch = pa.record_batch([pa.array([None, ""], pa.string())], names=["s"])
    await copied(connection, TableEncoder(table(0, "typed", columns, copy_format="csv")), batch)
    assert await connection.fetchval("SELECT count(*) FROM typed WHERE s IS NULL") == 1
    assert await connection.fetchval("SELECT count(*) FROM typed") == 2
