"""Names and settings of all topics, in one place.

Control topics live as long as the namespace; a run's topics carry its ULID, so that names are never reused, and go with it. The
kind comes before the run, because Kafka grants rights on prefixes: see ``rights``. No name has a version: every message of a
control topic says its format (``formats``), and a run's topics have that of its plan.
"""

from __future__ import annotations

from typing import Literal

RunTopic = Literal["plan", "work", "orders", "raw", "masked", "training", "models", "changes", "masked-changes"]

RUN_TOPICS: tuple[RunTopic, ...] = ("plan", "work", "orders", "raw", "masked", "training", "models")
LANE_TOPICS: tuple[RunTopic, ...] = ("changes", "masked-changes")
"""Of continuous runs, besides the others."""
SINGLE: frozenset[RunTopic] = frozenset({"plan", "models", *LANE_TOPICS})
"""One partition: content-addressed messages that everybody reads from the start, and changes, whose order is total."""

CONTROL_MESSAGE_BYTES = 8 << 20
"""A task carries a destination's catalogue; hundreds of tables stay far below."""
TASK_RETENTION_MS = 7 * 24 * 3600 * 1000
"""A task that nobody took for a week is stale: the leader asks again while its run waits."""
SEGMENT_BYTES = 32 << 20
"""Deleted records leave whole segments behind: the residue on disk per partition is at most this."""


def jobs(namespace: str) -> str:
    """Compacted: the published copy of every run's row, key = run."""
    return f"{namespace}.jobs"


def facts(namespace: str) -> str:
    """What happened, key = run; any writer applies it to the state tables."""
    return f"{namespace}.facts"


def tasks(namespace: str) -> str:
    """What a reader or trainer shall do once, key = run."""
    return f"{namespace}.tasks"


def of_run(namespace: str, run: str, topic: RunTopic) -> str:
    """A topic of one run: ``<namespace>.<kind>.<run>``."""
    return f"{namespace}.{topic}.{run.lower()}"


def run_of(namespace: str, topic: str) -> str | None:
    """The run (upper case ULID) whose topic this is, or None for any other topic."""
    parts = topic.removeprefix(namespace + ".").split(".")
    if (
        topic.startswith(namespace + ".")
        and len(parts) == 2
        and parts[0] in (*RUN_TOPICS, *LANE_TOPICS)
        and len(parts[1]) == 26
    ):
        return parts[1].upper()
    return None


def topics_of(*, continuous: bool) -> tuple[RunTopic, ...]:
    """The topics that a run has."""
    return (*RUN_TOPICS, *LANE_TOPICS) if continuous else RUN_TOPICS


def control_settings(topic: Literal["jobs", "facts", "tasks"]) -> dict[str, str]:
    """Topic configuration of a control topic."""
    common = {"max.message.bytes": str(CONTROL_MESSAGE_BYTES), "segment.bytes": str(SEGMENT_BYTES)}
    if topic == "jobs":
        return common | {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": "3600000"}
    if topic == "facts":  # never deleted unread: writers delete behind their commits
        return common | {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    return common | {"cleanup.policy": "delete", "retention.ms": str(TASK_RETENTION_MS)}


def run_settings(message_bytes: int) -> dict[str, str]:
    """Topic configuration of a run's topic: Kafka never deletes unread data, DeleteRecords bounds the disk."""
    return {
        "max.message.bytes": str(message_bytes),
        "segment.bytes": str(SEGMENT_BYTES),
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
    }


def group(namespace: str, service: str, topic: str) -> str:
    """The consumer group of a service on a topic."""
    return f"{namespace}.{service}.{topic.removeprefix(namespace + '.')}"
