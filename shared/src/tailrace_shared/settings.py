"""Settings that all services share; each service adds its own. Environment variables, prefix ``TAILRACE_``.

Secrets come from a variable or, for containers, from the file that the same name with ``_FILE`` names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailrace_shared.errors import UsageError
from tailrace_shared.kafka import KafkaSettings

NAMESPACE = "lower-case letters, digits, dashes and underscores, at most 41"
"""What a namespace may consist of, in words."""


class ServiceSettings(BaseSettings):
    """What every service reads from its environment."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_", extra="ignore", frozen=True, hide_input_in_errors=True)

    namespace: str = Field("tailrace", pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$", description=NAMESPACE)
    """First part of every topic and group: several installations may share a cluster."""
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    """HTTP: /health/live, /health/ready, /metrics, /docs (AsyncAPI)."""
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    heartbeat_s: float = Field(2.0, gt=0)
    """How often a replica says that it is alive."""
    stale_s: float = Field(10.0, gt=0)
    """A replica or leader not heard of for so long is taken for stopped: what it holds is taken over."""
    live_s: float = Field(30.0, gt=0)
    """/health/live fails when no pump has turned for so long."""
    drain_s: float = Field(10.0, gt=0)
    """Time to finish work in hand after SIGTERM; a container's grace period must be longer."""
    start_s: float = Field(60.0, gt=0)
    """How long a start waits for the broker."""
    window_bytes: int = Field(32 << 20, ge=1 << 20)
    """Batches in hand of a process, in bytes as sent or as decoded, whichever is more. Every run has its share."""
    max_active_runs: int = Field(4, ge=1)
    """Runs of the namespace that work at once; later ones are queued. Bounds memory and broker disk. Alike for all services."""

    @property
    def run_window_bytes(self) -> int:
        """A run's share of the window: fixed, so that one whose destination is dead takes nothing from the others."""
        return max(1, self.window_bytes // self.max_active_runs)


S = TypeVar("S", bound=BaseSettings)


def load_settings(kind: type[S], environ: Mapping[str, str] | None = None) -> S:
    """The settings of one service; raises UsageError that names every wrong variable, never its value."""
    try:
        return kind()
    except ValidationError as error:
        lines = [_line(kind, entry) for entry in error.errors(include_input=False)]
        raise UsageError(
            "settings.invalid", "; ".join(lines), "Correct or unset these environment variables."
        ) from None


def _line(kind: type[BaseSettings], error: Any) -> str:
    """``TAILRACE_KAFKA must be host:port, …``: the variable as people set it, and what it takes, in words."""
    if not error["loc"]:  # a validator of several settings: it names them itself
        return str(error["msg"]).removeprefix("Value error, ")
    prefix, name = str(kind.model_config.get("env_prefix", "")), str(error["loc"][0])
    variable = name.upper() if name.upper().startswith(prefix.rstrip("_")) else f"{prefix}{name}".upper()
    field = kind.model_fields.get(name) or next(
        (f for f in kind.model_fields.values() if name in getattr(f.validation_alias, "choices", ())), None
    )
    if error["type"] == "string_pattern_mismatch" and field is not None and field.description:
        return f"{variable} must be {field.description}"
    words = str(error["msg"]).removeprefix("Value error, ")
    return f"{variable} " + words.replace("Input should", "must", 1).replace("String should", "must", 1)


def kafka_settings() -> KafkaSettings:
    """Where the brokers are, from ``TAILRACE_KAFKA`` and ``TAILRACE_KAFKA_…``."""
    return load_settings(KafkaSettings)


def secret_setting(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """A secret by variable ``name`` or by file ``name_FILE``; None when neither is set."""
    from tailrace_shared.secrets import lookup

    return lookup(name, os.environ if environ is None else environ)


def describe(settings: BaseSettings) -> dict[str, Any]:
    """Settings for a start-up log line; secrets are pydantic's SecretStr and print as stars."""
    return settings.model_dump(mode="json")
