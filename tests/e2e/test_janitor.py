"""The janitor: what a writer that died has left behind goes, what it does not know stays, facts go when they are applied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from ulid import ULID

from support.databases import Pair
from support.installation import Installation, eventually
from tailrace.runs import PublishedRecords
from tailrace_shared import topics
from tailrace_shared.job.load import parse_job
from tailrace_shared.messages import RunRecord
from tailrace_shared.service.control import control_session


@pytest.fixture(scope="module")
def shop(new_shop: Callable[..., Pair]) -> Pair:
    return new_shop("janitor", 300)


def test_topics_of_finished_runs_go_and_those_of_unknown_runs_stay(
    install: Callable[..., Installation], shop: Pair, shop_job: str
) -> None:
    installation = install(shop, extra={"TAILRACE_JANITOR_S": "0.5"})
    run = installation.run(shop_job).run
    eventually(lambda: not installation.topics_left(), 30, "the run's topics are gone")
    left_behind = topics.of_run(installation.namespace, run, "raw")
    unknown = topics.of_run(installation.namespace, str(ULID()), "raw")

    async def make() -> None:
        async with installation.kafka.admin() as admin:
            await admin.create_topics({name: (1, topics.run_settings(1 << 20)) for name in (left_behind, unknown)})

    asyncio.run(make())
    eventually(lambda: unknown in installation.topics_left(), 30, "new topics are to be seen")
    eventually(lambda: left_behind not in installation.topics_left(), 30, "the finished run's topic is gone")
    assert installation.topics_left() == {unknown}

    facts = topics.facts(installation.namespace)

    async def unread() -> int:
        async with installation.kafka.admin() as admin:
            begin, end = await admin.begin_offsets([facts]), await admin.end_offsets([facts])
            return sum(end.values()) - sum(begin.values())

    eventually(lambda: asyncio.run(unread()) == 0, 30, "facts that are in the tables are deleted")


def test_records_of_runs_that_ended_long_ago_are_removed_and_nobody_stumbles_over_that(
    install: Callable[..., Installation], shop: Pair, shop_job: str
) -> None:
    installation = install(shop, start=False)
    now = datetime.now(UTC)
    spec = parse_job(shop_job, "job.yaml")
    old, young = (
        RunRecord(
            run=str(ULID()), version=9, state="done", job=spec, submitted_at=at, updated_at=at, started_at=at, finished_at=at
        )
        for at in (now - timedelta(days=31), now - timedelta(days=29))
    )  # fmt: skip

    async def publish() -> None:
        async with control_session(installation.kafka, installation.namespace) as control:
            await control.record(old)
            await control.record(young)

    asyncio.run(publish())
    for service in ("writer", "reader", "generator"):
        installation.scale(service, 1, **({"TAILRACE_JANITOR_S": "0.5"} if service == "writer" else {}))

    def known() -> set[str]:
        return set(asyncio.run(PublishedRecords(installation.kafka, installation.namespace).latest()))

    eventually(lambda: known() == {young.run}, 30, "the old run's record is gone, the young one's is there")
    eventually(lambda: "janitor.forgot" in installation.logs(), 10, "the writer says so")
    tombstones = installation.logs().count("janitor.forgot")
    installation.scale("writer", 2)
    run = installation.submit(
        shop_job.replace('url: "${DESTINATION_URL}"', 'url: "${DESTINATION_URL}", mode: truncate')
    )
    assert installation.wait(run).state == "done"
    assert known() == {young.run, run}
    logs = installation.logs()
    assert logs.count("janitor.forgot") == tombstones, "once, and not again at every look"
    assert "Traceback" not in logs
    assert all(p.alive for service in ("writer", "reader", "generator") for p in installation.group.replicas(service))
