"""Columns that few tables have: too large for a float64, too early for a date, the same in every row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from support.untrained import make_artefact
from tailrace_generator.sampling import Sampler
from tailrace_shared.errors import TerminalError
from tailrace_shared.synthesis import Privacy
from tailrace_shared.types import ColumnType
from tailrace_trainer.learning.columns import Subject
from tailrace_trainer.learning.table import learn_table

ROWS = 600
N = np.arange(ROWS)


def drawn(base: str, family: Any, values: pa.Array, *, nullable: bool = True, **options: Any) -> list[Any]:
    """Rows of a column that was learned alone."""
    subject = Subject("c", ColumnType(name=base, base=base, family=family, **options), nullable)
    coded = learn_table(pa.table({"c": values}), [subject], Privacy(), np.random.default_rng(1))
    artefact = make_artefact(coded, Privacy(), calibrated=True)
    found: list[Any] = Sampler(artefact, 1).rows(0, ROWS).column(0).to_pylist()
    return found


def test_integers_that_no_float64_holds_are_learned_near_to_it() -> None:
    low, high = 6 * 10**15, ROWS * 6 * 10**15
    found = drawn("int8", "integer", pa.array((N + 1) * low))
    assert len(set(found)) > ROWS // 2
    assert all(low <= value <= high for value in found)
    most = drawn("int8", "integer", pa.array(2**63 - 1 - N % 200), nullable=False)
    assert all(2**63 - 2000 < value < 2**63 for value in most)


@pytest.mark.parametrize(
    ("value", "digits"), [("12345678901234567890.1234567891", 15), ("100000000.5", 16), ("-0.0000000001", 10)]
)
def test_decimals_of_many_digits_keep_those_that_a_float64_has(value: str, digits: int) -> None:
    values = pa.array([Decimal(value)] * ROWS, pa.decimal128(38, 10))
    (found,) = set(drawn("numeric", "number", values, precision=38, scale=10))
    assert abs(found / Decimal(value) - 1) < Decimal(10) ** -(digits - 1)


def test_decimals_with_a_scale_are_not_cut_at_18_digits() -> None:
    values = pa.array([Decimal(int(n) * 10**9) for n in N], pa.decimal128(38, 10))
    assert max(drawn("numeric", "number", values, precision=38, scale=10)) > 10**11


def test_numerics_without_a_precision_may_have_hundreds_of_digits() -> None:
    found = drawn("numeric", "number", pa.array([f"{n + 1}{'0' * 200}" for n in N]))
    assert all(10**200 <= Decimal(text) <= Decimal(ROWS * 10**200) * Decimal("1.001") for text in found)


def test_floats_from_the_smallest_to_the_largest_do_not_become_whole_numbers() -> None:
    found = drawn("float8", "float", pa.array(np.exp((N - ROWS / 2) * 2.0)))
    assert any(0 < value < 0.01 for value in found)
    assert np.isfinite(found).all()


def test_moments_beyond_the_calendar_become_the_nearest_ones_of_the_column() -> None:
    odd = {0: "0044-03-15 BC", 1: "12026-01-01", 2: "infinity"}
    texts = [odd.get(int(n % 20), f"2020-01-{1 + n % 28:02d}") for n in N]
    found = drawn("date", "date", pa.array(texts), nullable=False)
    assert {value.year for value in found} == {2020}
    with pytest.raises(TerminalError) as raised:
        drawn("date", "date", pa.array(["0044-03-15 BC"] * ROWS))
    assert raised.value.code == "trainer.column-unread"


def test_midnight_at_the_end_of_a_day_leaves_whole_seconds_whole() -> None:
    texts = ["24:00:00" if n % 30 == 0 else f"00:{n // 60 % 60:02d}:{n % 60:02d}" for n in N]
    found = drawn("time", "time", pa.array(texts))
    assert all(value.microsecond == 0 for value in found if value.hour < 23)


def test_amounts_of_money_keep_their_signs_and_lengths() -> None:
    found = drawn("money", "other", pa.array([f"-${n * 1.37:,.2f}" for n in N]))
    assert all(text.startswith("-$") and text[-3] == "." for text in found)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([None] * ROWS, pa.int32()), None),
        (pa.array([7] * ROWS, pa.int32()), 7),
    ],
)
def test_a_table_whose_every_column_has_one_value_is_learned(values: pa.Array, expected: int | None) -> None:
    assert set(drawn("int4", "integer", values)) == {expected}
