"""The trainer's composition root."""

from __future__ import annotations

from tailrace_shared.service.shell import Shell
from tailrace_trainer.settings import Settings
from tailrace_trainer.workload import TrainerWorkload


def create_app(settings: Settings) -> Shell:
    """Everything that the trainer is made of; nothing is built at import."""
    return Shell(settings, "trainer", TrainerWorkload(settings), takes_tasks=False)
