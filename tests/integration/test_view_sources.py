"""Views as sources on a real PostgreSQL: planned from what the server says of them, read in order, restarted when they change."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from support.catalogues import job, plan
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_reader.assemble import Cut, RangeAssembler
from tailrace_reader.cut import CutRule
from tailrace_reader.layout import Layout
from tailrace_reader.parse import Parser
from tailrace_reader.snapshot import HeldSnapshot, SourceServer, export_snapshot, reading_connection
from tailrace_reader.views import ViewChanged, ViewQuery, read_view
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.messages import Bound
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import PlannedTable, PlanResult
from tailrace_shared.types import ColumnType

RULE = CutRule(rows=100, batch_bytes=64 << 10, range_bytes=1 << 40, row_bytes=1 << 20)
SCHEMA = """
DROP SCHEMA IF EXISTS s CASCADE; CREATE SCHEMA s;
CREATE TABLE s.customer (id int PRIMARY KEY, name text, city text);
CREATE TABLE s.buy (id int PRIMARY KEY, customer int REFERENCES s.customer, amount numeric, note text);
INSERT INTO s.customer SELECT n, 'name ' || n, 'city ' || n % 7 FROM generate_series(1, 500) n;
INSERT INTO s.buy SELECT n, n % 500 + 1, n / 3.0, CASE WHEN n % 5 > 0 THEN 'note ' || n % 90 END FROM generate_series(1, 3000) n;
CREATE VIEW s.inner_sums AS SELECT customer, sum(amount) AS total, count(*) AS times FROM s.buy GROUP BY customer;
CREATE VIEW s.sums AS SELECT c.id, c.name, c.city, i.total, i.times FROM s.customer c JOIN s.inner_sums i ON i.customer = c.id;
CREATE VIEW s.notes AS SELECT note, city FROM s.buy b JOIN s.customer c ON c.id = b.customer;
CREATE MATERIALIZED VIEW s.cities AS SELECT city, count(*) AS people FROM s.customer GROUP BY city;
CREATE UNIQUE INDEX ON s.cities (city);
CREATE MATERIALIZED VIEW s.unfilled AS SELECT city FROM s.customer WITH NO DATA;
CREATE VIEW s.over_unfilled AS SELECT city FROM s.unfilled;
CREATE VIEW s.recent AS SELECT id FROM s.buy WHERE now() > '2020-01-01';
CREATE VIEW s.daily AS SELECT id, 'CURRENT_DATE' AS "now(" FROM s.buy;
CREATE VIEW s.today AS SELECT id FROM s.buy WHERE CURRENT_DATE > '2020-01-01'::date;
CREATE VIEW s.below AS SELECT id FROM s.today;
CREATE FUNCTION s.unlabelled(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE VIEW s.called AS SELECT s.unlabelled(id) AS id FROM s.customer;
CREATE VIEW s.texts AS SELECT id::text AS id, amount::text AS amount FROM s.buy;
"""
HEAD = 'policy: pass\nschemas: [s]\ndefault_mode: exclude\ndestination: {url: "${D}", mode: truncate}\ntables:\n'


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-views-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            yield postgres


@pytest.fixture
async def admin(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url())
    await connection.execute(SCHEMA)
    yield connection
    connection.terminate()


@pytest.fixture
def source(server: EmbeddedPostgres) -> SourceServer:
    return SourceServer(SecretStr(server.url()), "tailrace/view-test", "SOURCE_URL")


async def planned(source: SourceServer, tables: str) -> PlanResult:
    """A plan into a database that has a table for every view."""
    connection = await source.connect()
    try:
        found = await read_catalogue(connection, ["s"])
        there = found.model_copy(
            update={
                "tables": tuple(t.model_copy(update={"kind": "r", "has_rows": False}) for t in found.tables),
                "privileges": {},
                "can_create": True,
            }
        )
        return plan(HEAD + tables, found, there, await gather_facts(connection, job(HEAD + tables), found))
    finally:
        connection.terminate()


async def the_table(source: SourceServer, tables: str) -> PlannedTable:
    result = await planned(source, tables)
    assert result.plan is not None, result.problems
    (table,) = result.plan.tables
    return table


async def codes(source: SourceServer, tables: str) -> list[tuple[str, str]]:
    return [(p.code, p.where) for p in (await planned(source, tables)).problems]


async def read(
    source: SourceServer, held: HeldSnapshot, table: PlannedTable, low: Bound, high: Bound | None, rule: CutRule = RULE
) -> tuple[list[Cut], Bound | None]:
    connection = await reading_connection(source, held)
    cuts: list[Cut] = []

    async def keep(cut: Cut) -> None:
        cuts.append(cut)

    try:
        assembler = RangeAssembler(Parser(Layout.of(table)), rule, "a view")
        rest = await read_view(connection, source, ViewQuery.of(table, low, high), assembler, keep)
        held_locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = $1"
        assert await connection.fetchval(held_locks, table.leaves[0].oid) == 0, "no lock outlives a range"
        assert await connection.fetchval("SHOW enable_seqscan") == "off", "what was set for the view is set back"
        return cuts, rest
    finally:
        connection.terminate()


def values(cuts: list[Cut], column: int = 0) -> list[object]:
    return [v for cut in cuts for v in cut.batch.column(column).to_pylist()]


# --- planning --------------------------------------------------------------------------------------------------------


async def test_a_view_is_planned_with_its_key_its_types_and_the_estimate(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    table = await the_table(
        source, "  s.texts: {key: [id], types: {id: int, amount: 'numeric( 12 , 2)'}, columns: {id: key}}\n"
    )
    assert (table.view, table.order_by, len(table.shape)) == (True, ("id",), 32)
    assert [(c.type.base, c.type.precision, c.type.scale, c.cast) for c in table.columns] == [
        ("int4", None, None, "integer"), ("numeric", 12, 2, "numeric(12,2)"),
    ]  # fmt: skip
    assert table.columns[0].mask is not None
    assert table.columns[0].mask.family == "integer"
    assert table.estimated_rows > 0
    assert [(r.low, r.high) for r in table.ranges] == [(0, None)]


@pytest.mark.parametrize(
    ("text", "base", "numbers", "sql"),
    [
        ("varchar(7)", "varchar", (7, None, None), "character varying(7)"),
        ("timestamp(3) with time zone", "timestamptz", (None, None, 3), "timestamp(3) with time zone"),
        ("numeric(5,-2)[]", "_numeric", (None, None, None), "numeric(5,-2)[]"),
        ("s.grade", "text", (None, None, None), "s.grade"),
    ],
)
async def test_the_source_says_what_a_type_means(
    admin: asyncpg.Connection, source: SourceServer, text: str, base: str, numbers: tuple[object, ...], sql: str
) -> None:
    await admin.execute("CREATE DOMAIN s.grade AS text")
    table = await the_table(source, f"  s.texts: {{types: {{amount: '{text}'}}}}\n")
    kind = table.columns[1].type
    assert (kind.base, (kind.length, kind.precision, kind.scale), table.columns[1].cast) == (base, numbers, sql)


@pytest.mark.parametrize(
    ("tables", "problems"),
    [
        ("  s.notes: {key: [note]}", [("plan.view-key", "s.notes")]),
        ("  s.notes: {key: [note, city]}", [("plan.view-key", "s.notes")]),
        ("  s.sums: {key: [nope]}", [("plan.unknown-column", "s.sums.nope")]),
        ("  s.sums: {types: {id: intt}}", [("plan.view-type", "s.sums.id")]),
        ("  s.sums: {types: {id: int(3)}}", [("plan.view-type", "s.sums.id")]),
        ("  s.sums: {types: {id: 'int); DROP TABLE s.buy; --'}}", [("plan.view-type", "s.sums.id")]),
        ("  s.recent: {}", [("plan.view-moves", "s.recent")]),
        ("  s.today: {}", [("plan.view-moves", "s.today")]),
        ("  s.below: {}", [("plan.view-moves", "s.below")]),
        ("  s.daily: {}", []),
        ("  s.unfilled: {}", [("plan.view-unfilled", "s.unfilled")]),
        ("  s.over_unfilled: {}", [("plan.view-unfilled", "s.over_unfilled")]),
        ("  s.called: {}", [("plan.view-volatile", "s.called")]),
        ("  s.customer: {key: [id]}", [("plan.not-a-view", "s.customer")]),
        ("  's.*': {key: [id]}", [("plan.not-a-view", "s.*")]),
    ],
)
async def test_what_stands_against_a_view_is_found_in_the_plan(
    admin: asyncpg.Connection, source: SourceServer, tables: str, problems: list[tuple[str, str]]
) -> None:
    assert await codes(source, tables + "\n") == problems


async def test_patterns_pass_views_over(admin: asyncpg.Connection, source: SourceServer) -> None:
    result = await planned(source, "  's.*': {mode: carry}\n")
    assert result.plan is not None
    assert [t.name.name for t in result.plan.tables] == ["buy", "customer"]


async def test_a_view_whose_owner_may_not_read_below_it_is_refused_in_the_plan(
    admin: asyncpg.Connection, source: SourceServer, server: EmbeddedPostgres
) -> None:
    await admin.execute(
        "DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN PASSWORD 'poor'; GRANT USAGE ON SCHEMA s TO poor; "
        "CREATE VIEW s.orphaned AS SELECT * FROM s.buy; ALTER VIEW s.orphaned OWNER TO poor; GRANT SELECT ON s.sums TO poor"
    )
    assert await codes(source, "  s.orphaned: {}\n") == [("plan.view-unreadable", "s.orphaned")]
    poor = SecretStr("postgresql://poor:poor@" + server.url().rpartition("@")[2])
    reader = SourceServer(poor, "tailrace/view-test", "SOURCE_URL")
    table = await the_table(reader, "  s.sums: {key: [id]}\n")
    held = await export_snapshot(reader)
    cuts, _ = await read(reader, held, table, Bound(block=0), None)
    held.release()
    assert values(cuts) == list(range(1, 501)), "SELECT on the view suffices"


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_a_view_is_read_in_the_order_of_its_key_and_ends_early_by_position(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    table = await the_table(source, "  s.sums: {key: [id]}\n")
    held = await export_snapshot(source)
    await admin.execute("DELETE FROM s.buy WHERE customer < 100")
    whole, rest = await read(source, held, table, Bound(block=0), None)
    assert rest is None
    assert values(whole) == list(range(1, 501)), "the snapshot's rows, in order"
    pieces: list[Cut] = []
    low: Bound | None = Bound(block=0)
    ranges = 0
    small = CutRule(rows=100, batch_bytes=4 << 10, range_bytes=9 << 10, row_bytes=1 << 20)
    while low is not None:
        cuts, low = await read(source, held, table, low, None, small)
        pieces += cuts
        ranges += 1
    assert ranges > 3
    assert values(pieces) == values(whole)
    some, _ = await read(source, held, table, Bound(block=10), Bound(block=25))
    assert values(some) == list(range(11, 26)), "a row limit is a position"
    held.release()


async def test_without_a_key_the_whole_rows_text_is_the_order_and_duplicates_and_nulls_are_kept(
    admin: asyncpg.Connection, source: SourceServer
) -> None:
    table = await the_table(source, "  s.notes: {columns: {note: mask.text}}\n")
    held = await export_snapshot(source)
    first, _ = await read(source, held, table, Bound(block=0), None)
    await admin.execute("CREATE INDEX ON s.buy (customer); ANALYZE s.buy")
    again, _ = await read(source, held, table, Bound(block=0), None)
    held.release()
    rows = await admin.fetch('SELECT note FROM s.notes t ORDER BY (t.*)::text COLLATE "C"')
    assert values(first) == [r["note"] for r in rows]
    assert [c.batch for c in first] == [c.batch for c in again], "the same batches"


async def test_a_cast_column_travels_as_its_type(admin: asyncpg.Connection, source: SourceServer) -> None:
    table = await the_table(source, "  s.texts: {key: [id], types: {id: int}}\n")
    held = await export_snapshot(source)
    cuts, _ = await read(source, held, table, Bound(block=0), None)
    held.release()
    assert values(cuts) == list(range(1, 3001)), "ordered as numbers"


@pytest.mark.parametrize(
    "change",
    [
        "CREATE OR REPLACE VIEW s.sums AS SELECT id, city AS name, name AS city, 1.0 AS total, 1::bigint AS times FROM s.customer",
        "ALTER VIEW s.sums RENAME COLUMN name TO nom",
        "ALTER VIEW s.sums RENAME TO sums2; CREATE VIEW s.sums AS SELECT * FROM s.sums2",
        "CREATE OR REPLACE VIEW s.inner_sums AS SELECT customer, min(amount) AS total, 1::bigint AS times FROM s.buy GROUP BY 1",
        "TRUNCATE s.buy",
        "DROP VIEW s.sums",
    ],
)
async def test_a_view_that_changes_under_the_snapshot_restarts_the_attempt(
    admin: asyncpg.Connection, source: SourceServer, change: str
) -> None:
    table = await the_table(source, "  s.sums: {key: [id]}\n")
    held = await export_snapshot(source)
    await admin.execute(change)
    with pytest.raises(ViewChanged, match=r"s\.sums"):
        await read(source, held, table, Bound(block=0), None)
    held.release()


async def test_a_materialised_view_is_read_like_a_table(admin: asyncpg.Connection, source: SourceServer) -> None:
    table = await the_table(source, "  s.cities: {types: {people: int}, columns: {city: mask.text}}\n")
    assert not table.view
    assert table.leaves[0].filenode > 0
    assert table.columns[1].type == ColumnType(name="integer", base="int4", family="integer")
