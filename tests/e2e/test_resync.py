"""Tables that are loaded anew while a run streams: asked for, after DDL in the source, and whatever dies meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from support.databases import Pair
from support.following import caught_up, let_follow, streaming
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


def resynced(installation: Installation, pair: Pair, table: str, times: int = 1, seconds: float = 60) -> None:
    """Wait until the table has been loaded anew so often, and follows."""
    query = f"SELECT load >= {times} AND state = 'loaded' FROM tailrace.\"table\" WHERE name = '{table}'"
    said = 'SELECT array_agg((name, state, load, why)) FROM tailrace."table"'
    try:
        eventually(lambda: pair.value("destination", query), seconds, "it follows")
    except AssertionError:
        logs = installation.logs()[-20_000:]
        raise AssertionError(f"{table}: {pair.value('destination', said)}\n{logs}") from None


def test_a_table_is_loaded_again_while_the_others_flow(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("resync", 400)
    let_follow(pair)
    installation = install(pair, mask_secret=SECRET)
    run = installation.submit(continuous(shop_job))
    streaming(installation, run)
    pair.destination.run_sql("UPDATE customer SET note = 'not ours'", pair.name)
    with traffic(pair):
        installation.tell(ResyncRequested(run=run, table="public.customer"))
        resynced(installation, pair, "customer")
    caught_up(pair)
    followed = pair.digest()
    installation.tell(StopRequested(run=run))
    record = installation.wait(run, seconds=60)
    assert record.state == "done", record.failure or record.checks
    assert fresh_digest(installation, pair, shop_job) == followed


def fresh_digest(installation: Installation, pair: Pair, job: str) -> dict[str, tuple[int, int]]:
    """A run of the same job, once, of the source as it is now: into the same destination, emptied."""
    record = installation.run(job.replace('url: "${DESTINATION_URL}"}', 'url: "${DESTINATION_URL}", mode: truncate}'))
    assert record.state == "done", record.failure or record.problems
    return pair.digest()
