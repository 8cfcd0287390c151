"""A continuous run: what arrives by change capture equals a fresh masked snapshot, and nothing is left behind at its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.databases import Pair
from support.following import caught_up, let_follow, slots, streaming
from support.installation import Installation, eventually
from tailrace_shared.messages import RunRecord, StopRequested

pytestmark = pytest.mark.timeout(300)
SECRET = "a mask secret of the continuous tests"
CHANGES = """
INSERT INTO customer (first_name, last_name, email, born, note)
  SELECT 'New ' || i, 'Person ' || i, 'new.' || i || '@example.com', date '1990-01-01' + i,
  repeat('n', i) FROM generate_series(1, 40) i;
UPDATE customer SET balance = balance + 10, note = 'changed ' || customer_id WHERE customer_id % 3 = 0;
UPDATE customer SET last_name = upper(last_name) WHERE customer_id % 5 = 0;
UPDATE product SET price = price * 2 WHERE sku IN (SELECT sku FROM product ORDER BY sku LIMIT 10);
DELETE FROM shipment WHERE shipment_id % 4 = 0;
DELETE FROM order_line l WHERE line = 3
  AND NOT EXISTS (SELECT 1 FROM shipment s WHERE s.order_id = l.order_id AND s.line = 3);
BEGIN;
INSERT INTO orders SELECT gen_random_uuid(), customer_id, now(), 5, true FROM customer WHERE customer_id % 7 = 0;
UPDATE orders SET paid = NOT paid WHERE total > 50;
COMMIT;
BEGIN;
UPDATE customer SET email = 'swap' WHERE customer_id = 1;
UPDATE customer SET email = (SELECT email FROM customer WHERE customer_id = 3) || '.x' WHERE customer_id = 2;
ROLLBACK;
UPDATE customer SET customer_id = 900001 WHERE customer_id = (SELECT max(customer_id) FROM customer
  WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = customer.customer_id)
    AND NOT EXISTS (SELECT 1 FROM customer r WHERE r.referred_by = customer.customer_id));
"""


def continuous(job: str) -> str:
    return job.replace("version: 1\n", "version: 1\nmode: continuous\n")


def test_what_streams_equals_a_fresh_snapshot_and_a_stop_leaves_the_rows_and_nothing_else(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("follow", 400)
    let_follow(pair)
    before = pair.catalogue()
    canaries = "\n".join(str(row[0]) for row in pair.fetch("source", "SELECT email FROM customer LIMIT 5"))
    installation = install(pair, mask_secret=SECRET, canaries=canaries)
    run = installation.submit(continuous(shop_job))
    streaming(installation, run)
    pair.source.run_sql(CHANGES, pair.name)
    caught_up(pair)
    eventually(lambda: told_fresh(installation.records(run)[-1]), 30, "every table is told to be fresh")
    followed = pair.digest()
    assert followed["public.customer"][0] == pair.value("source", "SELECT count(*) FROM customer")
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=60)
    assert record.state == "done", record.failure or record.checks
    assert pair.catalogue() == before
    assert pair.digest() == followed
    assert slots(pair) == []
    assert fresh_digest(installation, pair, shop_job) == followed


def told_fresh(record: RunRecord) -> bool:
    return record.lanes[0].changes > 0 and {table.lag_s for table in record.tables} == {0.0}


def fresh_digest(installation: Installation, pair: Pair, job: str) -> dict[str, tuple[int, int]]:
    """A run of the same job, once, of the source as it is now: into the same destination, emptied."""
    record = installation.run(job.replace('url: "${DESTINATION_URL}"}', 'url: "${DESTINATION_URL}", mode: truncate}'))
    assert record.state == "done", record.failure or record.problems
    return pair.digest()
