"""The spine, end to end: a job masks a real database through services that run as processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.databases import Pair
from support.installation import Installation, eventually

CARRIED = ("customer", "product", "orders", "order_line", "shipment")


@pytest.fixture(scope="module")
def shop(new_shop: Callable[..., Pair]) -> Pair:
    return new_shop("spine")


def test_a_job_arrives_masked_joined_and_verified(
    install: Callable[..., Installation], shop: Pair, shop_job: str
) -> None:
    before = shop.catalogue()
    installation = install(shop)

    record = installation.run(shop_job)

    assert record.state == "done", record.failure or record.problems
    assert record.checks
    assert all(check.passed for check in record.checks)
    for table in CARRIED:
        assert shop.value("source", f"SELECT count(*) FROM {table}") == shop.value(
            "destination", f"SELECT count(*) FROM {table}"
        )
    assert shop.value("destination", "SELECT count(*) FROM audit") == 0
    joins = (
        "SELECT count(*) FROM shipment s JOIN order_line l USING (order_id, line) "
        "JOIN orders o USING (order_id) JOIN customer c USING (customer_id)"
    )
    assert shop.value("source", joins) == shop.value("destination", joins)
    referred = "SELECT count(*) FROM customer a JOIN customer b ON a.referred_by = b.customer_id"
    assert shop.value("source", referred) == shop.value("destination", referred)
    assert shop.catalogue() == before, "what was dropped is back exactly as it was"
    assert shop.value("destination", "SELECT count(*) FROM shipment WHERE carrier = 'TRIGGERED'") == 0
    for canary in ("CanaryFirst", "CanaryLast", "canary secret", "Canary Lane", "Canaryville"):
        assert shop.contains(canary) == []
        assert canary not in installation.logs()
    eventually(lambda: not installation.topics_left(), 30, "the run's topics are gone")


def test_an_insert_through_a_sequence_works_afterwards(shop: Pair) -> None:
    inserted = shop.value(
        "destination",
        "INSERT INTO customer (first_name, last_name, email) VALUES ('New', 'Person', 'new@example.com') RETURNING customer_id",
    )
    assert isinstance(inserted, int)
    assert shop.value("destination", f"DELETE FROM customer WHERE customer_id = {inserted} RETURNING 1") == 1
