"""What real schemas have and friendly ones do not, as the catalogue sees it and the plan takes it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from support.catalogues import job, plan
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.model import Catalogue, Column, Table, TableName
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.messages import TASK, PlanTask
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import Fingerprints, Plan
from tailrace_shared.postgres import connect
from tailrace_shared.topics import CONTROL_MESSAGE_BYTES
from tailrace_shared.verify import queries

NASTY = """
CREATE SCHEMA ext; CREATE SCHEMA n;
CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION ltree SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE TYPE n.date AS ENUM ('today', 'tomorrow');
CREATE TYPE n.uuid AS (a int, b text);
CREATE TYPE n.int4 AS RANGE (subtype = int8);
CREATE DOMAIN n.moods AS n.date[] CHECK (cardinality(VALUE) < 4);
CREATE SEQUENCE n.free_numbers; CREATE SEQUENCE n."Odd.Numbers"; CREATE SEQUENCE n.domain_numbers;
CREATE DOMAIN n.numbered AS bigint DEFAULT nextval('n.domain_numbers');
CREATE TABLE n.kinds (
  id bigint DEFAULT nextval('n.free_numbers') PRIMARY KEY,
  late bigint DEFAULT nextval('n."Odd.Numbers"'::text),
  mine n.numbered,
  day n.date, pair n.uuid, span n.int4, spans n.int4[], moods n.moods,
  code ext.citext UNIQUE, bag ext.hstore, path ext.ltree,
  bits bit(5), several varbit(9), texts varchar(7)[][], price money, words tsvector, ago interval year to month
);
CREATE TABLE n."Kinds" ("id" int, "ID" int, "a.b" int, "per%cent" int, "quo""te" int, "ünï 漢" int,
  "a2345678901234567890123456789012345678901234567890123456789abcd" int);
CREATE TABLE n.child (id int PRIMARY KEY, code ext.citext REFERENCES n.kinds (code));
CREATE RULE log_it AS ON INSERT TO n.child DO ALSO SELECT 1;
CREATE RULE off AS ON DELETE TO n.child DO INSTEAD NOTHING;
CREATE TABLE n.hashed (id int NOT NULL, region text NOT NULL) PARTITION BY HASH (id);
CREATE TABLE n.hashed_0 PARTITION OF n.hashed FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE n.hashed_1 PARTITION OF n.hashed FOR VALUES WITH (modulus 4, remainder 1) PARTITION BY LIST (region);
CREATE TABLE n.hashed_1_eu PARTITION OF n.hashed_1 FOR VALUES IN ('eu');
CREATE TABLE n.hashed_3 PARTITION OF n.hashed FOR VALUES WITH (modulus 4, remainder 3);
CREATE TABLE n.gaps (id int) PARTITION BY HASH (id);
CREATE TABLE n.gaps_0 PARTITION OF n.gaps FOR VALUES WITH (modulus 2, remainder 0);
CREATE TABLE n.dated (day date, note text) PARTITION BY RANGE (day);
CREATE TABLE n.dated_2025 PARTITION OF n.dated FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE n.dated_rest PARTITION OF n.dated DEFAULT;
"""
NEW_IN_18 = """
CREATE TABLE n.newest (a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL, b int,
  CONSTRAINT idle CHECK (a > 0) NOT ENFORCED);
INSERT INTO n.newest (a) VALUES (1);
ALTER TABLE n.newest ADD CONSTRAINT b_there NOT NULL b NOT VALID;
CREATE TABLE n.stay (room int, during tstzrange, PRIMARY KEY (room, during WITHOUT OVERLAPS));
CREATE TABLE n.meal (room int, at tstzrange, FOREIGN KEY (room, PERIOD at) REFERENCES n.stay (room, PERIOD during));
CREATE TABLE n.loose (id int, newest int, FOREIGN KEY (id) REFERENCES n.other (id) NOT ENFORCED);
"""
RULES = 'policy: pass\nschemas: [n]\ndestination: {url: "${D}", mode: truncate}\n'


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-nasty-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            for name in ("nasty", "newest", "wide"):
                postgres.create_database(name)
            postgres.run_sql(NASTY, "nasty")
            yield postgres


@pytest.fixture
async def session(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(SecretStr(server.url("nasty")), "tailrace/test")
    yield connection
    await connection.close()


def table_of(found: Catalogue, name: str) -> Table:
    table = found.table(TableName(schema_name="n", name=name))
    assert table is not None
    return table


def column_of(table: Table, name: str) -> Column:
    column = table.column(name)
    assert column is not None
    return column


async def planned(session: asyncpg.Connection, rules: str = RULES) -> tuple[Catalogue, Plan]:
    found = await read_catalogue(session, ["n"], ask_rows=True)
    result = plan(rules, found, found, await gather_facts(session, job(rules), found))
    assert result.plan, result.problems
    return found, result.plan


async def test_types_of_ones_own_and_of_extensions_travel_as_text_and_are_looked_into(
    session: asyncpg.Connection,
) -> None:
    found = await read_catalogue(session, ["n"])
    kinds = table_of(found, "kinds")
    types = {c.name: c.type for c in kinds.columns}
    for name in ("day", "pair", "span", "spans", "moods", "bag", "path", "bits", "several", "texts", "price", "words"):
        assert types[name].wire == "text", name
    assert (types["day"].base, types["day"].family, types["day"].enum) == ("n.date", "enum", ("today", "tomorrow"))
    assert types["pair"].parts == ("a integer", "b text")
    assert types["span"].parts == ("bigint",)
    assert types["moods"].element
    assert types["moods"].element.enum == ("today", "tomorrow")
    assert types["spans"].element
    assert types["spans"].element.parts == ("bigint",)
    assert (types["code"].family, types["code"].folded, types["code"].name) == ("text", True, "ext.citext")
    assert (types["bag"].name, types["bag"].base) == ("ext.hstore", "hstore")
    assert (types["bits"].length, types["several"].length) == (5, 9)
    assert types["texts"].element
    assert types["texts"].element.length == 7
    assert types["ago"].name == "interval year to month"


async def test_odd_names_stay_as_they_are(session: asyncpg.Connection) -> None:
    found, made = await planned(session)
    odd = table_of(found, "Kinds")
    assert [c.name for c in odd.columns] == [
        "id", "ID", "a.b", "per%cent", 'quo"te', "ünï 漢", "a2345678901234567890123456789012345678901234567890123456789abcd",
    ]  # fmt: skip
    assert {"kinds", "Kinds"} <= {t.name.name for t in made.tables}


async def test_sequences_are_found_however_a_default_comes_to_them(session: asyncpg.Connection) -> None:
    found, made = await planned(session)
    fed = {(s.name, s.owner_column) for s in found.sequences}
    assert fed == {("free_numbers", "id"), ("Odd.Numbers", "late"), ("domain_numbers", "mine")}
    assert {(s.name, s.column) for s in made.sequences} == fed


async def test_partitions_that_take_every_value_bind_no_mask(session: asyncpg.Connection) -> None:
    found = await read_catalogue(session, ["n"])
    bound = {name: table_of(found, name) for name in ("hashed", "gaps", "dated")}
    assert {n: (t.partition_columns, t.bounded_columns) for n, t in bound.items()} == {
        "hashed": (("id", "region"), ("region",)), "gaps": (("id",), ("id",)), "dated": (("day",), ()),
    }  # fmt: skip
    assert [p.bounds for p in bound["hashed"].partitions if p.name.name == "hashed_1_eu"] == [
        ("FOR VALUES WITH (modulus 4, remainder 1)", "FOR VALUES IN ('eu')")
    ]


async def test_rules_are_seen_and_one_on_insert_is_told(session: asyncpg.Connection) -> None:
    found, made = await planned(session)
    assert [(r.name, r.event, r.enabled) for r in table_of(found, "child").rules] == [
        ("log_it", "insert", "O"), ("off", "delete", "O"),
    ]  # fmt: skip
    assert [p.where for p in made.warnings if p.code == "plan.insert-rule"] == ["n.child rule log_it"]


async def test_keys_are_compared_by_their_own_operator_wherever_its_schema_is(session: asyncpg.Connection) -> None:
    _, made = await planned(session)
    (check,) = (k for k in made.foreign_keys if k.table.name == "child")
    assert check.operators == ("OPERATOR(ext.=)",)
    await session.execute("INSERT INTO n.kinds (code) VALUES ('Abc'); INSERT INTO n.child VALUES (1, 'aBC')")
    try:
        assert await session.fetchval(queries.orphans(check)) == 0, "citext is not compared as text"
    finally:
        await session.execute("TRUNCATE n.child, n.kinds")


async def test_what_18_brings_is_taken_for_what_it_is(server: EmbeddedPostgres) -> None:
    server.run_sql(
        "CREATE SCHEMA n; CREATE EXTENSION btree_gist; CREATE TABLE n.other (id int PRIMARY KEY);" + NEW_IN_18, "newest"
    )
    connection = await connect(SecretStr(server.url("newest")), "tailrace/test")
    try:
        found, made = await planned(connection)
    finally:
        await connection.close()
    newest = table_of(found, "newest")
    assert column_of(newest, "twice").generated == "v"
    b = column_of(newest, "b")
    assert (b.nullable, b.not_null_proved) == (False, False)
    carried = {t.name.name: [c.name for c in t.columns] for t in made.tables}
    assert carried["newest"] == ["a", "b"]
    assert [(k.columns, k.temporal) for k in made.foreign_keys] == [(("room", "at"), True)], "none that is not enforced"
    assert {s.kind for s in made.ddl} == {"foreign-key"}
    told = [(p.code, p.where) for p in made.warnings]
    assert ("plan.nullable-source", "n.newest.b") in told
    assert not any(code.startswith("plan.check") for code, _ in told)


async def test_600_tables_are_read_and_planned_in_seconds(server: EmbeddedPostgres) -> None:
    columns = ", ".join(
        f"c{i} {kind}" for i, kind in enumerate(["text", "int", "numeric(12,2)", "timestamptz", "varchar(40)"] * 4)
    )
    statements = [
        f"CREATE TABLE n.t{i} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent bigint"
        + (f" REFERENCES n.t{i // 2}" if i else "") + f", {columns}, UNIQUE (c0, c1)); CREATE INDEX ON n.t{i} (c3);"
        for i in range(600)
    ]  # fmt: skip
    server.run_sql("CREATE SCHEMA n;" + "".join(statements), "wide")
    connection = await connect(SecretStr(server.url("wide")), "tailrace/test")
    try:
        started = time.process_time()  # of ours: the machine may be busy with other tests
        found, made = await planned(connection)
        took = time.process_time() - started
    finally:
        await connection.close()
    assert len(made.tables) == 600
    assert took < 10, f"{took:.1f} s"
    prints = Fingerprints(mask_secret="", catalogue="", pools="")
    task = PlanTask(run="r", attempt=1, job=job(RULES), destination=found, fingerprints=prints)
    sent = task.model_dump_json().encode()
    assert len(sent) < CONTROL_MESSAGE_BYTES / 3
    assert TASK.validate_json(sent) == task
