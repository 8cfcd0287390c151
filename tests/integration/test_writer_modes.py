"""Destinations as jobs ask for them, and runs that fail: what was loaded is gone, what was dropped is back, a re-run works."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.databases import Pair
from support.installation import Installation, eventually


@pytest.fixture(scope="module")
def shop(new_shop: Callable[..., Pair]) -> Pair:
    return new_shop("modes", 800)


def empty(pair: Pair) -> bool:
    return all(rows == 0 for table, (rows, _) in pair.digest().items() if table != "public.audit")


def test_respect_changes_no_schema_and_refuses_a_table_with_rows(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str
) -> None:
    pair = new_shop("respect", 800, owner=False)
    pair.destination.run_sql("GRANT SET ON PARAMETER session_replication_role TO respect_loader")
    before = pair.catalogue()
    installation = install(pair)
    job = shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", constraints: respect')
    record = installation.run(job)
    assert record.state == "done", record.failure
    assert all(check.passed for check in record.checks)
    assert sum(check.name.startswith("foreign key") for check in record.checks) == 5
    assert pair.catalogue() == before
    loaded = pair.digest()
    second = installation.run(job)
    assert second.failure is not None
    assert second.failure.code == "plan.refused"
    assert pair.digest() == loaded


def test_a_run_that_the_destination_refuses_rows_of_is_undone_and_says_which_constraint(
    install: Callable[..., Installation], shop: Pair, shop_job: str
) -> None:
    odd = "ALTER TABLE customer ADD CONSTRAINT odd CHECK (customer_id % 7 <> 3)"
    shop.destination.run_sql(odd, shop.name)
    before = shop.catalogue()
    installation = install(shop)
    record = installation.run(shop_job)
    assert record.state == "failed"
    assert record.failure is not None
    assert record.failure.code == "postgres.check-violation"
    assert "constraint odd" in record.failure.message
    assert record.failure.where.startswith("public.customer, range")
    assert shop.catalogue() == before
    assert empty(shop)
    eventually(lambda: not installation.topics_left(), 60, "the run's topics are gone")
    shop.destination.run_sql("ALTER TABLE customer DROP CONSTRAINT odd; TRUNCATE customer CASCADE", shop.name)


def test_canaries_that_the_writer_cannot_look_up_end_the_run_before_anything_is_loaded(
    install: Callable[..., Installation], shop: Pair, shop_job: str
) -> None:
    record = install(shop, canaries=None).run(shop_job)
    assert (record.state, record.started_at) == ("failed", None)
    assert record.failure is not None
    assert record.failure.code == "secret.missing"
    assert "SHOP_CANARIES" in record.failure.message
    assert record.failure.remedy
    assert not record.tables, "nothing was planned"


def test_a_run_that_fails_its_verification_leaves_nothing_of_what_it_loaded(
    install: Callable[..., Installation], shop: Pair, shop_job: str
) -> None:
    before = shop.catalogue()
    value = str(shop.value("source", "SELECT min(sku) FROM product"))
    record = install(shop, canaries=value).run(shop_job)
    assert record.state == "failed", record.checks
    assert record.failure is not None
    assert record.failure.code == "verify.leak"
    assert "canaries public.product" in record.failure.message
    assert [check.name for check in record.checks if not check.passed][:1] != []
    assert empty(shop)
    assert shop.catalogue() == before
    assert install(shop).run(shop_job).state == "done", "a re-run just works"
