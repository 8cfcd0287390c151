"""Tables that are loaded anew while a run streams: asked for, after DDL in the source, and whatever dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from support.databases import Pair
from support.following import EVERY_TABLE, caught_up, let_follow, streaming
from support.installation import Installation, eventually
from tailrace_shared.messages import ResyncRequested, StopRequested

pytestmark = pytest.mark.timeout(300)
SECRET = "a mask secret of the resync tests"
TRAFFIC = """
UPDATE customer SET balance = balance + 1, note = 'n' || random() WHERE customer_id % 17 = {0} % 17;
INSERT INTO product (sku, title, price) SELECT 'T{0}-' || i, 'Thing ' || i, i FROM generate_series(1, 3) i;
UPDATE product SET price = price + 1 WHERE sku LIKE 'T%' AND random() < 0.1;
DELETE FROM shipment WHERE shipment_id % 50 = {0} % 50;
UPDATE orders SET paid = NOT paid WHERE order_id IN (SELECT order_id FROM orders ORDER BY random() LIMIT 5);
"""


def continuous(job: str) -> str:
    return job.replace("version: 1\n", "version: 1\nmode: continuous\n")


@contextmanager
def traffic(pair: Pair, statements: str = TRAFFIC) -> Iterator[None]:
    """Changes to the source for as long as the block lasts."""
    over, failures = threading.Event(), list[BaseException]()

    def change() -> None:
        turn = 0
        while not over.wait(0.05):
            turn += 1
            try:
                pair.source.run_sql(statements.format(turn), pair.name)
            except BaseException as error:
                failures.append(error)
                return

    worker = threading.Thread(target=change)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
    assert not failures, failures


def own(pair: Pair, *tables: str) -> None:
    """The writer's role owns tables of the destination: all, or these."""
    names = tables or [str(row[0]) for row in pair.fetch("destination", EVERY_TABLE)]
    pair.destination.run_sql("".join(f"ALTER TABLE {name} OWNER TO {pair.name}_loader;" for name in names), pair.name)


def tries(pair: Pair, table: str) -> object:
    """Loads of the table that have failed."""
    return pair.value("destination", f"SELECT tries FROM tailrace.\"table\" WHERE name = '{table}'")


def resynced(installation: Installation, pair: Pair, table: str, times: int = 1, seconds: float = 60) -> None:
    """Wait until the table has been loaded anew so often, and follows."""
    query = f"SELECT count(*) FROM tailrace.\"table\" WHERE name = '{table}' AND load >= {times} AND state = 'loaded'"
    said = 'SELECT array_agg((name, state, load, why)) FROM tailrace."table"'
    try:
        eventually(lambda: pair.value("destination", query), seconds, "it follows")
    except AssertionError:
        logs = installation.logs()[-20_000:]
        raise AssertionError(f"{table}: {pair.value('destination', said)}\n{logs}") from None


MORE = """
CREATE TABLE parcel (parcel_id integer PRIMARY KEY, label text, weight integer);
INSERT INTO parcel SELECT i, 'Parcel ' || i, i FROM generate_series(1, 300) i;
"""
CHANGED = """
ALTER TABLE customer DROP COLUMN street;
ALTER TABLE customer ADD COLUMN nickname text;
ALTER TABLE customer ADD COLUMN language text DEFAULT 'en';
ALTER TABLE orders ALTER COLUMN total TYPE numeric(14,3);
ALTER TABLE parcel ALTER COLUMN weight TYPE bigint;
"""
NEW = """
CREATE TABLE leaflet (leaflet_id integer PRIMARY KEY, heading text);
INSERT INTO leaflet SELECT i, 'Leaflet ' || i FROM generate_series(1, 50) i;
ALTER TABLE leaflet OWNER TO {0}_reader;
"""
PARCEL = """
  public.parcel: {columns: {parcel_id: key, label: mask.text, weight: duplicate}}
"""
LEAFLET = """  public.leaflet: {columns: {leaflet_id: key, heading: mask.text}}
"""


def test_tables_whose_definition_changes_under_traffic_come_back_and_new_ones_are_added(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("altered", 300)
    pair.source.run_sql(MORE, pair.name)
    pair.destination.run_sql(MORE + "TRUNCATE parcel;", pair.name)
    own(pair)
    let_follow(pair)
    installation = install(pair, mask_secret=SECRET)
    job = continuous(shop_job).replace("policy: halt", "policy: halt\ncontinuous: {columns: mask, heartbeat_s: 1}")
    job = job.replace(
        "tables:\n", f"tables:{PARCEL}  public.l*: {{columns: {{leaflet_id: key, heading: mask.text}}}}\n", 1
    )
    run = installation.submit(job)
    streaming(installation, run)
    with traffic(pair):
        pair.source.run_sql(CHANGED, pair.name)
        pair.source.run_sql("UPDATE customer SET nickname = 'Nick ' || customer_id", pair.name)
        resynced(installation, pair, "customer")
        resynced(installation, pair, "orders")
        resynced(installation, pair, "parcel")  # nobody writes to it: its change is found by looking
        pair.destination.run_sql("CREATE TABLE leaflet (leaflet_id integer PRIMARY KEY, heading text)", pair.name)
        own(pair, "leaflet")
        pair.source.run_sql(NEW.format(pair.name), pair.name)
        resynced(installation, pair, "leaflet")
    pair.source.run_sql("INSERT INTO leaflet VALUES (1000, 'The last one')", pair.name)
    caught_up(pair)
    assert pair.value("destination", "SELECT count(*) FROM leaflet") == 51
    assert not pair.contains("Nick ")
    followed = pair.digest()
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=60)
    assert record.state == "done", record.failure or record.checks
    again = shop_job.replace("tables:\n", f"tables:{PARCEL}{LEAFLET}", 1)
    again = again.replace("      street: mock.street\n", "      nickname: mask.text\n      language: mask.text\n")
    assert fresh_digest(installation, pair, again) == followed


GROWN = """
BEGIN;
LOCK TABLE customer;
UPDATE customer SET balance = balance + 1 WHERE customer_id = 1;
ALTER TABLE customer ADD COLUMN nickname text;
UPDATE customer SET nickname = 'Nick ' || customer_id, balance = balance + 1 WHERE customer_id < 3;
ALTER TABLE customer ADD COLUMN shade text, ADD COLUMN weight integer;
INSERT INTO customer (customer_id, first_name, last_name, email, shade, weight)
VALUES (90001, 'New', 'One', 'new.one@example.test', 'Nick grey', 12);
COMMIT;
"""


@pytest.mark.parametrize(
    ("victim", "point"),
    [
        ("", ""),
        *(
            pytest.param(victim, point, marks=pytest.mark.long)
            for victim, point in [
                ("reader", "reader.after-columns-appeared"),
                ("reader", "reader.before-columns-offer"),
                ("reader", "reader.after-columns-offer:2"),
                ("writer", "leader.mid-growth"),
                ("writer", "writer.mid-growth"),
            ]
        ),
    ],
)
def test_columns_that_are_added_arrive_in_place_whoever_dies_meanwhile(
    install: Callable[..., Installation],
    new_shop: Callable[..., Pair],
    shop_job: str,
    tmp_path: Path,
    victim: str,
    point: str,
) -> None:
    pair = new_shop("columns" + point.replace(".", "").replace("-", "").replace(":", ""), 200)
    own(pair)
    let_follow(pair)
    extra = {"TAILRACE_CRASH_AT": point, "TAILRACE_CRASH_ONCE": str(tmp_path / "one has died")} if point else {}
    installation = install(pair, mask_secret=SECRET, extra=extra)
    job = continuous(shop_job).replace("policy: halt", "policy: halt\ncontinuous: {columns: mask, heartbeat_s: 1}")
    run = installation.submit(job)
    streaming(installation, run)
    with traffic(pair):
        pair.source.run_sql(GROWN, pair.name)
        pair.source.run_sql("ALTER TABLE orders ADD COLUMN remark text", pair.name)
        pair.source.run_sql("UPDATE orders SET remark = 'Nick of time'", pair.name)
        if victim:
            eventually(installation.group.ended, 60, f"the {victim} has not come to {point}")
            installation.scale(victim, 1)
    caught_up(pair)
    record = installation.wait(run, lambda r: any("nickname" in t.why for t in r.tables), 30)
    said = {t.name: t.why for t in record.tables}
    assert "is followed as mask.text" in said["public.customer"], said
    assert {t.load for t in record.tables} == {0}, "nothing was loaded anew"
    assert not pair.contains("Nick ")
    assert pair.value("destination", "SELECT count(remark) = count(*) FROM orders")
    followed = pair.digest()
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=60)
    assert record.state == "done", record.failure or record.checks
    again = shop_job.replace("policy: halt", "policy: mask")
    assert fresh_digest(installation, pair, again) == followed


@pytest.mark.long
def test_a_column_that_appears_while_nobody_looks_and_the_slot_is_lost_is_masked_and_not_passed(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    """The next attempt begins with the column in its snapshot, as if it had always been there."""
    pair = new_shop("growngone", 200)
    own(pair)
    let_follow(pair)
    installation = install(pair, mask_secret=SECRET)
    job = continuous(shop_job).replace("policy: halt", "policy: pass\ncontinuous: {columns: mask}")
    run = installation.submit(job)
    streaming(installation, run)
    installation.scale("reader", 0)
    pair.source.run_sql("ALTER TABLE customer ADD COLUMN nickname text", pair.name)
    pair.source.run_sql("UPDATE customer SET nickname = 'Nick ' || customer_id", pair.name)

    def dropped() -> bool:
        try:
            return bool(
                pair.fetch(
                    "source",
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()",
                )
            )
        except asyncpg.ObjectInUseError:
            return False

    eventually(dropped, 30, "the slot is gone")
    installation.scale("reader", 1)
    record = installation.wait(run, lambda r: (r.state == "streaming" and r.attempt == 2) or r.terminal, 120)
    assert record.state == "streaming", record.failure or record.problems
    assert pair.value("destination", "SELECT count(nickname) = count(*) FROM customer")
    assert not pair.contains("Nick ")
    pair.source.run_sql("UPDATE customer SET nickname = 'Nick again ' || customer_id", pair.name)
    caught_up(pair)
    assert not pair.contains("Nick ")
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=60)
    assert record.state == "done", record.failure or record.checks


@pytest.mark.parametrize(
    ("victim", "point"), [("writer", "leader.mid-resync"), ("reader", "reader.after-resync-offer")]
)
def test_whoever_dies_during_a_resync_the_tables_end_equal(
    install: Callable[..., Installation],
    new_shop: Callable[..., Pair],
    shop_job: str,
    tmp_path: Path,
    victim: str,
    point: str,
) -> None:
    pair = new_shop(f"resync{victim}", 300)
    let_follow(pair)
    extra = {"TAILRACE_CRASH_AT": point, "TAILRACE_CRASH_ONCE": str(tmp_path / "one has died")}
    installation = install(pair, mask_secret=SECRET, extra=extra)
    run = installation.submit(continuous(shop_job))
    streaming(installation, run)
    pair.destination.run_sql("UPDATE customer SET note = 'not ours'", pair.name)
    with traffic(pair):
        installation.tell(ResyncRequested(run=run, table="public.customer"))
        eventually(installation.group.ended, 60, f"the {victim} has not come to {point}")
        installation.scale(victim, 1)
        resynced(installation, pair, "customer", seconds=90)
    caught_up(pair)
    followed = pair.digest()
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=60)
    assert record.state == "done", record.failure or record.checks
    assert fresh_digest(installation, pair, shop_job) == followed


def test_a_table_that_cannot_follow_is_left_alone_until_asked_for_and_named_at_the_end(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("asked", 200)
    let_follow(pair)
    installation = install(pair, mask_secret=SECRET)
    run = installation.submit(continuous(shop_job).replace("policy: halt", "policy: halt\ncontinuous: {ddl: ask}"))
    streaming(installation, run)
    pair.destination.run_sql("ALTER TABLE product ADD CONSTRAINT cheap CHECK (price < 5000) NOT VALID", pair.name)
    pair.destination.run_sql("ALTER TABLE shipment ADD CONSTRAINT few CHECK (shipment_id < 50000) NOT VALID", pair.name)
    pair.source.run_sql("UPDATE product SET price = 9000 WHERE sku = (SELECT min(sku) FROM product)", pair.name)
    pair.source.run_sql("UPDATE shipment SET shipment_id = shipment_id + 60000 WHERE shipment_id < 9", pair.name)
    pair.source.run_sql("UPDATE customer SET note = 'flows on'", pair.name)
    caught_up(pair)
    record = installation.wait(run, lambda r: sum(t.state == "quarantined" for t in r.tables) == 2, 60)
    said = {t.name: t.why for t in record.tables if t.state == "quarantined"}
    assert "cheap" in said["public.product"], said
    assert tries(pair, "product") == 0, "nobody has asked"
    assert pair.value("destination", "SELECT count(DISTINCT note) FROM customer") == 1
    installation.tell(ResyncRequested(run=run, table="public.product"))
    eventually(lambda: tries(pair, "product") == 1, 60, "it has not been tried")
    pair.destination.run_sql(
        "ALTER TABLE product DROP CONSTRAINT cheap; ALTER TABLE shipment DROP CONSTRAINT few", pair.name
    )
    installation.tell(ResyncRequested(run=run, table="public.product"))
    resynced(installation, pair, "product")
    pair.source.run_sql("UPDATE product SET title = title || '!'", pair.name)
    caught_up(pair)
    followed = pair.digest()
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=60)
    assert record.state == "failed"
    assert record.failure is not None
    assert record.failure.code == "verify.failed"
    assert "table public.shipment: in quarantine" in record.failure.message
    assert pair.digest() == followed, "what was loaded stays"
    fresh = fresh_digest(installation, pair, shop_job)
    assert {n: d for n, d in fresh.items() if d != followed[n]}.keys() == {"public.shipment"}


def fresh_digest(installation: Installation, pair: Pair, job: str) -> dict[str, tuple[int, int]]:
    """A run of the same job, once, of the source as it is now: into the same destination, emptied."""
    record = installation.run(job.replace('url: "${DESTINATION_URL}"}', 'url: "${DESTINATION_URL}", mode: truncate}'))
    assert record.state == "done", record.failure or record.problems
    return pair.digest()
