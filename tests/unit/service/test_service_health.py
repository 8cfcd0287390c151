"""Liveness: a service whose pump stands still, or that has failed, does not count as live."""

from __future__ import annotations

import signal
import time

import pytest

from tailrace_shared.deadline import Deadline
from tailrace_shared.messages import RunRecord, Task
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.shell import Shell
from tailrace_shared.settings import ServiceSettings


class Still:
    """A workload whose slowest pump turned ``idle_s`` ago."""

    def __init__(self, idle_s: float) -> None:
        self._turned = time.monotonic() - idle_s

    async def start(self, context: ServiceContext) -> None: ...

    async def on_record(self, record: RunRecord) -> None: ...

    async def on_task(self, task: Task) -> None: ...

    async def stop(self, deadline: Deadline) -> None: ...

    def last_progress(self) -> float:
        return self._turned


def shell(idle_s: float) -> Shell:
    return Shell(ServiceSettings(live_s=30), "reader", Still(idle_s), takes_tasks=True)


async def test_a_service_is_live_while_its_pumps_turn() -> None:
    answer = await shell(idle_s=1)._live({})
    assert (answer.status_code, answer.body) == (200, b"live")


async def test_a_service_whose_pump_stands_still_is_not_live() -> None:
    answer = await shell(idle_s=31)._live({})
    assert (answer.status_code, answer.body) == (503, b"no pump has turned for 31 s")


async def test_a_service_that_has_failed_is_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    failed = shell(idle_s=1)
    failed.fail(RuntimeError())
    assert (await failed._live({})).status_code == 503
    assert raised == [signal.SIGTERM]
