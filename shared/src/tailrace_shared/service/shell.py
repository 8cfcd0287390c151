"""The shell around every service: FastStream for control messages, health, metrics and the AsyncAPI page; clean start and stop.

Order at start: settings, broker reachable, control topics made, workload started, then the first message. Order at stop:
workload drained while the broker is still connected, then the broker. (``AsgiFastStream.exit()`` does nothing in the version
that we pin, so a process that cannot go on raises SIGTERM at itself and remembers why.)
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
import uvicorn
from aiokafka import ConsumerRecord
from faststream import AckPolicy
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from faststream.specification import AsyncAPI
from prometheus_client import make_asgi_app
from ulid import ULID

from tailrace_shared import __version__, formats, malloc, topics
from tailrace_shared.dataplane.retry import FOREVER, RetrySchedule
from tailrace_shared.deadline import Deadline
from tailrace_shared.errors import ExitCode, TailraceError, TransientError
from tailrace_shared.kafka import Kafka
from tailrace_shared.messages import Fact, RunRecord, ServiceName, Task
from tailrace_shared.service import logs
from tailrace_shared.service.broker_watch import BrokerWatch
from tailrace_shared.service.context import ServiceContext
from tailrace_shared.service.control import Control, control_broker, ensure_control_topics
from tailrace_shared.service.exposition import LabelledRegistry
from tailrace_shared.service.metrics import Metrics
from tailrace_shared.service.records import RecordReader
from tailrace_shared.service.workload import ForgetsRuns, WatchesRecords, Workload
from tailrace_shared.settings import ServiceSettings, kafka_settings, load_settings

_SUBSCRIBER: dict[str, Any] = {
    "auto_offset_reset": "earliest",
    "max_poll_interval_ms": 24 * 3600 * 1000,  # a long task must not cost the membership; /health/live watches instead
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 1_000,
    "fetch_max_wait_ms": 200,
}
_HANDLER_RETRY = RetrySchedule(attempts=5)

log = structlog.get_logger()


class Shell:
    """One process of one service. ``app`` is what the ASGI server runs."""

    def __init__(
        self, settings: ServiceSettings, service: ServiceName, workload: Workload, *, takes_tasks: bool
    ) -> None:
        self.settings = settings
        self.service: ServiceName = service
        self.failure: BaseException | None = None
        self._workload = workload
        self._ready = False
        self._versions: dict[str, int] = {}
        self.kafka = Kafka(kafka_settings())
        metrics = Metrics(service)
        self._broker = control_broker(
            self.kafka,
            logger=logging.getLogger("faststream"),
            graceful_timeout=settings.drain_s,
            middlewares=[
                KafkaPrometheusMiddleware(
                    registry=metrics.registry, app_name=service, metrics_prefix="tailrace_control"
                )
            ],
        )
        self.context = ServiceContext(
            settings=settings,
            service=service,
            replica=f"{service}-{ULID()}".lower(),
            kafka=self.kafka,
            control=Control(self._broker, settings.namespace, self.kafka.settings, lost=self.fail),
            metrics=metrics,
            fail=self.fail,
        )
        self._subscribe(self._broker, takes_tasks)
        self._broker_watch = BrokerWatch(lambda: self._broker.ping(timeout=2.0), metrics.broker)
        exposed = LabelledRegistry(metrics.registry, {"tailrace_namespace": settings.namespace, "stage": service})
        self.app = AsgiFastStream(
            self._broker,
            logger=None,
            lifespan=self._lifespan,
            specification=AsyncAPI(
                title=f"Tailrace {service}",
                version=__version__,
                description="Control messages of Tailrace.",
                schema_version="3.0.0",
            ),
            after_startup=[self._started],
            on_shutdown=[self._drain],
            asyncapi_path="/docs",
            asgi_routes=[
                ("/health/live", get(self._live)),
                ("/health/ready", get(self._answer_ready)),
                ("/metrics", make_asgi_app(exposed)),
            ],
        )

    def fail(self, error: BaseException) -> None:
        """The process cannot go on: say why once, stop as if told to."""
        if self.failure is None:
            self.failure = error
            log.critical("service.failed", exc_info=error)
            signal.raise_signal(signal.SIGTERM)

    def _subscribe(self, broker: KafkaBroker, takes_tasks: bool) -> None:
        namespace = self.settings.namespace
        records = broker.subscriber(
            topics.jobs(namespace),
            ack_policy=AckPolicy.ACK_FIRST,  # no group: every replica reads all records from the start
            title="jobs",
            description="Published copy of every run's row; without a body where it is forgotten.",
            **_SUBSCRIBER,
        )
        records(self._on_tombstone, filter=_is_tombstone)
        records(self._on_foreign, filter=_is_foreign)
        reader = RecordReader()

        async def read(message: KafkaMessage) -> RunRecord:
            return reader.read(message.body)

        records(self._on_record, decoder=read)
        if takes_tasks:
            tasks = broker.subscriber(
                topics.tasks(namespace),
                group_id=topics.group(namespace, self.service, topics.tasks(namespace)),
                ack_policy=AckPolicy.ACK,
                max_workers=2,
                title="tasks",
                description="What this service shall do once.",
                **_SUBSCRIBER,
            )
            tasks(self._on_foreign, filter=_is_foreign)
            tasks(self._on_task)
        broker.publisher(topics.facts(namespace), schema=Fact, title="facts", description="What happened.")
        broker.publisher(
            topics.tasks(namespace), schema=Task, title="tasks.publish", description="Tasks of the leader."
        )
        broker.publisher(
            topics.jobs(namespace), schema=RunRecord, title="jobs.publish", description="Records of the leader."
        )

    async def _on_record(self, record: RunRecord) -> None:
        if record.version > self._versions.get(record.run, -1):  # a resumed former leader may publish an older one
            self._versions[record.run] = record.version
            await self._attempt(lambda: self._workload.on_record(record))
        elif isinstance(watching := self._workload, WatchesRecords):
            await self._attempt(lambda: watching.on_old_record(record))

    async def _on_tombstone(self, message: KafkaMessage) -> None:
        raw = message.raw_message
        run = str(raw.key or b"", "utf-8", "replace") if isinstance(raw, ConsumerRecord) else ""
        self._versions.pop(run, None)
        if isinstance(forgetting := self._workload, ForgetsRuns):
            await self._attempt(lambda: forgetting.on_forgotten(run))

    async def _on_foreign(self, message: KafkaMessage) -> None:
        """Of another release: left out. A task is asked for again until somebody takes it who can."""
        raw = message.raw_message
        topic = raw.topic if isinstance(raw, ConsumerRecord) else ""
        said = formats.refusal(topic, message.headers)
        run = str(raw.key or b"", "utf-8", "replace") if isinstance(raw, ConsumerRecord) else ""
        log.error("control.foreign", run=run, code=said.code, message=said.message, remedy=said.remedy)

    async def _on_task(self, task: Task) -> None:
        await self._attempt(lambda: self._workload.on_task(task))

    async def _attempt(self, call: Callable[[], Any]) -> None:
        """Bounded retry around a control handler; what still fails then stops the process, unacknowledged work included."""
        failures = 0
        while True:
            try:
                await call()
                return
            except Exception as error:
                failures += 1
                delay = _HANDLER_RETRY.delay(failures, self.context.replica)
                if delay is None:
                    self.fail(error)
                    raise
                log.warning("control.retry", exc_info=error)
                await asyncio.sleep(delay)

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        structlog.contextvars.bind_contextvars(service=self.service, replica=self.context.replica)
        await self._workload.start(self.context)  # before the broker: its first message finds a started workload
        yield

    async def _started(self) -> None:
        self._ready = True
        self.context.metrics.up_to_date.set(1)
        self._broker_watch.start()
        gc.collect()
        gc.freeze()  # what lives now lives on: no need to look at it at every collection
        log.info("service.ready", version=__version__, port=self.settings.port)

    async def _drain(self) -> None:
        self._ready = False
        self.context.metrics.up_to_date.set(0)
        await self._workload.stop(Deadline.after(self.settings.drain_s))
        await self._broker_watch.stop()
        log.info("service.drained")

    async def _live(self, _scope: Any) -> AsgiResponse:
        """Whether the event loop and every pump turn."""
        idle = time.monotonic() - self._workload.last_progress()
        alive = idle < self.settings.live_s and self.failure is None
        return AsgiResponse(
            b"live" if alive else f"no pump has turned for {idle:.0f} s".encode(), 200 if alive else 503
        )

    async def _answer_ready(self, _scope: Any) -> AsgiResponse:
        """Whether the broker answers and the workload has started."""
        ready = self._ready and await self._broker.ping(timeout=2.0)
        return AsgiResponse(b"ready" if ready else b"not ready", 200 if ready else 503)


def _is_tombstone(message: KafkaMessage) -> bool:
    """A record without a value: FastStream gives its body as no bytes."""
    return not message.body


def _is_foreign(message: KafkaMessage) -> bool:
    """A message in the format of another release."""
    return formats.is_foreign(message.headers)


async def _provision(shell: Shell) -> None:
    """Wait for the broker, make the control topics. Raises TransientError when the broker stays away."""
    failures, deadline = 0, Deadline.after(shell.settings.start_s)
    while True:
        try:
            async with shell.kafka.admin() as admin:
                await ensure_control_topics(admin, shell.settings.namespace)
            return
        except TransientError as error:
            if deadline.expired:
                raise
            log.warning("broker.waiting", message=error.message)
            failures += 1
            await asyncio.sleep(min(FOREVER.delay(failures) or 0, 2.0))


async def _run(shell: Shell) -> None:
    await _provision(shell)
    server = uvicorn.Server(
        uvicorn.Config(
            shell.app,
            host=shell.settings.host,
            port=shell.settings.port,
            lifespan="on",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    await server.serve()
    if not server.started and shell.failure is None:
        raise TransientError(
            "service.start",
            f"the {shell.service} service did not start",
            "Its log says why; a port in use is a common cause.",
        )


S = TypeVar("S", bound=ServiceSettings)


def serve(service: ServiceName, kind: type[S], create: Callable[[S], Shell]) -> int:
    """Run a service until SIGTERM; the exit code says how it went. Every ``__main__`` calls this."""
    malloc.tune()
    try:
        settings = load_settings(kind)
        logs.configure(settings.log_format, settings.log_level, service=service)
        shell = create(settings)
        _loop_run(_run(shell))
        if shell.failure is not None:
            raise shell.failure
    except TailraceError as error:
        print(f"tailrace-{service}: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except Exception as error:
        print(f"tailrace-{service}: unexpected {type(error).__name__}; see the log", file=sys.stderr)
        log.critical("service.crashed", exc_info=error)
        return int(ExitCode.FAILED)
    return int(ExitCode.OK)


def _loop_run(main: Any) -> None:
    try:
        import uvloop
    except ImportError:  # not on every platform; 5 % slower without
        asyncio.run(main)
    else:
        uvloop.run(main)
