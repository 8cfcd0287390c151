"""Releases side by side: what a newer or older one has written is refused by name, never half understood, never a crash."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zstandard

from support.writing import plan
from tailrace_shared.errors import TerminalError
from tailrace_shared.plan.model import PLAN_VERSION, Plan
from tailrace_shared.service.plans import read_plan


def written(**changes: Any) -> bytes:
    """A plan as some release would publish it."""
    text = json.loads(plan().model_dump_json())
    for key, value in changes.items():
        text.pop(key) if value is None else text.update({key: value})
    return zstandard.compress(json.dumps(text).encode())


def test_a_plan_of_this_release_is_read() -> None:
    assert read_plan("r", plan().encode()) == plan()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": PLAN_VERSION + 1},
        {"version": PLAN_VERSION - 1},
        {"version": PLAN_VERSION + 1, "something": {"new": ["canary-value"]}},
        {"version": PLAN_VERSION + 1, "tables": None},
        {"version": PLAN_VERSION, "something": "canary-value"},
        {"version": PLAN_VERSION, "tables": None},
        {"version": "canary-value"},
    ],
    ids=lambda changes: ", ".join(f"{k}={'gone' if v is None else v}" for k, v in changes.items()),
)
def test_a_plan_of_another_release_is_refused_whatever_is_new_or_gone_in_it(changes: dict[str, Any]) -> None:
    with pytest.raises(TerminalError) as caught:
        read_plan("r", written(**changes))
    assert caught.value.code == "plan.version"
    assert "canary-value" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__cause__ is None


def test_the_format_of_a_plan_is_a_part_of_its_digest() -> None:
    assert Plan.digest_of(plan().encode()) != Plan.digest_of(
        plan().model_copy(update={"version": PLAN_VERSION + 1}).encode()
    )
