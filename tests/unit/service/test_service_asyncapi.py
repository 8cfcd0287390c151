"""The committed AsyncAPI document says what the models say."""

from __future__ import annotations

import json
from pathlib import Path

from tailrace_shared.service.asyncapi import rendered

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "asyncapi.json"


def test_the_committed_document_is_up_to_date() -> None:
    assert COMMITTED.read_text() == rendered(), "python -m tailrace_shared.service.asyncapi > docs/asyncapi.json"


def test_every_topic_is_in_it() -> None:
    channels = json.dumps(json.loads(rendered())["channels"])
    for topic in ("tailrace.jobs", "tailrace.facts", "tailrace.tasks", ".raw.", ".masked.", ".work.", ".plan."):
        assert topic in channels
