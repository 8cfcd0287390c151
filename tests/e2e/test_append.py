"""Appending: rows come beside those that are there, all at once or not at all, whoever dies and whatever is in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psutil
import pytest

from support.databases import Pair
from support.installation import Installation, eventually

ENVIRONMENT = """
ALTER TABLE shipment DISABLE TRIGGER USER;
INSERT INTO customer (customer_id, first_name, last_name, email) VALUES (1073741900, 'Env', 'Ironment', 'env@environment');
INSERT INTO product VALUES ('ENVIRONMENT', 'Theirs', 1);
INSERT INTO orders VALUES ('00000000-0000-0000-0000-000000000001', 1073741900, now(), 1, false);
INSERT INTO order_line VALUES ('00000000-0000-0000-0000-000000000001', 1, 'ENVIRONMENT', 1);
INSERT INTO shipment VALUES (4000000000000000, '00000000-0000-0000-0000-000000000001', 1, 'theirs', NULL);
ALTER TABLE shipment ENABLE TRIGGER USER;
"""
"""What somebody has put into the lower environment."""
TABLES = ("customer", "product", "orders", "order_line", "shipment")
JOINED = (
    "SELECT count(*) FROM shipment JOIN order_line USING (order_id, line) JOIN product USING (sku) "
    "JOIN orders USING (order_id) JOIN customer c USING (customer_id) LEFT JOIN customer r ON r.customer_id = c.referred_by"
)
REFERRED = "SELECT count(*) FROM customer a JOIN customer b ON a.referred_by = b.customer_id"


def beside(pair: Pair) -> Pair:
    """The destination has rows of its own."""
    pair.destination.run_sql(ENVIRONMENT, pair.name)
    return pair


@pytest.fixture(scope="module")
def shop(new_shop: Callable[..., Pair]) -> Iterator[Pair]:
    return beside(new_shop("appended", 400))


@pytest.fixture
def job(shop_job: str) -> str:
    return shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: append')


def added_once(pair: Pair) -> None:
    """Every row of the source is there beside the one of the environment, which is as it was."""
    for table in TABLES:
        count = f"SELECT count(*) FROM {table}"
        assert pair.value("destination", count) == pair.value("source", count) + 1, table  # type: ignore[operator]
    assert pair.value("destination", JOINED) == pair.value("source", JOINED) + 1  # type: ignore[operator]
    assert pair.value("destination", REFERRED) == pair.value("source", REFERRED)
    assert pair.value("destination", "SELECT count(*) FROM shipment WHERE carrier = 'TRIGGERED'") == 0
    assert pair.value("destination", "SELECT email FROM customer WHERE customer_id = 1073741900") == "env@environment"
    assert pair.contains("CanaryFirst") == []


def nothing_is_left(installation: Installation) -> None:
    eventually(lambda: not installation.topics_left(), 60, "the run's topics are gone")
    left = "SELECT count(*) FROM pg_tables WHERE schemaname = 'tailrace' AND tablename LIKE 'append%'"
    assert installation.pair.value("destination", left) == 0


def remove(pair: Pair) -> None:
    """What a run has added goes again."""
    pair.destination.run_sql(
        f"TRUNCATE {', '.join(TABLES)} CASCADE; ALTER SEQUENCE customer_customer_id_seq RESTART;"
        "ALTER SEQUENCE shipment_shipment_id_seq RESTART;" + ENVIRONMENT,
        pair.name,
    )


def test_rows_are_added_to_those_that_are_there_a_second_time_their_keys_are_in_the_way_and_without_them_it_just_works(
    install: Callable[..., Installation], shop: Pair, job: str
) -> None:
    before = shop.catalogue()
    installation = install(shop)

    record = installation.run(job)

    assert record.state == "done", record.failure or record.problems
    assert all(check.passed for check in record.checks)
    rows = next(check.detail for check in record.checks if check.name == "rows public.customer")
    assert rows == "400 read, 400 in the ledger, 400 staged, 400 added to the table"
    assert [check.name for check in record.checks if check.name.startswith("leak ")]
    warned = {p.where for p in record.problems if p.code == "plan.append-collision"}
    assert "public.customer" in warned
    added_once(shop)
    assert shop.catalogue() == before
    nothing_is_left(installation)
    assert shop.value("destination", "SELECT nextval('customer_customer_id_seq')") > 1073741900  # type: ignore[operator]

    there = shop.digest()
    again = installation.run(job)
    assert again.state == "failed"
    assert again.failure is not None
    assert again.failure.code == "append.conflict"
    assert "_pkey" in again.failure.message or "_key" in again.failure.message
    assert shop.digest() == there
    assert shop.catalogue() == before
    nothing_is_left(installation)

    remove(shop)
    once_more = installation.run(job)
    assert once_more.state == "done", once_more.failure
    added_once(shop)
    assert shop.catalogue() == before
    remove(shop)


def test_a_role_that_may_only_read_and_insert_appends_on_three_replicas_of_each_service(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], job: str
) -> None:
    pair = beside(new_shop("appended_granted", 400, owner=False))
    role = f"{pair.name}_loader"
    pair.destination.run_sql(
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}; REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role};",
        pair.name,
    )
    sequences = ("customer_customer_id_seq", "shipment_shipment_id_seq")
    pair.grant("destination", "append", "set sequences", tables=TABLES, sequences=sequences)
    before = pair.catalogue()
    installation = install(pair, replicas={"reader": 3, "generator": 3, "writer": 3})
    refused = installation.run(job)
    assert [p.where for p in refused.problems if p.severity == "error"] == ["public.shipment"], "its trigger would fire"
    pair.destination.run_sql("ALTER TABLE shipment DISABLE TRIGGER USER", pair.name)
    disabled = pair.catalogue()

    record = installation.run(job)

    assert record.state == "done", record.failure or record.problems
    added_once(pair)
    assert pair.catalogue() == disabled != before
    nothing_is_left(installation)


@pytest.mark.crash
@pytest.mark.parametrize("point", ["leader.before-moved", "leader.after-ledger-gone"])
def test_a_leader_that_dies_before_or_after_the_commit_of_the_move_adds_all_rows_once(
    install: Callable[..., Installation], shop: Pair, job: str, point: str
) -> None:
    before = shop.catalogue()
    there = shop.digest()
    installation = install(shop, replicas={"writer": 0})
    (doomed,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=point)
    run = installation.submit(job)
    eventually(lambda: not doomed.alive, 60, f"{point} was reached")
    state = shop.value("destination", f"SELECT state FROM tailrace.run WHERE run = '{run}'")
    if point == "leader.before-moved":
        assert state == "verifying"
        assert shop.digest() == there, "nothing is there before all is"
    else:
        assert state == "done"
        added_once(shop)
    installation.scale("writer", 1)
    record = installation.wait(run)
    assert record.state == "done", record.failure
    added_once(shop)
    assert shop.catalogue() == before
    nothing_is_left(installation)
    remove(shop)


@pytest.mark.long
@pytest.mark.parametrize("place", ["leader.in-loading", "leader.in-verifying", "leader.before-moved"])
def test_a_destination_server_that_crashes_and_comes_back_has_all_rows_once(
    install: Callable[..., Installation], shop: Pair, job: str, place: str
) -> None:
    """Before the move nothing is there; staged rows and the ledger that tells of them outlive the crash together."""
    before, there = shop.catalogue(), shop.digest()
    installation = install(shop, replicas={"writer": 0})
    (held,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=place, TAILRACE_CRASH_SIGNAL="STOP")
    run = installation.submit(job)
    eventually(lambda: psutil.Process(held.pid).status() == psutil.STATUS_STOPPED, 60, f"{place} was reached")
    shop.destination.kill()
    shop.destination.start()
    assert shop.digest() == there, "nothing is there before all is"
    held.kill()
    installation.scale("writer", 1)
    record = installation.wait(run, seconds=180)
    assert record.state == "done", record.failure
    added_once(shop)
    assert shop.catalogue() == before
    nothing_is_left(installation)
    remove(shop)


def test_a_cancelled_run_has_changed_nothing(install: Callable[..., Installation], shop: Pair, job: str) -> None:
    before, there = shop.catalogue(), shop.digest()
    installation = install(shop)
    run = installation.submit(job)
    installation.wait(run, lambda r: r.terminal or r.state == "loading")
    for generator in installation.group.replicas("generator"):
        generator.kill()
    installation.cancel(run)
    assert installation.wait(run).state == "cancelled"
    assert shop.digest() == there
    assert shop.catalogue() == before
    nothing_is_left(installation)
