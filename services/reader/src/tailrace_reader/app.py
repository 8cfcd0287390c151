"""The reader's composition root."""

from __future__ import annotations

from tailrace_reader.settings import Settings
from tailrace_reader.workload import ReaderWorkload
from tailrace_shared.service.shell import Shell


def create_app(settings: Settings) -> Shell:
    """Everything that the reader is made of; nothing is built at import."""
    return Shell(settings, "reader", ReaderWorkload(settings), takes_tasks=True)
