"""A destination that follows its source is compared with it while both go on: equal, or the table that differs is named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg
import pytest
from ulid import ULID

from e2e.test_continuous import continuous
from support.databases import Pair
from support.following import let_follow, streaming
from support.installation import Installation, eventually
from tailrace_shared.messages import ComparisonProgress, ComparisonRequested, PauseRequested, RunRecord

pytestmark = pytest.mark.timeout(300)
TRAFFIC = """
INSERT INTO customer (first_name, last_name, email, born, note)
  SELECT 'New', 'Person', 'n.' || clock_timestamp() || '.' || random() || '@example.com', date '1990-01-01', repeat('n', 20);
UPDATE customer SET balance = balance + 1, note = 'changed ' || random() WHERE customer_id % 17 = (random() * 17)::int;
DELETE FROM shipment WHERE ctid IN (SELECT ctid FROM shipment LIMIT 1);
UPDATE product SET price = price + 1 WHERE sku IN (SELECT sku FROM product ORDER BY random() LIMIT 3);
"""


@contextmanager
def traffic(pair: Pair) -> Iterator[None]:
    """Changes to the source, as fast as two sessions make them, for as long as the block lasts."""
    stop = threading.Event()

    async def change() -> None:
        connection = await asyncpg.connect(pair.source_url)
        try:
            while not stop.is_set():
                for statement in TRAFFIC.strip().split(";\n"):
                    await connection.execute(statement.rstrip(";"))
        finally:
            await connection.close()

    import asyncio

    threads = [threading.Thread(target=lambda: asyncio.run(change())) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def compared(installation: Installation, run: str, *tables: str, seconds: float = 60) -> ComparisonProgress:
    asked = str(ULID())
    installation.tell(ComparisonRequested(run=run, id=asked, tables=tables))

    def over(record: RunRecord) -> bool:
        made = record.comparison
        return made is not None and made.id == asked and made.state in ("done", "failed", "refused")

    found = installation.wait(run, over, seconds).comparison
    assert found is not None
    return found


def test_a_destination_that_follows_is_equal_under_traffic_and_a_row_changed_behind_our_back_is_found(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("comparing", 400)
    let_follow(pair)
    installation = install(pair)
    run = installation.submit(continuous(shop_job))
    streaming(installation, run)
    with traffic(pair):
        first = compared(installation, run)
        assert first.state == "done", first.why
        assert [check.name for check in first.checks if not check.passed] == []
        assert {check.name for check in first.checks} >= {"live public.customer", "live public.orders"}
        assert first.left_out == ()
        assert pair.value("source", "SELECT count(*) FROM pg_replication_slots WHERE temporary") == 0
        one = compared(installation, run, "public.product")
        assert [check.name for check in one.checks] == ["live public.product"]
        assert one.checks[0].passed
        # no traffic goes to this table
        pair.destination.run_sql("UPDATE order_line SET quantity = quantity + 1 WHERE line = 1", pair.name)
        again = compared(installation, run)
        assert [check.name for check in again.checks if not check.passed] == ["live public.order_line"]
        wrong = next(check for check in again.checks if not check.passed)
        assert "rows on both sides" in wrong.detail
    unknown = compared(installation, run, "public.nowhere")
    assert (unknown.state, unknown.why) == ("failed", "the run has no table public.nowhere")
    installation.tell(PauseRequested(run=run))
    installation.wait(run, lambda record: record.state == "paused", 30)
    refused = compared(installation, run)
    assert refused.state == "refused"
    assert "paused" in refused.why
    assert eventually(
        lambda: pair.value("destination", "SELECT count(*) FROM tailrace.comparison_batch") == 0, 10, "rows are left"
    )
