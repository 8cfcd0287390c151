"""What a report shows of a column: at least k rows behind everything, whatever the values are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.quality.columns import Column, names, numbers
from tailrace.quality.disclosure import around, bars, rounded, summary
from tailrace.quality.treatment import Treatment

K = 10


def test_a_value_that_fewer_share_is_not_shown() -> None:
    real = names(["common"] * 50 + ["rare"] * (K - 1) + [f"own {n}" for n in range(30)])
    shown = bars(real, real, K, hidden=False)
    assert shown is not None
    assert shown.labels == ("common", "others")


def test_values_of_renamed_columns_are_never_shown() -> None:
    real, made = names(["Secret"] * 50 + ["Hidden"] * 30), names(["Anna"] * 50 + ["Berta"] * 30)
    shown = bars(real, made, K, hidden=True)
    assert shown is not None
    assert (shown.labels, shown.before, shown.after) == ((), (0.625, 0.375), (0.625, 0.375))


def test_an_extreme_is_neither_an_edge_nor_a_quantile() -> None:
    values = np.append(np.random.default_rng(1).normal(100, 10, 500), [98765432.1, -7654321.0])
    shown, said = bars(numbers(values), numbers(values), K, hidden=False), summary(numbers(values), K)
    assert shown is not None
    for value in (*shown.edges, *said.quantiles, said.mean, said.spread):
        assert abs(value or 0) < 1000


def test_a_bar_of_few_rows_says_only_that() -> None:
    values = np.concatenate([np.zeros(100), np.full(3, 50.0), np.full(100, 100.0)])
    shown = bars(numbers(values), numbers(values), K, hidden=False)
    assert shown is not None
    assert None in shown.before
    assert sum(share or 0 for share in shown.before) == pytest.approx(200 / 203)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_numbers_can_be_shown(values: list[float]) -> None:
    column = numbers(values)
    shown, said = bars(column, column, 3, hidden=False), summary(column, 3)
    if shown is not None:
        assert len(shown.edges) == len(shown.before) + 1
        assert shown.before == shown.after
    assert len(said.quantiles) in (0, 5)
    assert np.isfinite([said.mean or 0, said.spread or 0, *said.quantiles]).all()


@given(st.lists(st.integers(0, 50), min_size=K, max_size=200), st.floats(0, 1))
def test_a_quantile_is_a_mean_over_k_neighbours(values: list[int], share: float) -> None:
    ordered = np.sort(np.array(values, float))
    found = around(ordered, share, K)
    assert ordered[0] <= found <= ordered[-1]
    near = [ordered[start : start + K].mean() for start in range(len(ordered) - K + 1)]
    assert found in near


@pytest.mark.parametrize(
    ("value", "said"), [(0, 0), (1234.5, 1230), (0.0012345, 0.00123), (-98.76, -98.8), (1.6e9, 1.6e9)]
)
def test_figures_have_three_digits(value: float, said: float) -> None:
    assert rounded(value) == pytest.approx(said, abs=1800 if value > 1e8 else 1e-9)


@pytest.mark.parametrize(
    ("family", "generator", "compared"),
    [
        ("integer", "duplicate", "values"),
        ("date", "mask.date", "values"),
        ("text", "mock.email", "profile"),
        ("text", "mask.hash", "profile"),
        ("integer", "key", "counts"),
        ("text", "null", "counts"),
        ("json", "duplicate", "counts"),
        ("number", "make.number", "values"),
        ("text", "ai", "values"),
    ],
)
def test_a_column_is_compared_as_its_rule_leaves_it(family: str, generator: str, compared: str) -> None:
    found = Treatment.of("c", "t", family, generator, masked=False, key=False)  # type: ignore[arg-type]
    assert found.compared == compared


def test_names_that_hardly_repeat_are_compared_by_counts() -> None:
    treatment = Treatment.of("c", "text", "text", "duplicate", masked=False, key=False)
    assert treatment.seen(names([f"n{n}" for n in range(200)])).compared == "counts"
    assert treatment.seen(names([f"n{n % 90}" for n in range(200)])).compared == "values"
    assert treatment.seen(Column("name", texts=names([None] * 5).texts)).compared == "values"
