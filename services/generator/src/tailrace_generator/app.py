"""The generator's composition root."""

from __future__ import annotations

from tailrace_generator.settings import Settings
from tailrace_generator.workload import GeneratorWorkload
from tailrace_shared.service.shell import Shell


def create_app(settings: Settings) -> Shell:
    """Everything that the generator is made of; nothing is built at import."""
    return Shell(settings, "generator", GeneratorWorkload(settings), takes_tasks=False)
