"""The leak scan's rule: chance is allowed for, anything beyond it is a leak."""

from __future__ import annotations

import random
from math import exp, lgamma, log
from typing import Any

import pytest

from tailrace_shared.catalogue.model import TableName
from tailrace_shared.plan.model import PlannedColumn, PlannedTable
from tailrace_shared.types import ColumnType
from tailrace_shared.verify.leak import judge_leak, leak_limit, leak_weight

TABLE = PlannedTable(number=0, name=TableName(schema_name="public", name="person"), mode="carry")


def column(generator: str, base: str = "text", family: str = "text", **rule: Any) -> PlannedColumn:
    kind = ColumnType(name=base, base=base, family=family)  # type: ignore[arg-type]
    return PlannedColumn.model_validate(
        {
            "name": "c",
            "type": kind,
            "destination_type": kind,
            "rule": {"generator": generator, **rule},
            "mask": {"type": kind, "domain": "d", "family": family},
            "masked": True,
        }
    )


def test_a_permuted_region_may_meet_originals_as_often_as_chance_has_it() -> None:
    keys = column("key", "int4", "integer")
    draw = random.Random(1)
    for _ in range(50):
        masked = draw.sample(range(1, 2**15), 5000)
        found = sum(value <= 5000 for value in masked)
        assert judge_leak(TABLE, keys, [str(v) for v in masked], found, 5000).passed
    assert not judge_leak(TABLE, keys, [str(v) for v in range(1, 5001)], 5000, 5000).passed


def test_one_original_in_a_huge_space_is_a_leak() -> None:
    values = [f"{n:032x}" for n in range(1000)]
    assert judge_leak(TABLE, column("mask.hash"), values, 0, 1000).passed
    assert not judge_leak(TABLE, column("mask.hash"), values, 1, 1000).passed


def test_mocks_may_meet_originals_of_their_own_pool() -> None:
    names = column("mock.first_name")
    weight = leak_weight(names, [f"n{i}" for i in range(500)])
    assert weight is not None
    assert 0 < weight * 500 < leak_limit(weight, 500)


def test_texts_are_counted_by_shape() -> None:
    text = column("mask.text")
    short = leak_weight(text, [chr(ord("a") + n) for n in range(26)])
    assert short == pytest.approx(26 / 26)
    assert judge_leak(TABLE, text, [chr(ord("a") + n) for n in range(26)], 26, 26).passed, "every letter is somebody's"
    assert not judge_leak(TABLE, text, ["margaret@example.org"], 1, 1000).passed


@pytest.mark.parametrize("expected", [1e-9, 1e-4, 0.01, 0.03, 0.3, 3.0, 30.0, 99.0, 101.0])
def test_false_alarms_are_as_rare_for_small_counts_as_for_large_ones(expected: float) -> None:
    limit = int(leak_limit(expected / 1000, 1000))
    above = 1 - sum(exp(n * log(expected) - expected - lgamma(n + 1)) for n in range(limit + 1))
    assert above < 4e-6
    if limit:
        upto = sum(exp(n * log(expected) - expected - lgamma(n + 1)) for n in range(limit))
        assert 1 - upto > 2.5e-7, "and no more is allowed than that takes"


def test_where_chance_explains_everything_the_check_says_that_it_measures_nothing() -> None:
    check = judge_leak(TABLE, column("constant", value="x"), ["x"], 1, 1)
    assert check.passed
    assert "not measured" in check.detail


def test_noise_is_not_measured_and_says_so() -> None:
    check = judge_leak(TABLE, column("mask.date", "date", "date"), ["2020-01-01"], 1, 1)
    assert check.passed
    assert "noise" in check.detail


def test_a_column_without_values_passes() -> None:
    assert judge_leak(TABLE, column("mask.hash"), [], 0, 10).passed
    assert judge_leak(TABLE, column("mask.hash"), ["x"], 0, 0).passed


def test_a_long_text_or_number_is_one_of_more_than_anyone_counts() -> None:
    long = "Lorem ipsum " * 100_000
    assert leak_weight(column("mask.text"), [long, long.upper()]) == pytest.approx(2 * 0.5 * 2**-128)
    assert leak_weight(column("key", "numeric", "number"), ["9" * 5000]) == pytest.approx(2**-128)
    assert not judge_leak(TABLE, column("mask.text"), [long], 1, 1000).passed
