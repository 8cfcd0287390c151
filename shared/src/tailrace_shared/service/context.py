"""What a service's workload is given: settings, identity, Kafka, control, metrics, and how to say that it cannot go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import ServiceName
from tailrace_shared.service.control import Control
from tailrace_shared.service.metrics import Metrics
from tailrace_shared.settings import ServiceSettings


@dataclass(frozen=True)
class ServiceContext:
    """Made once by the shell; nothing in it is global."""

    settings: ServiceSettings
    service: ServiceName
    replica: str
    """``service-ulid``, new at every start; PostgreSQL sees it as application_name ``tailrace/<replica>``."""
    kafka: Kafka
    control: Control
    metrics: Metrics
    fail: Callable[[BaseException], None]
    """The process cannot go on: log it, stop with a non-zero exit."""
    log: Any = field(default_factory=structlog.get_logger)

    @property
    def application_name(self) -> str:
        """How this replica's database sessions are recognised."""
        return f"tailrace/{self.replica}"
