"""Preflight of Kafka: reachable, able, permitted; and which services are there. Nothing is made on the brokers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ulid import ULID

from tailrace.check_findings import Findings
from tailrace.runs import PublishedRecords
from tailrace.settings import CommandSettings
from tailrace_shared import topics
from tailrace_shared.errors import ExitCode, TailraceError, TerminalError
from tailrace_shared.job.spec import Job
from tailrace_shared.kafka import Kafka
from tailrace_shared.kafka.admin import MAX_REPLICATION, durability
from tailrace_shared.kafka.inspection import Inspection
from tailrace_shared.messages import RunRecord, ServiceName
from tailrace_shared.settings import kafka_settings, load_settings

GROUPS: Final[tuple[tuple[ServiceName, str], ...]] = (("reader", "tasks"), ("trainer", "tasks"), ("writer", "facts"))
"""Services that wait for messages on a control topic, in a group of their own, whether there is a run or not."""
REQUEST_BYTES: Final = "socket.request.max.bytes"
ENVELOPE_BYTES: Final = 64 << 10
"""What a request adds to a message, generously."""


async def check_brokers(job: Job, environ: Mapping[str, str]) -> tuple[Findings, Findings]:
    """The brokers that ``TAILRACE_KAFKA`` names, and the services on them."""
    brokers, services = Findings("brokers"), Findings("services")
    if not brokers_named(environ):
        brokers.unknown("TAILRACE_KAFKA", "is not set: only `run --embedded` works, which brings a broker of its own")
        services.unknown("replicas", "not known without brokers; `run --embedded` starts its own")
        return brokers, services
    try:
        kafka, namespace = Kafka(kafka_settings()), load_settings(CommandSettings).namespace
        async with kafka.inspection() as inspection:
            await _check(job, kafka, inspection, namespace, brokers, services)
    except TailraceError as error:
        brokers.error("connection", error)
        services.unknown("replicas", "not known without brokers")
    return brokers, services


async def known_runs(environ: Mapping[str, str]) -> dict[str, RunRecord] | None:
    """The newest record of every run of the namespace; None where there are no brokers, or they do not say."""
    if not brokers_named(environ):
        return None
    try:
        kafka, namespace = Kafka(kafka_settings()), load_settings(CommandSettings).namespace
        async with kafka.inspection() as inspection:
            if topics.jobs(namespace) not in await inspection.topics():  # asking must not make one
                return {}
        return await PublishedRecords(kafka, namespace).latest()
    except TailraceError:  # a line of the brokers' says so
        return None


def brokers_named(environ: Mapping[str, str]) -> bool:
    """Whether this environment names brokers."""
    return any(environ.get(name) for name in ("TAILRACE_KAFKA", "TAILRACE_KAFKA_BROKERS"))


async def _check(
    job: Job, kafka: Kafka, inspection: Inspection, namespace: str, brokers: Findings, services: Findings
) -> None:
    ids = await inspection.brokers()
    security = kafka.settings.security
    brokers.ok("connection", f"{kafka.settings.brokers}, {_count(len(ids), 'broker')}, {security}")
    _replication(len(ids), brokers)
    with brokers.attempt("requests"):
        missing = await inspection.missing_requests()
        if missing:
            raise TerminalError(
                "kafka.too-old",
                f"the brokers do not know {', '.join(missing)}",
                "Use Apache Kafka 3 or above, or what is compatible with it.",
                exit_code=ExitCode.UNAVAILABLE,
            )
        brokers.ok("requests", "the brokers know all that a run asks of them")
    await _settings(job, inspection, ids[0], brokers)
    await _topics(job, inspection, namespace, brokers)
    await _services(kafka, inspection, namespace, services)


def _replication(count: int, brokers: Findings) -> None:
    replication, _ = durability(count)
    if count >= MAX_REPLICATION:
        brokers.ok("replication", f"every record is kept {replication} times; one broker may fail")
        return
    stop = "a run waits while it is away" if count == 1 else "a run waits while one of them is away"
    brokers.warning(
        "replication",
        f"{_count(count, 'broker')}: every record is kept {_count(replication, 'time')}, and {stop}",
        f"Use {MAX_REPLICATION} brokers where runs must survive the loss of one.",
    )


async def _settings(job: Job, inspection: Inspection, broker: int, brokers: Findings) -> None:
    try:
        settings = await inspection.broker_settings(broker)
    except TailraceError as error:
        brokers.unknown(
            "settings",
            f"may not be read ({error.code}): auto.create.topics.enable and {REQUEST_BYTES} are not known",
            "Grant DescribeConfigs on the cluster to see them; a run works without.",
        )
        return
    if settings.get("auto.create.topics.enable") == "true":
        brokers.warning(
            "auto.create.topics.enable",
            "is on: any client that asks for a topic that is gone makes it anew",
            "Set it to false on the brokers. Tailrace's own clients never ask for that.",
        )
    else:
        brokers.ok("auto.create.topics.enable", "is off")
    largest = int(settings.get(REQUEST_BYTES) or 0)
    if largest and largest < job.limits.message_bytes + ENVELOPE_BYTES:
        brokers.refused(
            REQUEST_BYTES,
            "kafka.message-too-large",
            f"the brokers take requests of {largest:,} bytes, and the job's messages may have {job.limits.message_bytes:,}",
            f"Raise {REQUEST_BYTES} on the brokers, or lower limits.message_bytes.",
        )
    else:
        brokers.ok(REQUEST_BYTES, f"messages of {job.limits.message_bytes:,} bytes fit")


async def _topics(job: Job, inspection: Inspection, namespace: str, brokers: Findings) -> None:
    """A run's topics and the missing control topics, validated as they would be made."""
    run = str(ULID())
    wanted = {
        topics.of_run(namespace, run, topic): (
            1 if topic in topics.SINGLE else job.limits.partitions,
            topics.run_settings(job.limits.message_bytes),
        )
        for topic in topics.RUN_TOPICS
    }
    there = await inspection.topics()
    control = {f"{namespace}.{topic}": topics.control_settings(topic) for topic in ("jobs", "facts", "tasks")}
    missing = [name for name in control if name not in there]
    with brokers.attempt("topics"):
        try:
            await inspection.validate_topics(wanted | {name: (1, control[name]) for name in missing})
        except TerminalError as error:
            if error.code != "kafka.forbidden":
                raise
            brokers.unknown("topics", "this user may not make topics of runs; whether the writer's may is not known")
        else:
            brokers.ok(
                "topics",
                f"those of a run may be made: {job.limits.partitions} partitions, "
                f"max.message.bytes {job.limits.message_bytes:,}",
            )
    for name in sorted(control.keys() & there):
        with brokers.attempt(name):
            await _control_topic(inspection, name, control[name], brokers)
    if missing:
        brokers.ok("control topics", f"{', '.join(missing)} will be made at first use")


async def _control_topic(inspection: Inspection, name: str, wanted: Mapping[str, str], brokers: Findings) -> None:
    """One that somebody else has made may lose messages, or keep a run's record from everybody."""
    given = await inspection.topic_settings(name)
    keys = ("cleanup.policy", "retention.ms", "retention.bytes")
    differing = [key for key in keys if key in wanted and given.get(key, wanted[key]) != wanted[key]]
    small = int(given.get("max.message.bytes") or topics.CONTROL_MESSAGE_BYTES) < topics.CONTROL_MESSAGE_BYTES
    differing += ["max.message.bytes"] if small else []
    if differing:
        brokers.warning(
            name,
            "is set otherwise than Tailrace makes it: " + ", ".join(f"{key} is {given[key]}" for key in differing),
            "Set " + ", ".join(f"{key}={wanted[key]}" for key in differing) + " on the topic.",
        )
    else:
        brokers.ok(name, "is there, with the settings that Tailrace gives it")


async def _services(kafka: Kafka, inspection: Inspection, namespace: str, services: Findings) -> None:
    """Members of the groups that wait for work now; generators join with a run, so the newest record must do."""
    for service, topic in GROUPS:
        with services.attempt(service):
            members = await inspection.group_members(topics.group(namespace, service, f"{namespace}.{topic}"))
            if members:
                services.ok(service, _count(members, "replica"))
            elif service == "trainer":
                services.ok(service, "no replica, and none is needed to mask")
            else:
                services.warning(
                    service,
                    f"no replica waits for work in the namespace {namespace}",
                    f"Start one with TAILRACE_NAMESPACE={namespace} on these brokers, or use `run --embedded`.",
                )
    with services.attempt("generator"):
        record = await _newest(kafka, inspection, namespace)
        stage = record.stages.get("generator") if record is not None else None
        if record is None or stage is None:
            services.unknown("generator", "not known: no run is known, and generators show themselves in runs only")
        else:
            services.ok("generator", f"{_count(stage.replicas, 'replica')} in the newest run, {record.run}")


async def _newest(kafka: Kafka, inspection: Inspection, namespace: str) -> RunRecord | None:
    """The newest run's record; asked only where there is a topic, since asking must not make one."""
    if topics.jobs(namespace) not in await inspection.topics():
        return None
    records = await PublishedRecords(kafka, namespace).latest()
    return records[max(records)] if records else None


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
