"""The trainer answers *not yet* to a train task, and lets other services' tasks pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tailrace_shared.messages import Fact, TrainingRefused, TrainTask
from tailrace_trainer.settings import Settings
from tailrace_trainer.workload import TrainerWorkload


async def test_a_train_task_is_answered_not_yet() -> None:
    facts: list[Fact] = []

    async def fact(said: Fact) -> None:
        facts.append(said)

    context: Any = SimpleNamespace(control=SimpleNamespace(fact=fact), replica="trainer-1")
    workload = TrainerWorkload(Settings())
    await workload.start(context)
    await workload.on_task(TrainTask(run="R", attempt=1, table=4))
    (answer,) = facts
    assert isinstance(answer, TrainingRefused)
    assert (answer.run, answer.table, answer.failure.code) == ("R", 4, "trainer.not-yet")
    assert answer.failure.remedy
