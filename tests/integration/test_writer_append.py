"""Appending against a real PostgreSQL: all rows or none, beside those that are there, and nothing of the tables has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from support.writing import ID_NAME, RUN, Database, column, head, plan, rows_of, table, text_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.append import staging_table
from tailrace_shared.plan.model import DdlStep, ForeignKeyCheck, Plan, PlannedTable, SequenceStep
from tailrace_writer import append, ending, prepare, undo
from tailrace_writer.apply import Applier
from tailrace_writer.encode import TableEncoder
from tailrace_writer.rebuild import rebuild
from tailrace_writer.sessions import Sessions
from tailrace_writer.staging import placed
from tailrace_writer.state.moves import Deposed, Seat, move
from tailrace_writer.verify import verify

SCHEMA = """
CREATE TABLE parent (id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text CONSTRAINT short CHECK (length(name) < 20),
    shout text GENERATED ALWAYS AS (upper(name)) STORED);
CREATE TABLE child (id int4 PRIMARY KEY, name text, parent int4 CONSTRAINT child_parent REFERENCES parent);
CREATE TABLE fired (what text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER parent_told AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON parent EXECUTE FUNCTION tell();
INSERT INTO parent (name) VALUES ('was there'), ('so was this'); TRUNCATE fired;
"""
PARENT = table(0, "parent", ID_NAME)
CHILD = table(1, "child", (*ID_NAME, column("parent", "int4", "integer")))
TRIGGER = DdlStep(
    number=2, kind="trigger", table=PARENT.name, name="parent_told",
    drop="ALTER TABLE public.parent DISABLE TRIGGER parent_told",
    rebuild=("ALTER TABLE public.parent ENABLE TRIGGER parent_told",),
)  # fmt: skip
KEY = ForeignKeyCheck(
    name="child_parent", table=CHILD.name, columns=("parent",), references=PARENT.name, referenced_columns=("id",)
)
STATE = (
    "SELECT conname::text, pg_get_constraintdef(oid), convalidated::text FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace "
    "UNION ALL SELECT indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public' "
    "UNION ALL SELECT tgname, pg_get_triggerdef(oid), tgenabled::text FROM pg_trigger WHERE NOT tgisinternal "
    "UNION ALL SELECT relname, relkind::text, relfilenode::text FROM pg_class WHERE relnamespace = 'public'::regnamespace "
    "ORDER BY 1, 2"
)
STAGED = "SELECT count(*) FROM pg_tables WHERE schemaname = 'tailrace' AND tablename LIKE 'append%'"


def step(number: int, of: PlannedTable) -> DdlStep:
    name = staging_table(RUN, 1, of.number).name
    columns = ", ".join(c.name for c in of.columns)
    return DdlStep(
        number=number, kind="append", table=of.name, name=name,
        drop=f"CREATE TABLE tailrace.{name} AS SELECT {columns} FROM public.{of.name.name} WITH NO DATA",
        rebuild=(f"DROP TABLE IF EXISTS tailrace.{name}",),
    )  # fmt: skip


def appending(**given: Any) -> Plan:
    steps = given.pop("ddl", (step(0, PARENT), step(1, CHILD), TRIGGER))
    return plan(PARENT, CHILD, ddl=steps, mode="append", leak_sample=0, **{"foreign_keys": (KEY,)} | given)


PLAN = appending()


@pytest.fixture
def database(destination: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database(destination)
    made.create(SCHEMA)
    monkeypatch.setenv("DESTINATION_URL", made.url)
    return made


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    made = await database.destination().connect()
    yield made
    await made.close()


async def begun(database: Database, connection: asyncpg.Connection, planned: Plan = PLAN) -> Seat:
    """A run in the mode append that is loading; the seat of its leader."""
    seat = await database.submit(connection)
    await connection.execute(
        "UPDATE tailrace.run SET job = jsonb_set(job::jsonb, '{destination,mode}', '\"append\"')::json"
    )
    await prepare.claim(connection, seat, planned)
    await prepare.prepare(connection, seat, planned, 5)
    return seat


async def staged(
    database: Database, connection: asyncpg.Connection, seat: Seat, planned: Plan, batches: dict[int, Any]
) -> None:
    """Batches by table number, each a range of its own, are in the ledger; the run is verifying."""
    by = Applier(Sessions(database.destination(), 2), lock_timeout_s=5, stale_s=5, replica_role=False)
    for number, batch in batches.items():
        of = placed(planned, planned.table(number))
        encoder = TableEncoder(of)
        outcome, _ = await by.apply(
            head(rows=batch.num_rows, table_no=number), of, encoder.columns, encoder.encode(batch)
        )
        assert outcome == "done"
        await connection.execute(
            'UPDATE tailrace."table" SET rows_read = $1, rows_loaded = $1 WHERE table_no = $2', batch.num_rows, number
        )
    await move(connection, seat, "loading", "finishing")
    await append.finish(connection, seat, planned, 5)


def children(numbers: Sequence[int], parents: Sequence[int | None]) -> Any:
    import pyarrow as pa

    return pa.record_batch(
        [pa.array(numbers, pa.int32()), pa.array([f"child {n}" for n in numbers]), pa.array(parents, pa.int32())],
        names=["id", "name", "parent"],
    )


async def content(connection: asyncpg.Connection) -> dict[str, list[str]]:
    return {name: await text_of(connection, name) for name in ("parent", "child", "fired")}


async def test_rows_wait_in_staging_and_then_are_there_with_their_keys_and_nothing_has_fired(
    database: Database, connection: asyncpg.Connection
) -> None:
    before, there = await connection.fetch(STATE), await content(connection)
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: rows_of([100, 101]), 1: children([7, 8, 9], [100, 1, None])})
    assert await content(connection) == there, "nothing is there before all is"
    kinds = await connection.fetch("SELECT relpersistence FROM pg_class WHERE relname LIKE 'append%'")
    assert {kind[0] for kind in kinds} == {b"p"}, "a crash of the server empties neither these nor the ledger"

    checks = await verify(connection, seat, PLAN)
    assert [c for c in checks if not c.passed] == []
    await append.move_and_conclude(connection, seat, PLAN, checks, 5)

    assert await text_of(connection, "parent") == [
        '(1,"was there","WAS THERE")', '(100,"row 100","ROW 100")', '(101,"row 101","ROW 101")',
        '(2,"so was this","SO WAS THIS")',
    ]  # fmt: skip
    assert await text_of(connection, "child") == ['(7,"child 7",100)', '(8,"child 8",1)', '(9,"child 9",)']
    assert await text_of(connection, "fired") == []
    assert await connection.fetch(STATE) == before
    assert await connection.fetchval(STAGED) == 0
    row = await connection.fetchrow("SELECT state, prepared, checks FROM tailrace.run")
    assert row["state"] == "done"
    assert "2 read, 2 in the ledger, 2 staged, 2 added to the table" in row["checks"]
    for name in ("ledger", "ddl", "claim", '"table"'):
        assert await connection.fetchval(f"SELECT count(*) FROM tailrace.{name}") == 0


@pytest.mark.parametrize(
    ("parents", "kids", "names"),
    [
        (rows_of([2, 100]), children([7], [100]), "parent_pkey"),
        (rows_of([100]), children([7], [100]).slice(0, 0), "short"),
        (rows_of([100]), children([7], [55]), "child_parent"),
    ],
    ids=["a key that is there", "a check", "a reference that nobody has"],
)
async def test_what_a_constraint_does_not_admit_is_named_and_the_destination_is_unchanged(
    database: Database, connection: asyncpg.Connection, parents: Any, kids: Any, names: str
) -> None:
    if names == "short":
        await connection.execute("ALTER TABLE parent DROP CONSTRAINT short, ADD CONSTRAINT short CHECK (id < 50)")
    before, there = await connection.fetch(STATE), await content(connection)
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: parents, 1: kids})
    with pytest.raises(TerminalError) as caught:
        await append.move_and_conclude(connection, seat, PLAN, [], 5)
    assert caught.value.code == "append.conflict"
    assert names in caught.value.message
    for value in ("55", "row 2", "(2)"):
        assert value not in caught.value.message.replace("23505", "")
    assert await content(connection) == there

    await ending.stop(connection, seat, "verifying", "failed", 5, empty=True)
    await rebuild(database.destination(), seat, parallel=1, lock_timeout_s=5, tolerant=True)
    await ending.conclude(connection, seat, "failed")
    assert await content(connection) == there, "nothing that was there is ever truncated"
    assert await connection.fetch(STATE) == before
    assert await connection.fetchval(STAGED) == 0


async def test_a_reference_that_nobody_has_is_found_before_the_move(
    database: Database, connection: asyncpg.Connection
) -> None:
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: rows_of([100]), 1: children([7, 8], [100, 55])})
    wrong = [check for check in await verify(connection, seat, PLAN) if not check.passed]
    assert [(c.name, c.detail) for c in wrong] == [
        ("foreign key public.child child_parent", "1 rows without a referenced row, staged or there")
    ]


async def test_rows_that_are_missing_in_staging_stop_the_move(
    database: Database, connection: asyncpg.Connection
) -> None:
    there = await content(connection)
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: rows_of([100, 101])})
    await connection.execute(f"DELETE FROM tailrace.{staging_table(RUN, 1, 0).name} WHERE id = 100")
    wrong = [check.name for check in await verify(connection, seat, PLAN) if not check.passed]
    assert wrong == ["rows public.parent"]
    with pytest.raises(TerminalError) as caught:
        await append.move_and_conclude(connection, seat, PLAN, [], 5)
    assert caught.value.code == "append.rows-differ"
    assert await content(connection) == there


async def test_a_rule_that_makes_something_else_of_the_rows_is_found(
    database: Database, connection: asyncpg.Connection
) -> None:
    await connection.execute("CREATE RULE aside AS ON INSERT TO parent DO INSTEAD INSERT INTO fired VALUES ('rule')")
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: rows_of([100])})
    with pytest.raises(TerminalError) as caught:
        await append.move_and_conclude(connection, seat, PLAN, [], 5)
    assert caught.value.code == "append.rows-differ"
    assert await connection.fetchval("SELECT count(*) FROM fired") == 0


async def test_of_two_leaders_one_moves_and_the_other_finds_it_done(
    database: Database, connection: asyncpg.Connection
) -> None:
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: rows_of([100])})
    await connection.execute("UPDATE tailrace.run SET epoch = 2")
    with pytest.raises(Deposed):
        await append.move_and_conclude(connection, seat, PLAN, [], 5)
    assert await connection.fetchval("SELECT count(*) FROM parent") == 2
    second = Seat(RUN, 2, 1)
    await append.move_and_conclude(connection, second, PLAN, [], 5)
    with pytest.raises(Deposed):
        await append.move_and_conclude(connection, second, PLAN, [], 5)
    assert await connection.fetchval("SELECT count(*) FROM parent") == 3


async def test_a_deferrable_cycle_is_moved_with_its_constraints_on(
    database: Database, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "ALTER TABLE parent ADD favourite int4; "
        "ALTER TABLE parent ADD CONSTRAINT favourite_child FOREIGN KEY (favourite) REFERENCES child DEFERRABLE"
    )
    parent = table(0, "parent", (*ID_NAME, column("parent", "int4", "integer")))
    parent = parent.model_copy(
        update={"columns": (*parent.columns[:2], parent.columns[2].model_copy(update={"name": "favourite"}))}
    )
    planned = plan(
        parent, CHILD, ddl=(step(0, parent), step(1, CHILD), TRIGGER), mode="append", foreign_keys=(KEY,), leak_sample=0
    )
    seat = await begun(database, connection, planned)
    rows = children([100], [7]).rename_columns(["id", "name", "favourite"])
    await staged(database, connection, seat, planned, {0: rows, 1: children([7], [100])})
    await append.move_and_conclude(connection, seat, planned, [], 5)
    assert await connection.fetchval("SELECT favourite FROM parent WHERE id = 100") == 7
    assert await connection.fetchval("SELECT tgenabled FROM pg_trigger WHERE tgname = 'parent_told'") == b"O"


async def test_under_the_replica_role_the_move_looks_for_orphans_itself(
    database: Database, destination: EmbeddedPostgres, connection: asyncpg.Connection
) -> None:
    destination.run_sql(f"GRANT SET ON PARAMETER session_replication_role TO {database.name}")
    planned = appending(ddl=(step(0, CHILD), step(1, PARENT)), replica_role=True)
    seat = await begun(database, connection, planned)
    await staged(database, connection, seat, planned, {0: rows_of([100]), 1: children([7, 8], [100, 55])})
    with pytest.raises(TerminalError) as caught:
        await append.move_and_conclude(connection, seat, planned, [], 5)
    assert caught.value.code == "append.conflict"
    assert "1 rows for public.child" in caught.value.message
    await connection.execute(f"DELETE FROM tailrace.{staging_table(RUN, 1, 1).name} WHERE id = 8")
    await connection.execute("UPDATE tailrace.ledger SET rows = 1")
    await append.move_and_conclude(connection, seat, planned, [], 5)
    assert await text_of(connection, "child") == ['(7,"child 7",100)']
    assert await text_of(connection, "fired") == []


async def test_a_deferrable_exclusion_holds_in_either_way(
    database: Database, destination: EmbeddedPostgres, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "ALTER TABLE parent ADD CONSTRAINT apart EXCLUDE (lower(name) WITH =) WHERE (id > 0) DEFERRABLE"
    )
    destination.run_sql(f"GRANT SET ON PARAMETER session_replication_role TO {database.name}")
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: rows_of([100])})
    staging = f"tailrace.{staging_table(RUN, 1, 0).name}"
    await connection.execute(f"UPDATE {staging} SET name = 'WAS there'")
    under_role = appending(ddl=(step(0, PARENT), step(1, CHILD)), replica_role=True)
    for planned in (PLAN, under_role):
        with pytest.raises(TerminalError) as caught:
            await append.move_and_conclude(connection, seat, planned, [], 5)
        assert caught.value.code == "append.conflict"
        assert "apart" in caught.value.message
        assert "WAS there" not in caught.value.message
    await connection.execute(f"UPDATE {staging} SET name = 'new'")
    await append.move_and_conclude(connection, seat, under_role, [], 5)
    assert await connection.fetchval("SELECT count(*) FROM parent") == 3


async def test_a_deferrable_unique_key_holds_in_either_way(
    database: Database, destination: EmbeddedPostgres, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE parent ADD CONSTRAINT one_name UNIQUE (name) DEFERRABLE")
    destination.run_sql(f"GRANT SET ON PARAMETER session_replication_role TO {database.name}")
    seat = await begun(database, connection)
    await staged(database, connection, seat, PLAN, {0: rows_of([100])})
    await connection.execute(f"UPDATE tailrace.{staging_table(RUN, 1, 0).name} SET name = 'was there'")
    for planned in (PLAN, appending(ddl=(step(0, PARENT), step(1, CHILD)), replica_role=True)):
        with pytest.raises(TerminalError) as caught:
            await append.move_and_conclude(connection, seat, planned, [], 5)
        assert caught.value.code == "append.conflict"
        assert "one_name" in caught.value.message
        assert "was there" not in caught.value.message


async def test_sequences_rise_above_what_was_added_and_stay_where_they_are_free_already(
    database: Database, connection: asyncpg.Connection
) -> None:
    name = await connection.fetchval("SELECT pg_get_serial_sequence('parent', 'id')")
    planned = appending(
        ddl=(step(0, PARENT), step(1, CHILD), TRIGGER),
        sequences=(SequenceStep(schema_name="public", name=name.split(".")[1], table=0, column="id"),),
    )
    seat = await begun(database, connection, planned)
    await staged(database, connection, seat, planned, {0: rows_of([100])})
    await append.move_and_conclude(connection, seat, planned, [], 5)
    assert await connection.fetchval(f"SELECT nextval('{name}')") == 1 << 15
    await connection.execute("INSERT INTO parent (name) VALUES ('of the environment')")
    await connection.execute("DELETE FROM tailrace.run")

    seat = await begun(database, connection, planned)
    await staged(database, connection, seat, planned, {0: rows_of([200])})
    await append.move_and_conclude(connection, seat, planned, [], 5)
    assert await connection.fetchval(f"SELECT nextval('{name}')") == (1 << 15) + 2


async def test_a_restart_leaves_the_tables_alone_and_drops_what_was_staged(
    database: Database, connection: asyncpg.Connection
) -> None:
    there = await content(connection)
    seat = await begun(database, connection)
    assert await connection.fetchval(STAGED) == 2
    await undo.restart(connection, seat, "loading", 5, empty=True)
    await rebuild(database.destination(), Seat(RUN, 1, 2), parallel=2, lock_timeout_s=5, tolerant=False)
    assert await connection.fetchval(STAGED) == 0
    assert await content(connection) == there
    assert await connection.fetchval("SELECT prepared FROM tailrace.run") is False


async def test_the_minimal_grants_suffice(
    database: Database, destination: EmbeddedPostgres, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute("ALTER TABLE parent DISABLE TRIGGER parent_told")
    role = f"{database.name}_adder"
    destination.run_sql(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT USAGE ON SCHEMA public TO {role}; DROP SCHEMA tailrace CASCADE; "
        f"GRANT CREATE ON DATABASE {database.name} TO {role}; "
        f"GRANT SELECT, INSERT ON parent, child TO {role}; GRANT SELECT, UPDATE ON SEQUENCE parent_id_seq TO {role};",
        database.name,
    )
    monkeypatch.setenv("DESTINATION_URL", destination.url(database.name, role, "pw"))
    planned = appending(
        ddl=(step(0, PARENT), step(1, CHILD)),
        sequences=(SequenceStep(schema_name="public", name="parent_id_seq", table=0, column="id"),),
    )
    adder = await database.destination().connect()
    try:
        seat = await begun(database, adder, planned)
        await staged(database, adder, seat, planned, {0: rows_of([100]), 1: children([7], [100])})
        checks = await verify(adder, seat, planned)
        await append.move_and_conclude(adder, seat, planned, checks, 5)
    finally:
        await adder.close()
    assert await connection.fetchval("SELECT count(*) FROM child") == 1
    assert await connection.fetchval("SELECT nextval('parent_id_seq')") == 1 << 15


async def test_a_sequence_that_counts_down_is_taken_no_step_back(
    database: Database, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "CREATE SEQUENCE down INCREMENT -1; SELECT setval('down', -70000); ALTER TABLE child ALTER id SET DEFAULT nextval('down')"
    )
    planned = appending(sequences=(SequenceStep(schema_name="public", name="down", table=1, column="id"),))
    seat = await begun(database, connection, planned)
    await staged(database, connection, seat, planned, {1: children([-5, -6], [1, 2])})
    await append.move_and_conclude(connection, seat, planned, [], 5)
    assert await connection.fetchval("SELECT nextval('down')") == -70001
    await connection.execute("SELECT setval('down', -3); DELETE FROM tailrace.run; DELETE FROM child")

    seat = await begun(database, connection, planned)
    await staged(database, connection, seat, planned, {1: children([-5, -6], [1, 2])})
    await append.move_and_conclude(connection, seat, planned, [], 5)
    assert await connection.fetchval("SELECT nextval('down')") == -32769


@pytest.mark.parametrize("used", [False, True])
async def test_what_is_not_moved_leaves_sequences_where_they_were(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    sequence = "SELECT last_value, is_called FROM parent_id_seq"
    before = await connection.fetchrow(sequence)
    planned = appending(sequences=(SequenceStep(schema_name="public", name="parent_id_seq", table=0, column="id"),))
    seat = await begun(database, connection, planned)
    await staged(database, connection, seat, planned, {0: rows_of([100])})
    meanwhile: list[int] = []

    async def lost(*_: object) -> None:
        assert await connection.fetchrow(sequence) != before
        if used:
            other = await database.destination().connect()
            meanwhile.append(await other.fetchval("SELECT nextval('parent_id_seq')"))
            await other.close()
        raise Deposed(RUN)

    monkeypatch.setattr(undo, "conclude", lost)
    with pytest.raises(Deposed):
        await append.move_and_conclude(connection, seat, planned, [], 5)
    assert await connection.fetchval("SELECT count(*) FROM parent") == 2
    after = await connection.fetchrow(sequence)
    assert after == before if not used else tuple(after) == (meanwhile[0], True), "nobody gets a value twice"
