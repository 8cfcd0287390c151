"""Parts that go away in the middle of a load, one example of each kind; ``test_long_*`` has the whole matrix.

A writer that stops itself in the middle of the load makes the moment certain.
"""

from __future__ import annotations

from collections.abc import Callable

import psutil
import pytest

from support.databases import Pair
from support.installation import Installation, eventually
from support.undisturbed import Undisturbed
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime

IN_A_BATCH = "writer.after-copy-before-commit:3"
BETWEEN_RELEASES = "leader.in-loading:2"

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def shop(runtime: Runtime, new_shop: Callable[..., Pair], shop_job: str) -> Undisturbed:
    return Undisturbed.by_running(runtime, new_shop("outage", 800), shop_job)


def stopped(process: ServiceProcess) -> bool:
    return psutil.Process(process.pid).status() == psutil.STATUS_STOPPED


def stopped_while_loading(
    install: Callable[..., Installation], shop: Undisturbed, point: str
) -> tuple[Installation, ServiceProcess, str]:
    """An installation whose only writer has stopped itself, and the run that waits for it."""
    installation = install(shop.pair, replicas={"writer": 0}, extra={"TAILRACE_LOCK_TIMEOUT_S": "1"})
    (writer,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=point, TAILRACE_CRASH_SIGNAL="STOP")
    run = installation.submit(shop.job)
    eventually(lambda: stopped(writer), 60, f"{point} was reached")
    assert shop.state(run) == "loading"
    return installation, writer, run


def test_a_broker_that_dies_during_the_load_delays_it(
    runtime: Runtime, install: Callable[..., Installation], shop: Undisturbed
) -> None:
    if runtime.kafka is None:
        pytest.skip("TAILRACE_KAFKA names brokers that are not ours to kill")
    installation, writer, run = stopped_while_loading(install, shop, IN_A_BATCH)
    runtime.kafka.kill()
    writer.resume()
    runtime.kafka.start()
    assert shop.is_what_came_of(installation, run).attempt == 1


def test_a_destination_that_dies_during_the_load_delays_it(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    installation, writer, run = stopped_while_loading(install, shop, IN_A_BATCH)
    shop.pair.destination.kill()
    writer.resume()
    shop.pair.destination.start()
    assert shop.is_what_came_of(installation, run).attempt == 1


def test_a_source_that_dies_during_the_load_takes_the_snapshot_with_it(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    installation, writer, run = stopped_while_loading(install, shop, BETWEEN_RELEASES)
    shop.pair.source.kill()
    shop.pair.source.start()
    writer.resume()
    assert shop.is_what_came_of(installation, run).attempt == 2


def test_a_source_table_that_is_rewritten_during_the_load_is_read_again_by_another_attempt(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    installation, writer, run = stopped_while_loading(install, shop, BETWEEN_RELEASES)
    for table in ("shipment", "order_line"):  # what is read last
        shop.pair.source.run_sql(f"VACUUM FULL {table}", shop.pair.name)
    writer.resume()
    assert shop.is_what_came_of(installation, run).attempt == 2


def test_a_writer_that_wakes_in_its_batch_after_another_has_taken_over_changes_nothing(
    install: Callable[..., Installation], shop: Undisturbed
) -> None:
    installation, writer, run = stopped_while_loading(install, shop, IN_A_BATCH)
    installation.scale("writer", 2)
    shop.is_what_came_of(installation, run)
    writer.resume()
    again = installation.submit(shop.job)
    shop.is_what_came_of(installation, again)
    assert shop.state(run) == "done"
