"""The embedded runtime: the real parts on this machine, for the demo, for ``run --embedded`` and for the tests.

A Kafka broker (``kafka``), PostgreSQL clusters (``postgres``) and the services as processes (``services``), held
together by ``runtime`` and watched by ``supervisor``, so that nothing outlives the process that started it.
"""

from __future__ import annotations

from tailrace.embedded.kafka import EmbeddedKafka
from tailrace.embedded.postgres import EmbeddedPostgres
from tailrace.embedded.processes import ServiceProcess
from tailrace.embedded.runtime import Runtime
from tailrace.embedded.services import ServiceGroup
from tailrace.embedded.supervisor import Child, Supervisor

__all__ = ["Child", "EmbeddedKafka", "EmbeddedPostgres", "Runtime", "ServiceGroup", "ServiceProcess", "Supervisor"]
