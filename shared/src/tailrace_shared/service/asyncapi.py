"""The AsyncAPI document of all topics.

``python -m tailrace_shared.service.asyncapi`` prints it; every service serves its own part at /docs.
"""

from __future__ import annotations

import json
from typing import Any

from faststream.specification import AsyncAPI

from tailrace_shared import __version__, topics
from tailrace_shared.formats import CONTROL_FORMAT
from tailrace_shared.kafka import Kafka, KafkaSettings
from tailrace_shared.messages import Fact, MakeRows, RunRecord, Task, Work
from tailrace_shared.service.control import control_broker

NAMESPACE = "tailrace"
_FORMAT = f"Header `format`: {CONTROL_FORMAT}."


def document() -> dict[str, Any]:
    """Control topics with their messages, and the topics of a run with what travels on them."""
    broker = control_broker(Kafka(KafkaSettings(brokers="broker:9092")), logger=None)
    run = "{run}"
    for topic, schema, text in (
        (
            topics.jobs(NAMESPACE),
            RunRecord,
            f"Compacted, key = run: the published copy of its row. A lower version is ignored. {_FORMAT}",
        ),
        (
            topics.facts(NAMESPACE),
            Fact,
            f"Key = run: what happened. Any writer applies it to the state tables, idempotently. {_FORMAT}",
        ),
        (topics.tasks(NAMESPACE), Task, f"Key = run: what a reader or trainer shall do once. {_FORMAT}"),
        (
            topics.of_run(NAMESPACE, run, "work"),
            Work,
            "Ranges to read and values to look up, released within the credit.",
        ),
        (
            topics.of_run(NAMESPACE, run, "plan"),
            bytes,
            "The plan: zstd-compressed JSON under its SHA-256. One partition.",
        ),
        (
            topics.of_run(NAMESPACE, run, "raw"),
            bytes,
            "Raw batches: Arrow IPC stream, AES-256-GCM, headers as associated data.",
        ),
        (
            topics.of_run(NAMESPACE, run, "masked"),
            bytes,
            "Masked batches: Arrow IPC stream, same partition as their raw batch.",
        ),
        (
            topics.of_run(NAMESPACE, run, "orders"),
            MakeRows,
            "Rows of generated tables to make, released within the credit.",
        ),
        (topics.of_run(NAMESPACE, run, "training"), bytes, "Samples to learn from, encrypted."),
        (topics.of_run(NAMESPACE, run, "models"), bytes, "Learnt models, under their digest."),
    ):
        broker.publisher(topic, schema=schema, title=topic, description=text)
    specification = AsyncAPI(
        broker, title="Tailrace topics", version=__version__, description="What the services of Tailrace say to each other.",
        schema_version="3.0.0",
    )  # fmt: skip
    return dict(specification.to_specification().to_jsonable())


def rendered() -> str:
    """The document as it is committed at docs/asyncapi.json."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(rendered(), end="")
