"""A writer that is stopped, replaced, and goes on: the run ends as if nothing had happened, and again after the zombie wakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from support.databases import Pair
from support.installation import Installation, eventually


@dataclass
class Shop:
    pair: Pair
    job: str
    digest: dict[str, tuple[int, int]]
    catalogue: list[tuple[str, ...]]


@pytest.fixture(scope="module")
def shop(runtime: object, new_shop: Callable[..., Pair], shop_job: str) -> Shop:
    pair = new_shop("takeover", 800)
    catalogue = pair.catalogue()
    job = shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate')
    with Installation(runtime, pair) as installation:  # type: ignore[arg-type]
        assert installation.run(job).state == "done"
    return Shop(pair, job, pair.digest(), catalogue)


def stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


@pytest.mark.crash
@pytest.mark.parametrize(
    "point",
    [
        "writer.after-copy-before-commit:3",
        "writer.after-commit-before-offset:3",
        "leader.after-truncate",
        "leader.in-loading:2",
        "leader.mid-rebuild:2",
        "leader.in-verifying",
    ],
)
def test_a_stopped_writer_is_taken_over_from_and_its_return_changes_nothing(
    install: Callable[..., Installation], shop: Shop, point: str, tmp_path: Path
) -> None:
    installation = install(shop.pair, replicas={"writer": 0}, extra={"TAILRACE_LOCK_TIMEOUT_S": "1"})
    (doomed,) = installation.scale("writer", 1, TAILRACE_CRASH_AT=point, TAILRACE_CRASH_SIGNAL="STOP")
    run = installation.submit(shop.job)
    eventually(lambda: stopped(doomed.pid), 60, f"{point} was reached")
    installation.scale("writer", 2)
    record = installation.wait(run, seconds=90)
    assert record.state == "done", record.failure
    assert shop.pair.digest() == shop.digest
    doomed.resume()
    again = installation.run(shop.job)
    assert again.state == "done", again.failure
    assert shop.pair.digest() == shop.digest
    assert shop.pair.catalogue() == shop.catalogue
    eventually(lambda: not installation.topics_left(), 60, "the runs' topics are gone")
    assert installation.wait(run, lambda r: r.terminal).version >= record.version
