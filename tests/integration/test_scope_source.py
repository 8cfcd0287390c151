"""Which rows a plan carries, read from a real source: conditions, row limits, missing parents, keys that the job declares."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from support.catalogues import errors, job, plan, warnings
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_reader.ranges import RangeQuery
from tailrace_reader.snapshot import SESSION
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.messages import Bound
from tailrace_shared.plan.facts import gather_facts
from tailrace_shared.plan.model import Plan, PlanResult
from tailrace_shared.postgres import connect
from tailrace_shared.verify import queries

SCHEMA = """\
CREATE TABLE city (id int PRIMARY KEY, name text);
CREATE TABLE customer (id int PRIMARY KEY, city int REFERENCES city, name text NOT NULL, joined timestamptz);
CREATE TABLE orders (id int PRIMARY KEY, customer int NOT NULL REFERENCES customer, seller int REFERENCES customer);
CREATE TABLE line (orders int REFERENCES orders, n int, PRIMARY KEY (orders, n));
INSERT INTO city SELECT n, 'c' || n FROM generate_series(1, 5) n;
INSERT INTO customer SELECT n, CASE WHEN n % 7 > 0 THEN 1 + n % 5 END, 'O''Hara ' || n, now() - n * interval '1 day'
  FROM generate_series(1, 100) n;
INSERT INTO orders SELECT n, 1 + n % 100, CASE WHEN n % 3 > 0 THEN 1 + n % 50 END FROM generate_series(1, 1000) n;
INSERT INTO line SELECT o, n FROM generate_series(1, 1000) o, generate_series(1, 3) n;

CREATE TABLE staff (id int PRIMARY KEY, boss int REFERENCES staff, dept text);
INSERT INTO staff SELECT n, CASE WHEN n > 1 THEN n / 2 END, CASE WHEN n = 3 THEN 'gone' ELSE 'here' END
  FROM generate_series(1, 63) n;
CREATE TABLE desk (id int PRIMARY KEY, staff int REFERENCES staff);
INSERT INTO desk SELECT n, n FROM generate_series(1, 63) n;
CREATE TABLE hen (id int PRIMARY KEY, egg int);
CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen);
INSERT INTO hen SELECT n, CASE WHEN n > 1 THEN n END FROM generate_series(1, 20) n;
INSERT INTO egg SELECT n, CASE WHEN n > 1 THEN n - 1 END FROM generate_series(1, 20) n;
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg;

CREATE TABLE pair (a int, b int, PRIMARY KEY (a, b));
INSERT INTO pair SELECT a, b FROM generate_series(1, 4) a, generate_series(1, 4) b;
CREATE TABLE simple (id int PRIMARY KEY, a int NOT NULL, b int, FOREIGN KEY (a, b) REFERENCES pair);
CREATE TABLE complete (id int PRIMARY KEY, a int, b int, FOREIGN KEY (a, b) REFERENCES pair MATCH FULL);
INSERT INTO simple SELECT n, 1 + n % 4, CASE WHEN n % 5 > 0 THEN 1 + n % 3 END FROM generate_series(1, 40) n;
INSERT INTO complete SELECT n, CASE WHEN n % 5 > 0 THEN 1 + n % 4 END, CASE WHEN n % 5 > 0 THEN 1 + n % 3 END
  FROM generate_series(1, 40) n;

CREATE TABLE event (id int, day int, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (10);
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (10) TO (20);
CREATE TABLE seen (id int, day int, FOREIGN KEY (id, day) REFERENCES event);
INSERT INTO event SELECT n, n % 20 FROM generate_series(1, 200) n;
INSERT INTO seen SELECT n, n % 20 FROM generate_series(1, 200) n;

CREATE TABLE company (id int PRIMARY KEY);
INSERT INTO company SELECT n FROM generate_series(1, 10) n;
CREATE TABLE note (id int PRIMARY KEY, owner_type text, owner_id int);
INSERT INTO note SELECT n, CASE n % 3 WHEN 0 THEN 'Customer' WHEN 1 THEN 'Company' ELSE 'Other' END, 1 + n % 12
  FROM generate_series(1, 120) n;

CREATE TABLE animal (id int PRIMARY KEY, name text CHECK (name <> 'nobody'));
CREATE TABLE dog (barks bool, PRIMARY KEY (id)) INHERITS (animal);
INSERT INTO animal SELECT n, 'a' || n FROM generate_series(1, 5) n;
INSERT INTO dog SELECT n, 'd' || n, true FROM generate_series(6, 9) n;
CREATE TABLE walk (id int PRIMARY KEY, animal int REFERENCES animal);
INSERT INTO walk VALUES (1, 2);

CREATE FUNCTION dice() RETURNS int LANGUAGE sql AS 'SELECT 4';
CREATE TABLE kinds (id int PRIMARY KEY, kind regtype);
INSERT INTO kinds VALUES (1, 'int4');
"""
POLYMORPHIC = """
foreign_keys:
  - {table: public.note, columns: [owner_id], references: public.customer, when: {owner_type: Customer}}
  - {table: public.note, columns: [owner_id], references: public.company, when: {owner_type: Company}}
"""
NO_ORDERS = "public.orders: {mode: exclude}, public.line: {mode: exclude}"
READER = {name: value for name, value in SESSION.items() if name.startswith(("enable", "sync", "max_par"))}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="tailrace-scope-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedPostgres(Path(directory) / "postgres", fsync=False) as postgres:
            postgres.create_database("scope")
            postgres.run_sql(SCHEMA, "scope")
            yield postgres


@pytest.fixture
async def session(server: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(SecretStr(server.url("scope")), "tailrace/test")
    yield connection
    await connection.close()


async def planned(session: asyncpg.Connection, text: str, **environ: str) -> PlanResult:
    found = await read_catalogue(session, ["public"])
    facts = await gather_facts(session, job("policy: pass\n" + text), found, found, environ)
    empty = found.model_copy(update={"tables": tuple(t.model_copy(update={"has_rows": False}) for t in found.tables)})
    return plan("policy: pass\n" + text, found, empty, facts)


async def the_plan(session: asyncpg.Connection, text: str, **environ: str) -> Plan:
    result = await planned(session, text, **environ)
    assert result.plan is not None, errors(result)
    return result.plan


async def rows_of(session: asyncpg.Connection, made: Plan, table: str) -> list[tuple[object, ...]]:
    """What the reader's queries give, range by range, with the planner settings of its sessions."""
    found = next(t for t in made.tables if t.name.name == table)
    told = next((f for f in made.filters if f.table == found.number), None)
    rows: list[tuple[object, ...]] = []
    for name, value in READER.items():
        await session.execute(f"SET {name} = {value}")
    for piece in found.ranges:
        high = None if piece.high is None else Bound(block=piece.high, item=piece.high_item)
        query = RangeQuery.of(found, piece.leaf, Bound(block=piece.low), high, told)
        rows += [tuple(row) for row in await session.fetch(query.rows)]
        after = await session.fetchval(query.place_after(0))
        assert (after is None) == (not await session.fetch(query.rows))
    for name in READER:
        await session.execute(f"RESET {name}")
    assert await session.fetchval(queries.carried_count(found, told)) == len(rows)
    return rows


async def ids(session: asyncpg.Connection, made: Plan, table: str) -> list[object]:
    return [row[0] for row in await rows_of(session, made, table)]


async def asked(session: asyncpg.Connection, query: str) -> list[object]:
    return [row[0] for row in await session.fetch(query)]


# --- where -----------------------------------------------------------------------------------------------------------


async def test_a_condition_chooses_rows_and_variables_are_literals_whatever_they_hold(
    session: asyncpg.Connection,
) -> None:
    text = "tables: {public.customer: {where: 'name = ${WHO} OR city IS NULL -- both', missing_parents: refuse}, "
    text += "public.orders: {mode: exclude}, public.line: {mode: exclude}}"
    made = await the_plan(session, text, WHO="O'Hara 8")
    assert await ids(session, made, "customer") == await asked(
        session, "SELECT id FROM customer WHERE name = 'O''Hara 8' OR city IS NULL ORDER BY id"
    )
    nothing = await the_plan(session, text, WHO="x' OR true --")
    assert await ids(session, nothing, "customer") == await asked(
        session, "SELECT id FROM customer WHERE city IS NULL ORDER BY id"
    )
    assert next(t for t in made.tables if t.name.name == "customer").filtered
    assert "Hara" not in made.model_dump_json()


async def test_now_is_the_moment_of_the_plan(session: asyncpg.Connection) -> None:
    where = "joined > now() - interval '10 days 1 hour' AND joined <= current_timestamp"
    made = await the_plan(
        session,
        f'tables: {{public.customer: {{where: "{where}"}}, public.orders: {{mode: exclude}}, public.line: {{mode: exclude}}}}',
    )
    assert len(await ids(session, made, "customer")) == 10
    assert "now()" not in made.filters[0].condition


@pytest.mark.parametrize(
    ("where", "code", "says"),
    [
        ("id = 1) OR (true", "plan.where", "character 7: a parenthesis"),
        ("id = 1; DROP TABLE customer", "plan.where", "character 7: a semicolon"),
        ("id = 1 /* open", "plan.where", "a comment that does not end"),
        ("name = 'open", "plan.where", "a quote that does not end"),
        ("name = '${SECRET}'", "plan.where", "inside of quotes"),
        ("id = $1", "plan.where", "begins no variable"),
        ("name = ${NOT_SET}", "plan.where-variable", "NOT_SET"),
        ("id = ${SECRET}", "plan.where", "character 6"),
        ("name < ${SOURCE_URL}", "plan.where-variable", "SOURCE_URL, which holds a secret"),
        ("name < ${TAILRACE_TRANSPORT_KEY}", "plan.where-variable", "TAILRACE_TRANSPORT_KEY, which holds a secret"),
        ("nme = 'x'", "plan.where", "character 1: the source refuses it: a column does not exist"),
        ("id", "plan.where", "refuses"),
        ("random() < 0.5", "plan.where-volatile", "random()"),
        ("id = dice()", "plan.where-volatile", "dice()"),
        ("id IN (SELECT id FROM orders TABLESAMPLE BERNOULLI (1))", "plan.where", "TABLESAMPLE"),
        ("id IN (SELECT nothing FROM nowhere)", "plan.where", "a table does not exist"),
        ("joined > 'yesterday'::date", "plan.where", "every reader"),
        ("count(*) > 1", "plan.where", "refuses"),
    ],
)  # fmt: skip
async def test_what_is_no_condition_is_refused_by_table_and_place_and_no_value_is_repeated(
    session: asyncpg.Connection, where: str, code: str, says: str
) -> None:
    quoted = where.replace("'", "''")
    result = await planned(
        session, f"missing_parents: exclude\ntables: {{public.customer: {{where: '{quoted}'}}}}", SECRET="hunter2"
    )
    assert errors(result) == [(code, "public.customer")]
    (problem,) = [p for p in result.problems if p.severity == "error"]
    assert says in problem.message
    assert problem.remedy
    assert "hunter2" not in result.model_dump_json()


async def test_a_condition_may_ask_other_tables_and_rows_stay_in_order(session: asyncpg.Connection) -> None:
    made = await the_plan(
        session,
        "tables: {public.orders: {where: 'customer IN (SELECT c.id FROM customer c WHERE city = 2)'}, "
        "public.line: {missing_parents: exclude}}",
    )
    expected = await asked(
        session, "SELECT id FROM orders WHERE customer IN (SELECT id FROM customer WHERE city = 2) ORDER BY ctid"
    )
    assert await ids(session, made, "orders") == expected
    told = next(f for f in made.filters if made.table(f.table).name.name == "orders")
    assert told.looks_up
    assert [leaf.name.name for leaf in told.reads if leaf.name.name != "orders"] == ["customer"]


async def test_names_of_objects_are_read_without_a_path_and_so_is_the_condition(session: asyncpg.Connection) -> None:
    found = await planned(session, "tables: {public.kinds: {where: 'dice() = 4'}}")
    assert errors(found) == [("plan.where-volatile", "public.kinds")]
    assert errors(await planned(session, "tables: {public.kinds: {where: 'EXISTS (SELECT FROM customer)'}}")) == [
        ("plan.where", "public.kinds")
    ]
    made = await the_plan(session, "tables: {public.kinds: {where: 'EXISTS (SELECT FROM public.customer)'}}")
    assert len(made.filters) == 1


# --- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 2, 226, 227, 999, 1000, 5000])
async def test_a_row_limit_takes_the_first_rows_of_the_heap(session: asyncpg.Connection, limit: int) -> None:
    text = f"limits: {{range_bytes: 8192}}\nmissing_parents: exclude\ntables: {{public.orders: {{rows: {limit}}}}}"
    made = await the_plan(session, text)
    assert await ids(session, made, "orders") == list(range(1, min(limit, 1000) + 1))
    assert len(await rows_of(session, made, "line")) == 3 * min(limit, 1000)


async def test_a_row_limit_counts_what_the_condition_leaves_and_ends_inside_of_a_partition(
    session: asyncpg.Connection,
) -> None:
    made = await the_plan(session, "missing_parents: exclude\ntables: {public.event: {where: 'id % 2 = 0', rows: 70}}")
    ordered = await asked(session, "SELECT id FROM event WHERE id % 2 = 0 ORDER BY tableoid, ctid LIMIT 70")
    assert await ids(session, made, "event") == ordered
    assert sorted(await ids(session, made, "seen")) == sorted(ordered)


# --- missing parents ---------------------------------------------------------------------------------------------------

CITY_2 = "public.city: {where: 'id = 2'}"


async def test_references_to_rows_that_are_not_carried_are_refused_only_where_there_are_any(
    session: asyncpg.Connection,
) -> None:
    result = await planned(session, f"tables: {{{CITY_2}}}")
    assert errors(result) == [("plan.missing-parents", "public.customer foreign key customer_city_fkey")]
    consistent = f"tables: {{{CITY_2}, public.customer: {{where: 'city = 2 OR city IS NULL'}}, {NO_ORDERS}}}"
    made = await the_plan(session, consistent)
    assert [p.reason for p in made.proofs if "customer_city_fkey" in p.about] == [
        "no carried row refers to one that is not: asked in the snapshot"
    ]


async def test_rows_are_excluded_along_the_whole_chain(session: asyncpg.Connection) -> None:
    made = await the_plan(session, f"missing_parents: exclude\ntables: {{{CITY_2}}}")
    customers = "SELECT id FROM customer WHERE city = 2 OR city IS NULL"
    orders = f"SELECT id FROM orders WHERE customer IN ({customers}) AND (seller IS NULL OR seller IN ({customers}))"
    assert await ids(session, made, "customer") == await asked(session, f"{customers} ORDER BY id")
    assert await ids(session, made, "orders") == await asked(session, f"{orders} ORDER BY id")
    assert len(await rows_of(session, made, "line")) == await session.fetchval(
        f"SELECT count(*) FROM line WHERE orders IN ({orders})"
    )


async def test_a_reference_becomes_null_where_it_may_and_is_refused_where_it_may_not(
    session: asyncpg.Connection,
) -> None:
    made = await the_plan(session, f"missing_parents: nullify\ntables: {{{CITY_2}}}")
    rows = await rows_of(session, made, "customer")
    assert len(rows) == 100
    assert {row[1] for row in rows} == {2, None}
    assert len(await rows_of(session, made, "orders")) == 1000
    assert not next(t for t in made.tables if t.name.name == "customer").filtered
    half = "missing_parents: nullify\ntables: {public.customer: {where: 'id < 50'}}"
    assert ("plan.nullify", "public.orders foreign key orders_customer_fkey") in errors(await planned(session, half))


async def test_excluded_tables_leave_null_or_no_row(session: asyncpg.Connection) -> None:
    text = (
        "tables: {public.city: {mode: exclude}, public.customer: {missing_parents: MODE}, "
        "public.orders: {missing_parents: exclude}, public.line: {missing_parents: exclude}}"
    )
    nulled = await the_plan(session, text.replace("MODE", "nullify"))
    assert {row[1] for row in await rows_of(session, nulled, "customer")} == {None}
    fewer = await the_plan(session, text.replace("MODE", "exclude"))
    assert await ids(session, fewer, "customer") == await asked(
        session, "SELECT id FROM customer WHERE city IS NULL ORDER BY id"
    )


async def test_composite_keys_follow_their_match(session: asyncpg.Connection) -> None:
    text = "missing_parents: MODE\ntables: {public.pair: {where: 'a <> 2'}}"
    fewer = await the_plan(session, text.replace("MODE", "exclude"))
    gone = "SELECT id FROM TABLE WHERE NOT (a = 2 AND b IS NOT NULL) OR a IS NULL ORDER BY id"
    for table in ("simple", "complete"):
        assert await ids(session, fewer, table) == await asked(session, gone.replace("TABLE", table))
    nulled = await the_plan(session, text.replace("MODE", "nullify"))
    simple = {row[0]: row[1:] for row in await rows_of(session, nulled, "simple")}
    full = {row[0]: row[1:] for row in await rows_of(session, nulled, "complete")}
    assert simple[1] == (2, None), "a is NOT NULL: b alone"
    assert full[1] == (None, None), "both or none"
    assert simple[2] == (3, 3)
    assert full[2] == (3, 3)


async def test_a_partitioned_parent_is_looked_up_by_its_rows(session: asyncpg.Connection) -> None:
    made = await the_plan(session, "missing_parents: exclude\ntables: {public.event: {where: 'day BETWEEN 5 AND 12'}}")
    assert sorted(await ids(session, made, "seen")) == await asked(
        session, "SELECT id FROM event WHERE day BETWEEN 5 AND 12 ORDER BY 1"
    )
    told = next(f for f in made.filters if made.table(f.table).name.name == "seen")
    assert {leaf.name.name for leaf in told.reads} == {"event_1", "event_2"}


async def test_who_loses_a_row_loses_those_below_it_in_a_hierarchy(session: asyncpg.Connection) -> None:
    made = await the_plan(session, "missing_parents: exclude\ntables: {public.staff: {where: \"dept = 'here'\"}}")
    below = (
        "WITH RECURSIVE x AS (SELECT 3 AS id UNION SELECT s.id FROM staff s JOIN x ON s.boss = x.id) SELECT id FROM x"
    )
    kept = await asked(session, f"SELECT id FROM staff WHERE id NOT IN ({below}) ORDER BY id")
    assert await ids(session, made, "staff") == kept
    assert await ids(session, made, "desk") == kept
    nulled = await the_plan(session, "missing_parents: nullify\ntables: {public.staff: {where: \"dept = 'here'\"}}")
    bosses = {row[0]: row[1] for row in await rows_of(session, nulled, "staff")}
    assert (bosses[6], bosses[7], bosses[12]) == (None, None, 6)


async def test_a_cycle_of_two_tables_is_followed_to_its_end(session: asyncpg.Connection) -> None:
    made = await the_plan(session, "missing_parents: exclude\ntables: {public.hen: {where: 'id <> 10'}}")
    assert await ids(session, made, "hen") == list(range(1, 10))
    assert await ids(session, made, "egg") == list(range(1, 11))


async def test_a_cycle_that_takes_too_many_rows_is_refused(
    session: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace_shared.plan.scope_facts.EXCLUDED_MAX", 5)
    result = await planned(session, "missing_parents: exclude\ntables: {public.staff: {where: \"dept = 'here'\"}}")
    assert errors(result) == [("plan.exclude-cycle", "public.staff foreign key staff_boss_fkey")]


# --- keys that the job declares ------------------------------------------------------------------------------------------


async def test_polymorphic_keys_share_a_domain_and_count_what_leads_nowhere_in_the_source(
    session: asyncpg.Connection,
) -> None:
    made = await the_plan(session, POLYMORPHIC + "tables: {public.customer: {columns: {id: key}}}")
    masks = {str(t.name) + "." + c.name: c.mask for t in made.tables for c in t.columns if c.mask}
    assert {masks[name].domain for name in ("public.note.owner_id", "public.customer.id", "public.company.id")} == {  # type: ignore[union-attr]
        "public.company.id"
    }
    checks = {check.references.name: check for check in made.foreign_keys if check.virtual}
    assert checks["customer"].orphans == 0
    assert checks["company"].orphans == await session.fetchval(
        "SELECT count(*) FROM note WHERE owner_type = 'Company' AND owner_id > 10"
    )
    assert checks["company"].orphans
    assert await session.fetchval(queries.orphans(checks["company"])) == checks["company"].orphans
    assert (
        "plan.virtual-orphans",
        "public.note virtual foreign key (owner_id) to public.company where owner_type",
    ) in [(w.code, w.where) for w in made.warnings]


async def test_polymorphic_references_are_left_out_by_their_type(session: asyncpg.Connection) -> None:
    text = (
        POLYMORPHIC
        + f"tables: {{public.customer: {{where: 'id > 6'}}, {NO_ORDERS}, public.note: {{missing_parents: MODE}}}}"
    )
    fewer = await the_plan(session, text.replace("MODE", "exclude"))
    assert await ids(session, fewer, "note") == await asked(
        session, "SELECT id FROM note WHERE owner_type <> 'Customer' OR owner_id > 6 ORDER BY id"
    )
    nulled = await the_plan(session, text.replace("MODE", "nullify"))
    rows = await rows_of(session, nulled, "note")
    assert all((row[2] is None) == (row[1] == "Customer" and row[0] % 12 < 6) for row in rows)
    assert errors(await planned(session, text.replace("MODE", "refuse"))) == [
        ("plan.missing-parents", "public.note virtual foreign key (owner_id) to public.customer where owner_type")
    ]


# --- inheritance ---------------------------------------------------------------------------------------------------------


async def test_a_table_that_others_inherit_from_is_read_without_their_rows(session: asyncpg.Connection) -> None:
    made = await the_plan(session, "")
    assert await ids(session, made, "animal") == [1, 2, 3, 4, 5]
    assert await ids(session, made, "dog") == [6, 7, 8, 9]
    assert [t.name.name for t in made.tables if t.only] == ["animal"]
    (check,) = [k for k in made.foreign_keys if k.table.name == "walk"]
    assert (check.only, check.references_only) == (False, True)
    assert ("plan.check", "public.dog check animal_name_check") in warnings(
        await planned(session, "tables: {public.dog: {columns: {name: mask.text}}}")
    )
