"""Distances of columns and pairs, against what they are by definition and against SDMetrics."""

from __future__ import annotations

import importlib.util
from math import nan

import numpy as np
import pytest

from tailrace.quality.columns import Column, codes, names, numbers, row_codes
from tailrace.quality.distances import (
    column_distance,
    correlation,
    pair_distances,
    pairs_of,
    profile_distance,
    total_variation,
)


@pytest.mark.parametrize(
    ("real", "made", "distance"),
    [
        (numbers([1, 2, 3, 4]), numbers([1, 2, 3, 4]), 0.0),
        (numbers([1, 2, 3, 4]), numbers([3, 4, 5, 6]), 0.5),
        (numbers([0, 0]), numbers([1, 1]), 1.0),
        (numbers([nan, 1]), numbers([1, 1]), 0.5),
        (numbers([nan, nan]), numbers([nan]), 0.0),
        (numbers([-np.inf, np.inf]), numbers([-np.inf, np.inf]), 0.0),
        (names(["a", "a", "b", "c"]), names(["a", "b", "b", "c"]), 0.25),
        (names(["a", None]), names(["a", "a"]), 0.5),
        (names(["a"]), names(["b"]), 1.0),
        (names([None, None]), names([None]), 0.0),
        (names([]), names([]), 0.0),
        (numbers([]), numbers([1]), 1.0),
    ],
)
def test_a_column_is_as_far_as_its_distribution(real: Column, made: Column, distance: float) -> None:
    assert column_distance(real, made) == pytest.approx(distance)
    assert column_distance(made, real) == pytest.approx(distance)


def test_two_shifted_uniform_columns_are_as_far_as_their_shift() -> None:
    ours = np.linspace(0, 1, 10_001)
    assert column_distance(numbers(ours), numbers(ours + 0.3)) == pytest.approx(0.3, abs=1e-3)


def test_a_renamed_column_has_the_same_profile() -> None:
    real = names(["a"] * 5 + ["b"] * 3 + [None] * 2)
    assert profile_distance(real, names(["x"] * 3 + ["y"] * 5 + [None] * 2)) == pytest.approx(0)
    assert profile_distance(real, names(["x"] * 4 + ["y"] * 4 + [None] * 2)) == pytest.approx(0.1)
    assert profile_distance(real, names([None] * 10)) == pytest.approx(0.8)


def test_codes_follow_values_on_all_sides() -> None:
    ours, theirs = codes(names(["b", None, "a"]), names(["a", "c", None]))
    assert ours[0] > ours[2] == theirs[0]
    assert ours[1] == theirs[2]
    assert theirs[1] > ours[0]


def test_rows_are_equal_only_where_all_columns_are() -> None:
    real = {"a": numbers([1, 1, 2, nan]), "b": names(["x", "y", "x", None])}
    made = {"a": numbers([1, 2, nan]), "b": names(["x", "y", None])}
    ours, theirs = row_codes(real, made)
    assert [int(code) in ours for code in theirs] == [True, False, True]
    assert len(set(ours)) == 4


def test_independent_columns_are_as_far_as_the_dependence_that_they_lack() -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 2, 20_000).astype(str)
    real = {"a": names(a), "b": names(a)}
    made = {"a": names(a), "b": names(rng.permutation(a))}
    (pair,) = pair_distances(real, made, [("a", "b")])
    assert pair.shared == pair.own == pytest.approx(0.5, abs=0.02)


def test_a_clipped_outlier_moves_own_bins_but_not_shared_ones() -> None:
    rng = np.random.default_rng(2)
    size = rng.normal(size=5_000)
    kind = names((size > 0).astype(str))
    real = {"size": numbers(np.append(size, 1000.0)), "kind": names([*(size > 0).astype(str), "True"])}
    (pair,) = pair_distances(real, {"size": numbers(size), "kind": kind}, [("size", "kind")])
    assert pair.shared < 0.001 < 0.3 < pair.own


def test_a_correlation_is_over_rows_that_have_both() -> None:
    assert correlation(np.array([1, 2, nan, 3]), np.array([2, 4, 100, 6.0])) == pytest.approx(1)
    assert correlation(np.array([1, 1, 1.0]), np.array([1, 2, 3.0])) == 0
    assert correlation(np.array([np.inf, 1.0]), np.array([1, 2.0])) == 0


def test_so_many_pairs_are_looked_at_and_always_the_same() -> None:
    wanted = [f"c{n}" for n in range(100)]
    chosen = pairs_of(wanted, 50, seed=3)
    assert len(chosen) == len(set(chosen)) == 50
    assert chosen == pairs_of(wanted, 50, seed=3) != pairs_of(wanted, 50, seed=4)


def test_joint_tables_with_millions_of_cells_are_counted_by_sorting() -> None:
    wide = np.arange(1_000, dtype=np.int64) * 10**9
    assert total_variation(wide, wide) == 0
    assert total_variation(wide, wide + 1) == pytest.approx(1)


@pytest.mark.skipif(
    importlib.util.find_spec("sdmetrics") is None,
    reason="SDMetrics is not installed: pip install sdmetrics compares with it",
)
def test_shape_and_trend_are_those_of_sdmetrics() -> None:
    import pandas as pd
    from sdmetrics.reports.single_table import QualityReport

    rng = np.random.default_rng(5)
    sides = []
    for shift in (0.0, 0.4):
        x = rng.normal(size=3_000)
        y = (1 - shift) * x + rng.normal(size=3_000)
        kind = np.where(x + rng.normal(size=3_000) > shift, "yes", "no")
        sides.append({"x": x, "y": y, "kind": kind, "colour": rng.choice(["red", "green", "blue"], 3_000)})
    ours, theirs = (
        {name: numbers(v) if v.dtype.kind == "f" else names(v) for name, v in side.items()} for side in sides
    )
    metadata = {
        "columns": {name: {"sdtype": "numerical" if name in "xy" else "categorical"} for name in sides[0]},
    }
    report = QualityReport()
    report.real_correlation_threshold = report.real_association_threshold = 0
    report.num_rows_subsample = None
    report.generate(pd.DataFrame(sides[0]), pd.DataFrame(sides[1]), metadata, verbose=False)
    shapes = report.get_details("Column Shapes").set_index("Column")["Score"]
    trends = report.get_details("Column Pair Trends")
    for name in ours:
        assert 1 - column_distance(ours[name], theirs[name]) == pytest.approx(shapes[name], abs=1e-9)
    for pair in pair_distances(ours, theirs, [(row["Column 1"], row["Column 2"]) for _, row in trends.iterrows()]):
        found = trends[(trends["Column 1"] == pair.first) & (trends["Column 2"] == pair.second)]["Score"].iloc[0]
        assert 1 - pair.own == pytest.approx(found, abs=1e-9)
