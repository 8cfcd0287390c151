"""The fence against a real PostgreSQL: applied once, discarded when late, never blocked by what has stopped."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from support.writing import ID_NAME, RUN, Database, head, job, plan, rows_of, table, text_of
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace_shared import messages as m
from tailrace_shared.catalogue.model import TableName
from tailrace_shared.errors import TerminalError, TransientError
from tailrace_shared.plan.model import DdlStep
from tailrace_writer import ending, prepare, undo
from tailrace_writer.apply import Applier
from tailrace_writer.beats import Beats
from tailrace_writer.destinations import Destination, beat
from tailrace_writer.encode import TableEncoder
from tailrace_writer.hindrance import AFTER, Hindrance
from tailrace_writer.leader_lock import take_lead
from tailrace_writer.lock_keys import lock_key
from tailrace_writer.rebuild import rebuild
from tailrace_writer.sessions import Sessions
from tailrace_writer.state import decisions as do
from tailrace_writer.state.facts import apply_fact
from tailrace_writer.state.machine import decide
from tailrace_writer.state.moves import Deposed, Seat
from tailrace_writer.state.read import read_picture
from tailrace_writer.state.view import RangeKey


def always(now: float, newest_age: float | None) -> bool:
    """Silence means something."""
    return True


SCHEMA = """
CREATE TABLE parent (id int4 PRIMARY KEY, name text);
CREATE INDEX parent_name ON parent (name);
CREATE TABLE child (id int4 PRIMARY KEY, name text, parent int4 CONSTRAINT child_parent REFERENCES parent);
CREATE TABLE outside (parent int4 CONSTRAINT outside_parent REFERENCES parent);
CREATE TABLE fired (what text);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired VALUES (TG_OP); RETURN NULL; END $$;
CREATE TRIGGER parent_emptied AFTER TRUNCATE ON parent EXECUTE FUNCTION tell();
"""
PARENT = table(0, "parent", ID_NAME, ranges=2)
CHILD = table(1, "child", ID_NAME)
DDL = (
    DdlStep(
        number=0, kind="index", table=PARENT.name, name="parent_name", drop="DROP INDEX public.parent_name",
        rebuild=("CREATE INDEX parent_name ON public.parent USING btree (name)",),
    ),
    *(
        DdlStep(
            number=n, kind="foreign-key", table=TableName(schema_name="public", name=name), name=f"{name}_parent",
            drop=f"ALTER TABLE public.{name} DROP CONSTRAINT {name}_parent",
            rebuild=(
                f"ALTER TABLE public.{name} ADD CONSTRAINT {name}_parent FOREIGN KEY (parent) REFERENCES parent(id) NOT VALID",
                f"ALTER TABLE public.{name} VALIDATE CONSTRAINT {name}_parent",
            ),
        )
        for n, name in ((1, "child"), (2, "outside"))
    ),
)  # fmt: skip
PLAN = plan(PARENT, CHILD, ddl=DDL)
TRIGGER = DdlStep(
    number=3, kind="trigger", table=PARENT.name, name="parent_emptied",
    drop="ALTER TABLE public.parent DISABLE TRIGGER parent_emptied",
    rebuild=("ALTER TABLE public.parent ENABLE TRIGGER parent_emptied",),
)  # fmt: skip
CATALOGUE = (
    "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint WHERE connamespace = 'public'::regnamespace "
    "UNION ALL SELECT indexname, indexdef, true FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
)


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


@pytest.fixture
async def loading(database: Database, connection: asyncpg.Connection) -> Seat:
    """A run that is loading; the seat of its leader."""
    seat = await database.submit(connection)
    await prepare.claim(connection, seat, PLAN)
    await prepare.prepare(connection, seat, PLAN, 5)
    return seat


def applier(destination: Destination, *, lock_timeout_s: float = 5.0) -> Applier:
    return Applier(Sessions(destination, 2), lock_timeout_s=lock_timeout_s, stale_s=0.5, replica_role=False)


async def apply(by: Applier, numbers: list[int], **where: int) -> str:
    encoder = TableEncoder(PARENT)
    of = head(where.pop("batch", 0), rows=len(numbers), **where)
    outcome, _ = await by.apply(of, PARENT, encoder.columns, encoder.encode(rows_of(numbers)))
    return outcome


async def test_a_batch_counts_once_however_often_and_by_whomever_it_is_applied(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    first, second = applier(database.destination("writer-a")), applier(database.destination("writer-b"))
    outcomes = await asyncio.gather(*(apply(by, [1, 2], batch=b) for b in (0, 0, 0) for by in (first, second)))
    assert sorted(outcomes) == ["done", *["duplicate"] * 5]
    assert await text_of(connection, "parent") == ['(1,"row 1")', '(2,"row 2")']


async def test_a_batch_of_another_attempt_or_state_is_discarded(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    by = applier(database.destination())
    assert await apply(by, [1], attempt=2) == "discarded"
    assert await apply(by, [1], table_no=7) == "discarded"
    await connection.execute("UPDATE tailrace.run SET state = 'finishing'")
    assert await apply(by, [1]) == "discarded"
    assert await text_of(connection, "parent") == []


async def test_a_batch_that_the_server_refuses_leaves_neither_rows_nor_ledger_nor_its_value_in_the_error(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    by = applier(database.destination())
    assert await apply(by, [1]) == "done"
    with pytest.raises(TerminalError) as refused:
        await apply(by, [2, 1], batch=1)
    assert refused.value.code == "postgres.unique-violation"
    assert "parent_pkey" in refused.value.message
    assert "row 1" not in str(refused.value)
    assert await connection.fetchval("SELECT count(*) FROM tailrace.ledger") == 1
    assert await apply(by, [2], batch=1) == "done", "the session is usable"


async def test_a_stopped_writer_that_holds_the_ledger_key_is_ended_once_it_is_stale(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    stopped = await database.destination("writer-stopped").connect()
    await beat(stopped, "writer-stopped")
    await stopped.execute("BEGIN")
    await stopped.execute("INSERT INTO tailrace.ledger VALUES ($1, 1, 0, 0, 0, 0, 0, 1, true, 1, 1, 'p')", RUN)
    by = applier(database.destination("writer-live"), lock_timeout_s=0.7)
    with pytest.raises(TransientError) as waiting:
        await apply(by, [1])
    assert waiting.value.code == "postgres.lock"
    assert await apply(by, [1]) == "done"
    assert stopped.is_closed() or await _gone(stopped)


async def _gone(connection: asyncpg.Connection) -> bool:
    try:
        await connection.execute("SELECT 1")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return True
    return False


async def test_what_is_dropped_is_remembered_and_comes_back_exactly(
    database: Database, connection: asyncpg.Connection
) -> None:
    before = await connection.fetch(CATALOGUE)
    seat = await database.submit(connection)
    await prepare.claim(connection, seat, PLAN)
    await prepare.prepare(connection, seat, PLAN, 5)
    assert len(await connection.fetch(CATALOGUE)) == len(before) - 3
    with pytest.raises(Deposed):
        await prepare.prepare(connection, seat, PLAN, 5)
    await rebuild(database.destination(), seat, parallel=2, lock_timeout_s=5, tolerant=False)
    assert await connection.fetch(CATALOGUE) == before
    await rebuild(database.destination(), seat, parallel=2, lock_timeout_s=5, tolerant=False)


async def test_a_stop_in_the_middle_of_rebuilding_truncates_what_is_referred_to_again(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    assert await apply(applier(database.destination()), [1]) == "done"
    await connection.execute("UPDATE tailrace.run SET state = 'finishing'")
    await rebuild(database.destination(), loading, parallel=2, lock_timeout_s=5, tolerant=False)
    await undo.stop(connection, loading, "finishing", "cancelled", 5, empty=True)
    assert await text_of(connection, "parent") == []
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == 0
    await rebuild(database.destination(), loading, parallel=2, lock_timeout_s=5, tolerant=True)
    await undo.conclude(connection, loading, "stopping", "cancelled")
    assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated") == 2
    left = "SELECT (SELECT count(*) FROM tailrace.{0} WHERE run = '" + RUN + "')"
    for name in ("ledger", "range", '"table"', "ddl", "claim", "replica"):
        assert await connection.fetchval(left.format(name)) == 0
    assert await apply(applier(database.destination()), [1]) == "discarded", "the row that stays is the fence"


async def test_triggers_that_are_back_already_step_aside_when_the_tables_are_emptied_again(
    database: Database, connection: asyncpg.Connection
) -> None:
    made = plan(PARENT, CHILD, ddl=(*DDL, TRIGGER), truncate_first=True)
    seat = await database.submit(connection)
    await prepare.claim(connection, seat, made)
    await prepare.prepare(connection, seat, made, 5)
    await rebuild(database.destination(), seat, parallel=2, lock_timeout_s=5, tolerant=False)
    await undo.stop(connection, seat, "loading", "failed", 5, empty=True)
    await rebuild(database.destination(), seat, parallel=2, lock_timeout_s=5, tolerant=True)
    assert await connection.fetchval("SELECT count(*) FROM fired") == 0
    await connection.execute("TRUNCATE parent CASCADE")
    assert await connection.fetchval("SELECT count(*) FROM fired") == 1, "it is enabled again"


async def test_a_restart_empties_the_tables_and_keeps_the_former_attempt_out(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    by = applier(database.destination())
    assert await apply(by, [1]) == "done"
    await undo.restart(connection, loading, "loading", 5, empty=True)
    assert await text_of(connection, "parent") == []
    assert await apply(by, [1]) == "discarded"
    row = await connection.fetchrow("SELECT state, attempt, digest, prepared FROM tailrace.run")
    assert row is not None
    assert tuple(row) == ("submitted", 2, "", False)
    picture = await read_picture(connection, RUN, active=True, stale_s=10, settled=always)
    assert picture.view.undone == 3


async def test_rows_that_tailrace_did_not_write_stop_the_run_before_anything_is_changed(
    database: Database, connection: asyncpg.Connection
) -> None:
    before = await connection.fetch(CATALOGUE)
    await connection.execute("INSERT INTO parent VALUES (7, 'ours')")
    seat = await database.submit(connection)
    await prepare.claim(connection, seat, PLAN)
    with pytest.raises(TerminalError) as refused:
        await prepare.prepare(connection, seat, PLAN, 5)
    assert refused.value.code == "prepare.not-empty"
    await undo.stop(connection, seat, "preparing", "failed", 5, empty=False)
    assert await text_of(connection, "parent") == ["(7,ours)"]
    assert await connection.fetch(CATALOGUE) == before


async def test_a_second_run_on_a_claimed_table_is_refused_and_told_which_run_has_it(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    other = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
    seat = await database.submit(connection, other)
    with pytest.raises(TerminalError) as refused:
        await prepare.claim(connection, seat, PLAN)
    assert refused.value.code == "claim.taken"
    assert RUN in refused.value.message


async def test_a_plan_made_beside_a_run_that_has_ended_since_is_made_again(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    other = "01ARZ3NDEKTSV4RRFFQ69G5FAW"
    seat = await database.submit(connection, other)
    await connection.execute("UPDATE tailrace.run SET catalogue_at = clock_timestamp() WHERE run = $1", other)
    await undo.stop(connection, loading, "loading", "cancelled", 5, empty=True)
    await rebuild(database.destination(), loading, parallel=2, lock_timeout_s=5, tolerant=True)
    await ending.conclude(connection, loading, "cancelled")
    with pytest.raises(prepare.Outdated) as outdated:
        await prepare.claim(connection, seat, PLAN)
    assert outdated.value.other == RUN
    assert not await connection.fetchval("SELECT count(*) FROM tailrace.claim")
    await undo.restart(connection, seat, "planned", 5, empty=False)
    await connection.execute(
        "UPDATE tailrace.run SET catalogue_at = clock_timestamp(), state = 'planned' WHERE run = $1", other
    )
    await prepare.claim(connection, Seat(other, seat.epoch, 2), PLAN)


async def test_what_cannot_be_rebuilt_stays_defined_and_the_failure_says_where(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    await undo.stop(connection, loading, "loading", "cancelled", 5, empty=True)
    await connection.execute("ALTER TABLE child RENAME COLUMN parent TO other")
    await rebuild(database.destination(), loading, parallel=2, lock_timeout_s=5, tolerant=True)
    await ending.conclude(connection, loading, "cancelled")
    assert [tuple(r) for r in await connection.fetch("SELECT kind, name FROM tailrace.ddl")] == [
        ("foreign-key", "child_parent")
    ]
    failure = await connection.fetchval("SELECT failure->>'remedy' FROM tailrace.run WHERE run = $1", RUN)
    assert "foreign-key child_parent" in failure
    assert "kept in tailrace.ddl" in failure


async def test_the_picture_counts_writers_and_knows_why_they_stay_out_or_cannot_write(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    await connection.execute("DELETE FROM tailrace.replica")
    await beat(connection, "writer-1")

    async def look() -> tuple[int, str, str]:
        view = (await read_picture(connection, RUN, active=True, stale_s=10, settled=always)).view
        return view.writers, view.refusal, view.hindrance

    assert await look() == (1, "", "")
    locked, hindrance = (
        TransientError("postgres.lock", "a lock is held"),
        Hindrance(RUN, "writer-1", database.destination()),
    )
    for _ in range(AFTER):
        await hindrance.failed(locked)
    assert await look() == (1, "", "postgres.lock: a lock is held")
    await hindrance.passed()
    assert await look() == (1, "", "")
    failure = m.Failure(code="x", message="another release")
    await apply_fact(connection, m.ReplicaRefused(run=RUN, service="writer", replica="writer-1", failure=failure))
    await connection.execute("UPDATE tailrace.replica SET seen_at = seen_at - interval '60 s' WHERE run = $1", RUN)
    assert await look() == (0, "a writer replica that can take part: another release", "")
    await beat(connection, "writer-2")
    assert await look() == (1, "", ""), "another one does the work"


def facts() -> list[m.Fact]:
    """What the stages tell in the course of a run, as often as they like."""
    prints = m.Fingerprints(mask_secret="m", catalogue="c", pools="p")
    failure = m.Failure(code="x", message="y")
    return [
        m.ReplicaSeen(run=RUN, service="generator", replica="generator-1", release="0", fingerprints=prints, rows=5),
        m.ReplicaRefused(run=RUN, service="generator", replica="generator-2", failure=failure),
        m.SnapshotHeld(run=RUN, attempt=1, replica="reader-2", snapshot="s-2"),
        m.SnapshotUnavailable(run=RUN, attempt=1, replica="reader-3", tried=("s-1",)),
        m.RangeRead(
            run=RUN, attempt=1, table=0, load=0, range=0, replica="r", rows=2, batches=1, bytes=20, rest=m.Bound(block=4, item=2)
        ),
        m.RangeRead(run=RUN, attempt=1, table=0, load=0, range=1, replica="r", rows=3, batches=2, bytes=30),
        m.RangeRead(run=RUN, attempt=2, table=0, load=0, range=1, replica="r", rows=9, batches=9, bytes=90),
        m.Planned(run=RUN, attempt=1, replica="reader-9", digest="other", snapshot="s-9"),
        m.StageFailed(run=RUN, attempt=2, service="reader", replica="r", failure=failure),
        m.SourceRewritten(run=RUN, attempt=2, table=0, replica="r"),
    ]  # fmt: skip


async def test_facts_doubled_and_in_any_order_leave_the_same_tables(
    database: Database, connection: asyncpg.Connection
) -> None:
    seat = await database.submit(connection)
    await prepare.claim(connection, seat, PLAN)
    await prepare.prepare(connection, seat, PLAN, 5)
    pictures = set()
    columns = {
        "run": "state, attempt, digest, failure, restart_because, unavailable, cancel_requested",
        "range": "table_no, range_no, state, rows, batches, bytes, low_block, low_item, high_block, parent_no, estimated_bytes",
        "replica": "replica, service, snapshot, rows, refused",
    }
    for seed in range(8):
        told = facts() * 2
        random.Random(seed).shuffle(told)
        transaction = connection.transaction()
        await transaction.start()
        for fact in told:
            await apply_fact(connection, fact)
        seen = []
        for name, names in columns.items():
            rows = await connection.fetch(f"SELECT {names} FROM tailrace.{name}")
            seen.append(tuple(sorted(str(tuple(row)) for row in rows)))
        pictures.add(tuple(seen))
        await transaction.rollback()
    assert len(pictures) == 1
    assert "s-9" not in str(pictures), "a planner whose plan came second holds another snapshot"


async def test_the_rest_of_a_range_is_a_range_of_its_own_numbered_by_its_parent(
    connection: asyncpg.Connection, loading: Seat
) -> None:
    for fact in facts():
        await apply_fact(connection, fact)
    row = await connection.fetchrow("SELECT * FROM tailrace.range WHERE parent_no = 0")
    assert row is not None
    assert (row["range_no"], row["low_block"], row["low_item"], row["high_block"]) == (2, 4, 2, 10)
    picture = await read_picture(connection, RUN, active=True, stale_s=10, settled=always)
    assert [c.key for c in picture.view.candidates] == [RangeKey(0, 0, 2), RangeKey(1, 0, 0)]
    assert {o.key: o.outstanding_bytes for o in picture.view.open} == {RangeKey(0, 0, 0): 20, RangeKey(0, 0, 1): 30}


async def test_after_a_leader_was_held_up_nobody_counts_as_gone_at_its_first_look(
    connection: asyncpg.Connection, loading: Seat
) -> None:
    """A broker that hangs holds up the leader, which publishes, and everybody's heartbeats alike."""
    for fact in facts():
        await apply_fact(connection, fact)
    beats = Beats(stale_s=10)
    assert not beats.settled(0, 0.1)
    now = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    assert not any(beats.settled(now - 33 + second, 0.1) for second in range(10))
    assert all(beats.settled(now - 33 + second, 0.1) for second in range(11, 13))
    await connection.execute("UPDATE tailrace.replica SET seen_at = clock_timestamp() - interval '20 s'")
    picture = await read_picture(connection, RUN, active=True, stale_s=10, settled=beats.settled)
    assert picture.view.snapshots == 0
    assert not picture.view.settled
    assert not any(isinstance(decision, do.Restart) for decision in decide(picture.view, picture.now))


async def test_the_picture_counts_what_the_ledger_holds(
    database: Database, connection: asyncpg.Connection, loading: Seat
) -> None:
    assert await apply(applier(database.destination()), [1, 2], range_no=1, last=False) == "done"  # type: ignore[arg-type]
    for fact in facts():
        await apply_fact(connection, fact)
    picture = await read_picture(connection, RUN, active=True, stale_s=10, settled=always)
    (second,) = [o for o in picture.view.open if o.key == RangeKey(0, 0, 1)]
    assert (second.ledger_batches, second.ledger_rows, second.outstanding_bytes, second.complete) == (1, 2, 10, False)
    assert decide(picture.view, picture.now)


async def test_a_stopped_leader_loses_the_lead_and_what_it_decided_changes_nothing(
    database: Database, connection: asyncpg.Connection
) -> None:
    await apply_fact(connection, m.RunSubmitted(run=RUN, job=job(), at=datetime.now(UTC)))
    old = await take_lead(
        database.destination("writer-old"), RUN, "writer-old", heartbeat_s=60, stale_s=0.5, wanted=lambda: True
    )
    assert old is not None
    new = await asyncio.wait_for(
        take_lead(
            database.destination("writer-new"), RUN, "writer-new", heartbeat_s=0.2, stale_s=0.5, wanted=lambda: True
        ),
        15,
    )
    assert new is not None
    assert (old.epoch, new.epoch) == (1, 2)
    with pytest.raises((Deposed, TransientError)):
        await old.use(lambda c: c.execute("UPDATE tailrace.run SET state = 'planned'"))
    with pytest.raises(Deposed):
        await undo.stop(connection, old.seat(1), "submitted", "failed", 5, empty=False)
    await old.close()
    await new.close()


async def test_a_live_leader_keeps_the_lead(database: Database, connection: asyncpg.Connection) -> None:
    await apply_fact(connection, m.RunSubmitted(run=RUN, job=job(), at=datetime.now(UTC)))
    lead = await take_lead(
        database.destination("writer-a"), RUN, "writer-a", heartbeat_s=0.1, stale_s=1.0, wanted=lambda: True
    )
    assert lead is not None
    rival = asyncio.create_task(
        take_lead(database.destination("writer-b"), RUN, "writer-b", heartbeat_s=0.1, stale_s=1.0, wanted=lambda: True)
    )
    done, _ = await asyncio.wait({rival}, timeout=2.5)
    assert not done
    await lead.close()
    taken = await asyncio.wait_for(rival, 10)
    assert taken is not None
    await taken.close()


def test_lock_keys_of_a_run_differ() -> None:
    keys = {lock_key("leader", RUN), lock_key("fence", RUN), lock_key("rebuild", RUN, 1), lock_key("rebuild", RUN, 2)}
    assert len(keys) == 4
    assert all(-(2**63) <= key < 2**63 for key in keys)
