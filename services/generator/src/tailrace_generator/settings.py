"""The generator's settings, beside those that all services share.

Secrets: ``TAILRACE_TRANSPORT_KEY`` opens raw batches; the mask secret is under the name that the job gives
(``TAILRACE_MASK_SECRET`` unless it says otherwise). Both may come from a file (``…_FILE``).
"""

from __future__ import annotations

from pydantic import Field

from tailrace_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What a generator reads from its environment."""

    parallel: int = Field(6, ge=1, le=64)
    """Batches in hand per run: one is masked while the others travel."""
