"""The writer's composition root."""

from __future__ import annotations

from tailrace_shared.service.shell import Shell
from tailrace_writer.settings import Settings
from tailrace_writer.workload import WriterWorkload


def create_app(settings: Settings) -> Shell:
    """Everything that the writer is made of; nothing is built at import."""
    return Shell(settings, "writer", WriterWorkload(settings), takes_tasks=False)
