"""Same secret, same job, same source: the same destination, on any number of replicas; another secret, another destination."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.databases import Pair
from support.installation import Installation
from tailrace_shared.messages import RunRecord


@pytest.fixture(scope="module")
def shop(new_shop: Callable[..., Pair]) -> Pair:
    return new_shop("determinism", 1500)


@pytest.fixture(scope="module")
def again(shop_job: str) -> str:
    """The job, emptying the destination first, and with digests at the end."""
    job = shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate')
    assert "\nverify:\n" in job
    return job.replace("\nverify:\n", "\nverify:\n  digest: true\n")


def digests(record: RunRecord) -> dict[str, str]:
    """What the run's own verification says of each table's content."""
    assert record.state == "done", record.failure or record.problems
    found = {c.name.removeprefix("digest "): c.detail for c in record.checks if c.name.startswith("digest ")}
    assert set(found) >= {"public.customer", "public.product"}
    return found


def test_the_destination_depends_on_secret_and_source_alone(
    install: Callable[..., Installation], shop: Pair, again: str
) -> None:
    first = install(shop, mask_secret="a secret that is long enough")
    told = digests(first.run(again))
    one = shop.digest()

    assert digests(first.run(again)) == told
    assert shop.digest() == one, "the same secret twice"

    for service in ("reader", "generator", "writer"):
        first.scale(service, 3)
    assert digests(first.run(again)) == told
    assert shop.digest() == one, "three replicas of each stage"
    first.group.stop()

    second = install(shop, mask_secret="another secret, as long")
    of_other = digests(second.run(again))
    other = shop.digest()
    for table in ("public.customer", "public.orders", "public.order_line", "public.shipment"):
        assert other[table][0] == one[table][0]
        assert other[table][1] != one[table][1], table
        assert of_other[table] != told[table], table
    assert of_other["public.product"] == told["public.product"]
    assert other["public.product"] == one["public.product"], "a duplicated table does not depend on the secret"


def test_generators_with_different_secrets_do_not_mask_one_run(
    install: Callable[..., Installation], shop: Pair, again: str
) -> None:
    installation = install(shop, mask_secret="a secret that is long enough")
    installation.scale("generator", 2, TAILRACE_MASK_SECRET="a different secret, as long")
    record = installation.run(again)
    assert record.state == "done"
    assert "mask secret differs" in installation.logs()
