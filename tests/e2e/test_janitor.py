"""The janitor: what a writer that died has left behind goes, what it does not know stays, facts go when they are applied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from ulid import ULID

from support.databases import Pair
from support.installation import Installation, eventually
from tailrace_shared import topics


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
