"""The trainer's settings, beside those that all services share. ``TAILRACE_TRANSPORT_KEY`` opens training batches."""

from __future__ import annotations

from tailrace_shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What a trainer reads from its environment."""
