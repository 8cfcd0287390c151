"""The trainer's settings, beside those that all services share. ``TAILRACE_TRANSPORT_KEY`` opens training batches."""

from __future__ import annotations

from pydantic import Field

from tailrace_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What a trainer reads from its environment."""

    training_memory_mb: int = Field(2048, ge=256)
    """Resident memory of the process that learns; above, it is ended and the table's training fails with that reason."""
    training_rows_max: int = Field(300_000, ge=1_000)
    """Rows that are learned from; of more, a sample."""
    training_parallel: int = Field(1, ge=1, le=16)
    """Models that are learned at once. Each takes a processor and up to ``training_memory_mb``."""
