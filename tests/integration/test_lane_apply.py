"""Folded changes applied to a real table: it ends as the source's has."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import asyncpg
import numpy as np
import pyarrow as pa
import pytest

from support.lane_source import Row, Source
from support.writing import Database, column, table
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_writer.lane.apply import BY_INDEX, LaneApplier
from tailrace_writer.lane.fold import DELETE, INSERT, UPDATE, Changes, fold
from tailrace_writer.lane.multiset import fold_rows
from tailrace_writer.lane.statements import LaneTable

SCHEMA = """
CREATE TABLE item (
    id bigint, part text, note text, body text, twice text GENERATED ALWAYS AS (body || body) STORED, PRIMARY KEY (id, part)
) PARTITION BY RANGE (id);
CREATE TABLE item_low PARTITION OF item FOR VALUES FROM (MINVALUE) TO (3);
CREATE TABLE item_high PARTITION OF item FOR VALUES FROM (3) TO (MAXVALUE);
"""
PLAIN = """
CREATE TABLE entry (id bigint, part text, note text UNIQUE, body text, PRIMARY KEY (id, part));
CREATE TABLE log (n bigint, t text, j json);
"""
COLUMNS = (
    column("id", "int8", "integer"), column("part", "text", "text"), column("note", "text", "text"), column("body", "text", "text"),
)  # fmt: skip


@pytest.fixture(scope="module")
def database(destination: EmbeddedPostgres) -> Database:
    made = Database(destination)
    made.create(SCHEMA + PLAIN)
    return made


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(database.url)
    await made.execute("TRUNCATE item, entry, log")
    yield made
    await made.close()


def work_on(source: Source, dice: random.Random, notes: int) -> None:
    """One random change, or three that swap two unique notes, or two keys."""
    free = [(n, p) for n in range(6) for p in "ab" if (n, p) not in source.rows]
    used = {row[2] for row in source.rows.values()}
    note = next((n for n in dice.sample(range(notes), notes) if str(n) not in used), None)
    new = None if note is None else str(note)
    there = sorted(source.rows)
    gone = (dice.random() < 0.5, dice.random() < 0.5)
    match dice.choice(["insert", "insert", "update", "update", "move", "delete", "swap notes", "swap keys"]):
        case "insert" if free:
            source.insert((*dice.choice(free), new, dice.choice("xyz") * 9))
        case "update" if there:
            key = dice.choice(there)
            source.update(key, (*key, new, dice.choice("xyz") * 9), gone)
        case "move" if there and free:
            source.update(dice.choice(there), (*dice.choice(free), new, dice.choice("xyz") * 9), gone)
        case "delete" if there:
            source.delete(dice.choice(there))
        case "swap notes" if len(there) > 1:
            one, other = dice.sample(there, 2)
            a, b = source.rows[one], source.rows[other]
            source.update(one, (*one, None, a[3]), (False, True))
            source.update(other, (*other, a[2], b[3]), (False, True))
            source.update(one, (*one, b[2], a[3]), (False, True))
        case "swap keys" if len(there) > 1 and free:
            one, other = dice.sample(there, 2)
            for old, to in ((one, free[0]), (other, one), (free[0], other)):
                source.update(old, (*to, None, None), (True, True))


async def stored(connection: asyncpg.Connection, name: str) -> dict[tuple[int, str], Row]:
    rows = await connection.fetch(f"SELECT id, part, note, body FROM {name}")
    return {(r[0], r[1]): tuple(r) for r in rows}


@pytest.mark.parametrize("name", ["entry", "item"])
@pytest.mark.parametrize("seed", range(12))
async def test_a_table_ends_as_its_source_whatever_that_went_through(
    connection: asyncpg.Connection, name: str, seed: int
) -> None:
    dice = random.Random(seed)
    lane = LaneTable(table(0, name, COLUMNS), ("id", "part"), partitioned=name == "item")
    applier = LaneApplier(connection, lane)
    await applier.prepare()
    source = Source({})
    for _ in range(12):
        source.said.clear()
        for _ in range(dice.randint(1, 30)):
            work_on(source, dice, 20)
        if not source.said:
            continue
        await connection.execute(f"BEGIN; {BY_INDEX}")
        applier.begin()
        await applier.apply(fold(source.changes(), lane.identity))
        await connection.execute("COMMIT")
        assert await stored(connection, name) == source.rows


async def test_of_equal_rows_without_a_key_as_many_go_as_went(connection: asyncpg.Connection) -> None:
    columns = (column("n", "int8", "integer"), column("t", "text", "text"), column("j", "json", "json"))
    lane = LaneTable(table(0, "log", columns), ())
    await connection.execute("INSERT INTO log SELECT 1, NULL, '{\"a\": 1}' FROM generate_series(1, 5)")
    await connection.execute("INSERT INTO log VALUES (2, 'x', NULL)")
    applier = LaneApplier(connection, lane)
    await applier.prepare()
    schema = pa.schema([("n", pa.int64()), ("t", pa.string()), ("j", pa.string())])
    same, other, none = (1, None, '{"a": 1}'), (2, "x", None), (None, None, None)
    ops = [(DELETE, none, same), (DELETE, none, same), (UPDATE, (3, "y", "[]"), other), (INSERT, (4, "z", None), none)]
    new, old = (
        pa.RecordBatch.from_pylist([dict(zip(schema.names, row[i], strict=True)) for row in ops], schema=schema)
        for i in (1, 2)
    )
    flags = np.zeros(4, bool)
    changes = Changes(np.array([op for op, *_ in ops], np.int8), new, old, flags, np.zeros((4, 3), bool))
    await connection.execute(f"BEGIN; {BY_INDEX}")
    await applier.replace(fold_rows(changes))
    await connection.execute("COMMIT")
    left = await connection.fetch("SELECT n, t, j::text, count(*) FROM log GROUP BY 1, 2, 3 ORDER BY 1")
    assert [tuple(row) for row in left] == [(1, None, '{"a": 1}', 3), (3, "y", "[]", 1), (4, "z", None, 1)]


@pytest.mark.parametrize("name", ["entry", "item"])
@pytest.mark.parametrize("seed", range(6))
async def test_pieces_of_one_transaction_do_not_meet_again(
    connection: asyncpg.Connection, name: str, seed: int
) -> None:
    """What was deleted or set by one piece, and came back or changed by the next, stays as the last one made it."""
    dice = random.Random(seed)
    lane = LaneTable(table(0, name, COLUMNS), ("id", "part"), partitioned=name == "item")
    applier = LaneApplier(connection, lane)
    await applier.prepare()
    source = Source({})
    await connection.execute(f"BEGIN; {BY_INDEX}")
    applier.begin()
    for _ in range(12):
        source.said.clear()
        for _ in range(dice.randint(1, 12)):
            work_on(source, dice, 20)
        if source.said:
            await applier.apply(fold(source.changes(), lane.identity))
    await connection.execute("COMMIT")
    assert await stored(connection, name) == source.rows
