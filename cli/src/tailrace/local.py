"""A whole installation for one job on this machine: the embedded runtime's broker and services, with split secrets."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ulid import ULID

from tailrace.environment import split_secrets
from tailrace.settings import CommandSettings
from tailrace_shared import topics
from tailrace_shared.errors import TerminalError, UsageError
from tailrace_shared.job.spec import Job, learns
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.messages import ServiceName
from tailrace_shared.settings import kafka_settings, load_settings

EMBEDDED_REMEDY = "pip install 'tailrace[embedded]' brings broker, database and services."
SERVICE_LOGS = "*-[0-9]*.log"
"""As the runtime names them: ``writer-1.log``."""
_REPLICAS = re.compile(r"^(reader|trainer|generator|writer)=([0-9]{1,3})$")

try:
    from tailrace.embedded.runtime import Runtime, external_kafka
    from tailrace.embedded.services import ServiceGroup
except ModuleNotFoundError as error:  # pragma: no cover - an installation without the extra
    raise TerminalError("embedded.missing", f"the package {error.name} is not installed", EMBEDDED_REMEDY) from None


@dataclass(frozen=True)
class Installation:
    """Brokers and services that serve one job."""

    runtime: Runtime
    services: ServiceGroup
    kafka: KafkaSettings
    namespace: str

    def keep_logs(self) -> Path:
        """A new folder with the logs so far, which outlives the runtime's own."""
        folder = Path(tempfile.mkdtemp(prefix="tailrace-logs-"))
        for log in self.runtime.directory.glob(f"*/{SERVICE_LOGS}"):
            shutil.copy(log, folder)
        return folder

    def require_alive(self) -> None:
        """Raise TerminalError when a service that the run needs has no replica left."""
        for service in ("reader", "generator", "writer"):
            if not self.services.replicas(service):
                ended = [r for r in self.services.ended() if r.name.startswith(service)]
                raise TerminalError(
                    "embedded.service-died",
                    f"the embedded {service} has ended"
                    + (f" with status {ended[-1].exit_status}" if ended else "")
                    + f"; the logs are in {self.keep_logs()}",
                    "Start the command again; if it ends again, its log says why.",
                )


def parse_replicas(texts: Sequence[str]) -> dict[str, int]:
    """``generator=2`` → ``{"generator": 2}``. Raises UsageError for anything else."""
    replicas: dict[str, int] = {}
    for text in texts:
        match = _REPLICAS.match(text)
        if match is None:
            raise UsageError(
                "usage.replicas",
                f"--replicas {text} is not understood",
                "Write SERVICE=NUMBER with reader, generator, writer or trainer: --replicas generator=2.",
            )
        if match[2] == "0" and match[1] != "trainer":
            raise UsageError("usage.replicas", f"a run needs at least one {match[1]}", f"Write {match[1]}=1 or more.")
        replicas[match[1]] = int(match[2])
    return replicas


@contextmanager
def installation(
    job: Job,
    *,
    replicas: Mapping[str, int] | None = None,
    environ: Mapping[str, str] = os.environ,
    runtime: Runtime | None = None,
) -> Iterator[Installation]:
    """Broker (unless ``TAILRACE_KAFKA`` names some) and services for the job; everything is stopped on leaving.

    A ``runtime`` that is given has its broker running, and stays. Raises UsageError naming missing variables before
    anything is started.
    """
    shares = split_secrets(job, environ)
    replicas = ({"trainer": 1} if learns(job) else {}) | dict(replicas or {})
    if runtime is None:
        with Runtime.in_temporary_directory(kafka=external_kafka(environ)) as own, _serving(
            own, shares, replicas, environ
        ) as serving:  # fmt: skip
            yield serving
    else:
        with _serving(runtime, shares, replicas, environ) as serving:
            yield serving


@contextmanager
def _serving(
    runtime: Runtime,
    shares: Mapping[ServiceName, dict[str, str]],
    replicas: Mapping[str, int] | None,
    environ: Mapping[str, str],
) -> Iterator[Installation]:
    external = runtime.kafka is None
    # Services of this command hold this job's secrets only: they must not take work of others on shared brokers.
    alone = external and not environ.get("TAILRACE_NAMESPACE")
    namespace = f"tailrace-{str(ULID()).lower()}" if alone else load_settings(CommandSettings).namespace
    common = {"TAILRACE_NAMESPACE": namespace, "TAILRACE_LOG_FORMAT": "json"}
    services = runtime.start_services(
        replicas, common=common, secrets={str(service): share for service, share in shares.items()}
    )
    kafka = kafka_settings() if runtime.kafka is None else KafkaSettings(brokers=runtime.kafka.bootstrap)
    try:
        yield Installation(runtime, services, kafka, namespace)
    finally:
        services.stop()
        if alone:
            asyncio.run(_remove_control_topics(kafka, namespace))


async def _remove_control_topics(kafka: KafkaSettings, namespace: str) -> None:
    async with Kafka(kafka).admin() as admin:
        await admin.delete_topics([topics.jobs(namespace), topics.facts(namespace), topics.tasks(namespace)])
