"""Rules of a job file: short and long forms, and errors that say what exists."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace_shared.errors import UsageError
from tailrace_shared.generators import GENERATORS, MaskHash, MockEmail, Null, parse_rule


def test_a_name_stands_for_a_generator_with_its_defaults() -> None:
    assert parse_rule("mock.email") == MockEmail()
    assert parse_rule({"generator": "mask.hash", "length": 8}) == MaskHash(length=8)


def test_yamls_bare_null_is_the_generator_null() -> None:
    assert parse_rule(None) == parse_rule("null") == Null()


@pytest.mark.parametrize("name", [name for name in GENERATORS if name not in ("constant", "make.pattern")])
def test_every_generator_works_by_its_name_alone(name: str) -> None:
    assert parse_rule(name).generator == name


@pytest.mark.parametrize(
    ("rule", "code", "hint"),
    [
        ("mock.emial", "job.unknown-generator", "did you mean mock.email?"),
        ("email", "job.unknown-generator", "did you mean mock.email?"),
        ("frobnicate", "job.unknown-generator", "known: duplicate, null"),
        ({"generator": "mask.hash", "lenght": 3}, "job.unknown-option", "did you mean length?"),
        ({"generator": "mask.hash", "length": 99}, "job.option", "less than or equal to 32"),
        ({"generator": "constant"}, "job.missing-option", "constant needs the option value"),
        ({"length": 3}, "job.rule", "has no generator"),
        ({"generator": "mock.city", "locale": "xx_XX"}, "job.option", "locale"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong_and_what_exists(rule: Any, code: str, hint: str) -> None:
    with pytest.raises(UsageError) as failure:
        parse_rule(rule)
    assert failure.value.code == code
    assert hint in str(failure.value)


def test_an_error_never_repeats_the_value() -> None:
    with pytest.raises(UsageError) as failure:
        parse_rule({"generator": "mask.hash", "length": "hunter2-secret"})
    assert "hunter2" not in str(failure.value)
