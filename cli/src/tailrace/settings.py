"""The command's own settings: which installation it talks to."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace_shared.settings import NAMESPACE


class CommandSettings(BaseSettings):
    """Read from ``TAILRACE_…``; brokers come from ``TAILRACE_KAFKA`` and ``TAILRACE_KAFKA_…``."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    namespace: str = Field("tailrace", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$", description=NAMESPACE)
    """First part of every topic: the services' own ``TAILRACE_NAMESPACE``."""
