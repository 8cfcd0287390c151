"""The reader's settings, beside those that all services share.

Secrets: the source's URL is under the name that the job gives, ``TAILRACE_TRANSPORT_KEY`` closes raw batches. Both may come
from a file (``…_FILE``).
"""

from __future__ import annotations

from pydantic import Field

from tailrace_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What a reader reads from its environment."""

    parallel: int = Field(2, ge=1, le=32)
    """Ranges read at once per run, each on a connection of its own; one connection more holds the snapshot."""
    leak_timeout_s: float = Field(600.0, gt=0)
    """Longest that the source is asked for the values of one column when the leak scan looks them up."""
    source_patience_s: float = Field(300.0, ge=0)
    """How long a source that cannot be reached is tried again before the run fails."""
    source_ping_s: float = Field(15.0, gt=0)
    """How often the idle session that holds the snapshot is asked whether it lives."""
