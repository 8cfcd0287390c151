"""Making a destination's tables, and removing them again: everything that the run has made, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest

from support.writing import ID_NAME, Database, plan, table
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.catalogue.ground import names_taken, with_ground
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.catalogue.postgres import read_catalogue
from tailrace_shared.errors import TerminalError
from tailrace_shared.messages import Failure
from tailrace_shared.plan.model import DdlStep, Plan
from tailrace_writer import ending, prepare, undo
from tailrace_writer.create import created_checks
from tailrace_writer.rebuild import rebuild
from tailrace_writer.state.moves import Seat, fail

A, B = TableName(schema_name="public", name="a"), TableName(schema_name="public", name="b")
MADE: tuple[tuple[str, str, str], ...] = (
    ("SCHEMA", "other", "CREATE SCHEMA other"),
    ("TYPE", "other.mood", "CREATE TYPE other.mood AS ENUM ('sad')"),
    ("FUNCTION", "public.next()", "CREATE FUNCTION public.next() RETURNS int LANGUAGE sql AS 'SELECT nextval(''later'')::int'"),
    ("TABLE", "public.a", "CREATE TABLE public.a (id int DEFAULT public.next(), name text, m other.mood)"),
    ("FUNCTION", "public.of(public.a)", "CREATE FUNCTION public.of(public.a) RETURNS int LANGUAGE sql AS 'SELECT $1.id'"),
    ("TABLE", "public.b", "CREATE TABLE public.b (id int, name text)"),
    ("VIEW", "public.v", "CREATE VIEW public.v AS SELECT a.id FROM public.a JOIN public.b USING (id)"),
)  # fmt: skip
AFTER = (
    ("create-index", "constraint public.a_pkey", "ALTER TABLE public.a ADD CONSTRAINT a_pkey PRIMARY KEY (id)", ("public.a_pkey",)),
    ("create-index", "constraint public.b_pkey", "ALTER TABLE public.b ADD CONSTRAINT b_pkey PRIMARY KEY (id)", ("public.b_pkey",)),
    ("create-foreign-key", "foreign key ab", "ALTER TABLE public.a ADD CONSTRAINT ab FOREIGN KEY (id) REFERENCES public.b", ()),
    ("create-foreign-key", "foreign key ba", "ALTER TABLE public.b ADD CONSTRAINT ba FOREIGN KEY (id) REFERENCES public.a", ()),
)  # fmt: skip


def steps(made: Sequence[tuple[str, str, str]] = MADE) -> list[DdlStep]:
    before = [
        DdlStep(
            number=number, kind="create", table=A, name=f"{kind.lower()} {name}", drop=f"DROP {kind} IF EXISTS {name}",
            rebuild=(), create=(statement,), makes=() if kind == "SCHEMA" else (name,),
        )
        for number, (kind, name, statement) in enumerate(made)
    ]  # fmt: skip
    after = [
        DdlStep.model_validate(
            {
                "number": len(made) + n,
                "kind": kind,
                "table": A,
                "name": name,
                "drop": "",
                "rebuild": (sql,),
                "makes": makes,
            }
        )
        for n, (kind, name, sql, makes) in enumerate(AFTER)
    ]
    return [*before, *after]


def creating(ddl: Sequence[DdlStep] = ()) -> Plan:
    return plan(table(0, "a", ID_NAME), table(1, "b", ID_NAME), ddl=ddl or steps(), mode="create")


@pytest.fixture
def database(destination: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database(destination)
    made.create("")
    monkeypatch.setenv("DESTINATION_URL", made.url)
    return made


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    made = await database.destination().connect()
    yield made
    await made.close()


async def begun(database: Database, connection: asyncpg.Connection, planned: Plan) -> Seat:
    seat = await database.submit(connection)
    await connection.execute(
        "UPDATE tailrace.run SET job = jsonb_set(job::jsonb, '{destination,mode}', '\"create\"')::json"
    )
    await prepare.claim(connection, seat, planned)
    await prepare.prepare(connection, seat, planned, 5)
    return seat


async def finished(database: Database, seat: Seat) -> None:
    await rebuild(database.destination(), seat, parallel=2, lock_timeout_s=5, tolerant=False)


async def left(connection: asyncpg.Connection) -> tuple[list[str], int, bool]:
    """Names that are taken, notes of the run, and whether the schema ``other`` is there."""
    notes = await connection.fetchval("SELECT count(*) FROM tailrace.ddl")
    return (
        list(await names_taken(connection)),
        notes,
        await connection.fetchval("SELECT to_regnamespace('other') IS NOT NULL"),
    )


async def test_what_a_plan_makes_is_there_and_is_checked(database: Database, connection: asyncpg.Connection) -> None:
    planned = creating()
    seat = await begun(database, connection, planned)
    await finished(database, seat)
    taken = await names_taken(connection)
    assert {"public.a", "public.b", "public.v", "public.a_pkey", "other.mood", "public.of(public.a)"} <= set(taken)
    (check,) = await created_checks(connection, planned)
    assert check.passed
    assert check.detail.startswith("8 of 8")
    await connection.execute("DROP VIEW public.v")
    missing, whole = await created_checks(connection, planned)
    assert (missing.name, whole.passed) == ("made view public.v", False)


@pytest.mark.parametrize("late", [False, True])
async def test_all_of_it_goes_again_whatever_needs_what(
    database: Database, connection: asyncpg.Connection, late: bool
) -> None:
    seat = await begun(database, connection, creating())
    if late:
        await finished(database, seat)
    await connection.execute("INSERT INTO public.b VALUES (1, 'x')" if not late else "SELECT 1")
    await undo.restart(connection, seat, "loading", 5, empty=True)
    assert await left(connection) == ([], 0, False)


async def test_a_second_attempt_makes_it_anew(database: Database, connection: asyncpg.Connection) -> None:
    seat = await begun(database, connection, creating())
    await undo.restart(connection, seat, "loading", 5, empty=True)
    again = Seat(seat.run, seat.epoch, 2)
    await connection.execute("UPDATE tailrace.run SET state = 'preparing'")
    await prepare.prepare(connection, again, creating(), 5)
    await finished(database, again)
    assert "public.b_pkey" in await names_taken(connection)


async def test_what_others_hold_on_to_stays_empty_and_is_named(
    database: Database, connection: asyncpg.Connection
) -> None:
    seat = await begun(database, connection, creating())
    await finished(database, seat)
    await connection.execute("ALTER TABLE a DROP CONSTRAINT ab; ALTER TABLE b DROP CONSTRAINT ba")
    await connection.execute("INSERT INTO b VALUES (1, 'x'); CREATE VIEW public.theirs AS SELECT name FROM public.b")
    await fail(connection, seat, Failure(code="some.failure", message="it failed"))
    await ending.stop(connection, seat, "loading", "failed", 5, empty=True)
    await ending.conclude(connection, seat, "failed")
    taken, _, other = await left(connection)
    assert set(taken) == {"public.b", "public.b_pkey", "public.theirs"}
    assert not other
    assert await connection.fetchval("SELECT count(*) FROM b") == 0
    failure = Failure.model_validate_json(await connection.fetchval("SELECT failure FROM tailrace.run"))
    assert "table public.b, which the run has made, is still there" in failure.message
    assert "Drop table public.b by hand." in failure.remedy
    assert "theirs" not in failure.message


async def test_a_failed_run_says_that_what_it_made_is_gone(database: Database, connection: asyncpg.Connection) -> None:
    seat = await begun(database, connection, creating())
    await fail(connection, seat, Failure(code="some.failure", message="it failed", remedy="Do something."))
    await ending.stop(connection, seat, "loading", "failed", 5, empty=True)
    await ending.conclude(connection, seat, "failed")
    failure = Failure.model_validate_json(await connection.fetchval("SELECT failure FROM tailrace.run"))
    assert failure.message == "it failed; what it had made in the destination is gone again"


async def test_what_is_refused_is_named_and_nothing_of_it_stays(
    database: Database, connection: asyncpg.Connection
) -> None:
    wrong = (*MADE, ("TABLE", "public.c", "CREATE TABLE public.c (x nosuch.type)"))
    with pytest.raises(TerminalError) as caught:
        await begun(database, connection, creating(steps(wrong)))
    assert caught.value.code == "create.refused"
    assert "table public.c" in caught.value.message
    assert await left(connection) == ([], 0, False)


async def test_the_ground_says_what_the_role_may(database: Database, connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TYPE pair AS (a int); CREATE FUNCTION f(a int, b text) "
                             "RETURNS int LANGUAGE sql AS 'SELECT 1'")  # fmt: skip
    ground = (await with_ground(connection, await read_catalogue(connection, ["public"]))).ground
    assert ground is not None
    assert ground.taken == ("public.f(integer,pg_catalog.text)", "public.pair", "public.t", "public.t_pkey")
    assert "public" in ground.open_schemas
    assert ground.may_create
    assert not ground.superuser
    assert not ground.bypasses_row_security
    assert database.name in ground.roles
    assert ground.extensions == {"plpgsql": "pg_catalog"}
    assert ground.available["citext"]
    assert not ground.available["pageinspect"]


@pytest.mark.parametrize("there", [True, False])
async def test_an_extension_that_somebody_else_has_made_since_the_plan_stays(
    database: Database, connection: asyncpg.Connection, there: bool
) -> None:
    if there:
        await connection.execute("CREATE EXTENSION citext")
    planned = creating(steps((("EXTENSION", "citext", "CREATE EXTENSION IF NOT EXISTS citext"), *MADE)))
    seat = await begun(database, connection, planned)
    await undo.restart(connection, seat, "loading", 5, empty=True)
    assert await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'citext'") == int(there)
    _, notes, other = await left(connection)
    assert (notes, other) == (0, False)
