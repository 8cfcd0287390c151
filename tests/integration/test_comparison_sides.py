"""Both sides of a comparison in a real destination: a batch counts once, values are what PostgreSQL makes of them, nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pyarrow as pa
import pytest

from support.writing import DIGEST, RUN, Database, column, plan, table
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.batch import BatchHead, BatchId
from tailrace_shared.deadline import Deadline
from tailrace_shared.messages import ComparisonFailed, ComparisonPoint, ComparisonRead, ComparisonRequested, Failure
from tailrace_writer.comparison import state
from tailrace_writer.comparison.destination import DestinationSide
from tailrace_writer.comparison.sink import ComparisonSink
from tailrace_writer.comparison.view import Conclude, verdict
from tailrace_writer.encode import TableEncoder
from tailrace_writer.state.facts import apply_fact
from tailrace_writer.state.moves import Seat

pytestmark = pytest.mark.timeout(120)
SCHEMA = """
CREATE DOMAIN short AS char(4);
CREATE TABLE kept (id int PRIMARY KEY, code short, amount numeric(8, 2), at timestamptz, half real, doubled int
  GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE parted (id int, name text) PARTITION BY LIST (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
"""
KEPT = table(
    0, "kept",
    (
        column("id", "int4", "integer"),
        column("code", "bpchar", "text", type_name="short"),
        column("amount", "numeric", "number"),
        column("at", "timestamptz", "timestamp"),
        column("half", "float4", "number"),
    ),
    copy_format="csv",
)  # fmt: skip
PARTED = table(1, "parted", (column("id", "int4", "integer"), column("name", "text", "text")))
PLAN = plan(KEPT, PARTED)
ROWS = pa.record_batch(
    [
        pa.array([1, 2, 3], pa.int32()),
        pa.array(["a", None, "abcd"]),
        pa.array(["5", "7.1", None]),
        pa.array(["2026-01-01 00:00:00+02", "infinity", None]),
        pa.array(["0.1", "NaN", None]),
    ],
    names=["id", "code", "amount", "at", "half"],
)
PARTS = pa.record_batch([pa.array([1, 2, 2], pa.int32()), pa.array(["x", "y", "y"])], names=["id", "name"])


@pytest.fixture
async def database(destination: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database(destination)
    made.create(SCHEMA)
    monkeypatch.setenv("DESTINATION_URL", made.url)
    return made


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    made = await database.destination().connect()
    await database.submit(made)
    await made.execute(
        "UPDATE tailrace.run SET state = 'streaming', job = jsonb_set(job::jsonb, '{mode}', '\"continuous\"') WHERE run = $1",
        RUN,
    )
    for planned in PLAN.tables:
        await made.execute(
            'INSERT INTO tailrace."table" (run, attempt, table_no, schema_name, name, state, planned_ranges) '
            "VALUES ($1, 1, $2, 'public', $3, 'loaded', 1)",
            RUN, planned.number, planned.name.name,
        )  # fmt: skip
    await made.execute("INSERT INTO parted VALUES (1, 'x'), (2, 'y'), (2, 'y')")
    await made.execute(
        "INSERT INTO kept VALUES (1, 'a', 5, '2026-01-01 00:00:00+02', 0.1), (2, NULL, 7.1, 'infinity', 'NaN'), (3, 'abcd', NULL, "
        "NULL, NULL)"
    )
    yield made
    await made.close()


def head(table_no: int, rows: int, *, batch: int = 0, number: int = 1) -> BatchHead:
    return BatchHead(
        BatchId(RUN, 1, table_no, -number, 0, batch, 0), "masked", 1, True, rows, rows * 10, DIGEST, "s", "", "c"
    )


async def begun(connection: asyncpg.Connection, *tables: int) -> Seat:
    await apply_fact(connection, ComparisonRequested(run=RUN, id="01A"))
    seat = Seat(RUN, await connection.fetchval("SELECT epoch FROM tailrace.run WHERE run = $1", RUN), 1)
    await state.begin(connection, seat, 1, DIGEST, tables, ())
    await apply_fact(connection, ComparisonPoint(run=RUN, attempt=1, number=1, replica="r", point="0/10"))
    return seat


async def settled(connection: asyncpg.Connection, sides: int) -> None:
    deadline = Deadline.after(20)
    count = "SELECT count(*) FROM tailrace.comparison_side WHERE side = 'destination'"
    while await connection.fetchval(count) < sides:
        assert not deadline.expired
        await asyncio.sleep(0.05)


async def concluded(connection: asyncpg.Connection) -> Conclude:
    row = await state.look(connection, RUN)
    tables = await state.compared(connection, row, PLAN)
    assert all(one.complete for one in tables)
    return verdict(tables)


async def told(connection: asyncpg.Connection, number: int, rows: int) -> None:
    await apply_fact(
        connection,
        ComparisonRead(run=RUN, attempt=1, number=1, replica="r", table=number, rows=rows, batches=1),
    )


async def test_both_sides_agree_on_what_postgres_makes_of_a_value_and_a_batch_counts_once(
    database: Database, connection: asyncpg.Connection
) -> None:
    await begun(connection, 0, 1)
    side, sink = DestinationSide(database.destination(), RUN, "w"), ComparisonSink(database.destination())
    await side.cut(connection, 1, PLAN, (0, 1))
    await connection.execute("UPDATE kept SET amount = 6")  # what comes after the cut is not looked at
    data = TableEncoder(KEPT).encode(ROWS)
    parts = TableEncoder(PARTED).encode(PARTS)
    assert await sink.take(head(0, 3), KEPT, data) == "done"
    assert await sink.take(head(0, 3), KEPT, data) == "duplicate"
    assert await sink.take(head(0, 3, number=7), KEPT, data) == "discarded"
    assert await sink.take(head(1, 3), PARTED, parts) == "done"
    await told(connection, 0, 3)
    await told(connection, 1, 3)
    await settled(connection, 2)
    made = await concluded(connection)
    assert [(c.name, c.passed, c.detail) for c in made.checks] == [
        ("live public.kept", True, "3 rows on both sides, the same"),
        ("live public.parted", True, "3 rows on both sides, the same"),
    ]
    row = await state.look(connection, RUN)
    assert row is not None
    assert (row["bytes"], row["rows"]) == (60, 6)
    await side.stop()
    sink.close()


async def test_a_difference_of_one_value_or_of_a_copy_is_found(
    database: Database, connection: asyncpg.Connection
) -> None:
    await begun(connection, 0, 1)
    await connection.execute("UPDATE kept SET half = 0.2 WHERE id = 1; DELETE FROM parted WHERE name = 'x'")
    side, sink = DestinationSide(database.destination(), RUN, "w"), ComparisonSink(database.destination())
    await side.cut(connection, 1, PLAN, (0, 1))
    await sink.take(head(0, 3), KEPT, TableEncoder(KEPT).encode(ROWS))
    await sink.take(head(1, 3), PARTED, TableEncoder(PARTED).encode(PARTS))
    await told(connection, 0, 3)
    await told(connection, 1, 3)
    await settled(connection, 2)
    assert [(c.passed, c.detail) for c in (await concluded(connection)).checks] == [
        (False, "3 rows on both sides, not all of them the same"),
        (False, "source 3 rows, destination 2"),
    ]
    await side.stop()
    sink.close()


async def test_a_table_that_is_emptied_after_the_cut_is_left_out_and_nobody_waits_for_the_reading(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begun(connection, 0, 1)
    side = DestinationSide(database.destination(), RUN, "w")
    go = asyncio.Event()
    tables = side._tables

    async def later(*given: object) -> None:
        await go.wait()
        await tables(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(side, "_tables", later)
    await side.cut(connection, 1, PLAN, (0, 1))
    await connection.execute("SET lock_timeout = '2s'; TRUNCATE parted")
    go.set()
    await settled(connection, 2)
    await told(connection, 0, 0)
    await told(connection, 1, 3)
    row = await state.look(connection, RUN)
    known = {one.name: one for one in await state.compared(connection, row, PLAN)}
    assert "emptied or rewritten" in known["public.parted"].left_out
    assert known["public.kept"].left_out == ""
    await side.stop()


async def test_a_table_in_quarantine_is_left_out_at_the_cut(database: Database, connection: asyncpg.Connection) -> None:
    await begun(connection, 0, 1)
    await connection.execute("UPDATE tailrace.\"table\" SET state = 'quarantined' WHERE table_no = 1")
    side = DestinationSide(database.destination(), RUN, "w")
    await side.cut(connection, 1, PLAN, (0, 1))
    await settled(connection, 2)
    row = await state.look(connection, RUN)
    known = {one.name: one.left_out for one in await state.compared(connection, row, PLAN)}
    assert known == {"public.kept": "", "public.parted": "it does not follow its source now"}
    await side.stop()


async def test_facts_of_a_former_number_and_second_requests_change_nothing(connection: asyncpg.Connection) -> None:
    seat = await begun(connection, 0)
    await apply_fact(connection, ComparisonRequested(run=RUN, id="01B"))  # one is open
    await apply_fact(connection, ComparisonPoint(run=RUN, attempt=1, number=1, replica="late", point="0/20"))
    row = await state.look(connection, RUN)
    assert row is not None
    assert (row["id"], row["reader"], row["point"]) == ("01A", "r", 16)
    await state.begin_anew(connection, seat, 1, "something")
    late = Failure(code="x", message="y")
    await apply_fact(connection, ComparisonFailed(run=RUN, attempt=1, number=1, replica="r", failure=late))
    await told(connection, 0, 3)
    row = await state.look(connection, RUN)
    assert row is not None
    assert (row["number"], row["state"], row["trouble"], row["sources"], row["tries"]) == (2, "asked", "", 0, 2)
    await state.give_up(connection, seat, 2, "asked", "enough")
    await apply_fact(connection, ComparisonRequested(run=RUN, id="01A"))  # delivered again
    row = await state.look(connection, RUN)
    assert row is not None
    assert row["state"] == "failed"
    await connection.execute("UPDATE tailrace.run SET state = 'paused' WHERE run = $1", RUN)
    await apply_fact(connection, ComparisonRequested(run=RUN, id="01C"))
    row = await state.look(connection, RUN)
    assert row is not None
    assert (row["state"], row["number"]) == ("refused", 3)
    assert "paused" in row["why"]
