"""A broker that goes away is told, and told again when it is back."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Gauge

from tailrace_shared.service.broker_watch import BrokerWatch


async def test_a_broker_that_goes_and_comes_back_is_told() -> None:
    registry = CollectorRegistry()
    told = Gauge("up", "1 while the broker answers.", registry=registry)
    answers = iter([True, False, True])
    asked = asyncio.Event()
    seen: list[float | None] = []

    async def ping() -> bool:
        seen.append(registry.get_sample_value("up"))
        answer = next(answers, None)
        if answer is None:
            asked.set()
            await asyncio.Event().wait()
        return bool(answer)

    watch = BrokerWatch(ping, told, every_s=0)
    watch.start()
    async with asyncio.timeout(5):
        await asked.wait()
    await watch.stop()
    assert seen == [1, 1, 0, 1], "what was told when each question was asked"
