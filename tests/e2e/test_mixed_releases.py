"""A rolling upgrade: services of this release and of the next, which plans in another format, meet in one namespace."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import Pair
from support.installation import Installation, eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

NEXT = """
import tailrace_shared.plan.model as model

model.PLAN_VERSION += 1
model.Plan.model_fields["version"].default = model.PLAN_VERSION
model.Plan.model_rebuild(force=True)
"""
"""What makes a process of this release one of the next: it plans in the next format, and understands no other."""


@pytest.fixture
def next_release(tmp_path: Path) -> dict[str, str]:
    """The environment of a process of the next release."""
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "sitecustomize.py").write_text(NEXT)
    paths = [str(tmp_path / "next"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def refusals(installation: Installation, replica: str) -> list[str]:
    log = (installation.folder / f"{replica}.log").read_text(errors="replace")
    return [line for line in log.splitlines() if "plan.version" in line]


def test_a_generator_of_the_former_release_masks_nothing_and_the_run_goes_on_with_one_of_the_next(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str, next_release: dict[str, str]
) -> None:
    pair = new_shop("upgraded", 200)
    installation = install(pair, start=False)
    (former,) = installation.scale("generator", 1)
    for service in ("writer", "reader"):
        installation.scale(service, 1, **next_release)
    run = installation.submit(shop_job)
    eventually(lambda: refusals(installation, former.name), 60, "the former generator refuses the plan")
    record = installation.wait(run, lambda r: r.state in ("preparing", "loading") or r.terminal, 60)
    assert not record.terminal, record.failure
    assert pair.value("destination", "SELECT count(*) FROM customer") == 0, (
        "nothing was masked by a release that does not fit"
    )
    installation.scale("generator", 0)
    installation.scale("generator", 1, **next_release)
    record = installation.wait(run)
    assert record.state == "done", record.failure or record.problems
    assert pair.value("destination", "SELECT count(*) FROM customer") == 200


def test_a_writer_that_decides_does_not_follow_a_plan_of_the_next_release(
    install: Callable[..., Installation], new_shop: Callable[..., Pair], shop_job: str, next_release: dict[str, str]
) -> None:
    pair = new_shop("undecided", 50)
    installation = install(pair, start=False)
    (former,) = installation.scale("writer", 1)
    for service in ("generator", "reader"):
        installation.scale(service, 1, **next_release)
    run = installation.submit(shop_job)
    eventually(lambda: refusals(installation, former.name), 60, "the former writer refuses the plan")
    assert pair.value("destination", "SELECT count(*) FROM customer") == 0
    record = installation.wait(run, lambda r: r.terminal or r.state != "loading", 60)
    assert record.state != "done"
