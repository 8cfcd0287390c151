"""Noise on numbers, dates and times: never nothing, never out of the type's range, the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace_generator.kernels import Kernel
from tailrace_generator.kernels.gregorian import civil_of, days_of
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import MaskColumn

Columns = Callable[..., MaskColumn]
Kernels = Callable[[Any, MaskColumn], Kernel]
Typed = Callable[[MaskColumn, Sequence[str | None]], pa.Array]


def test_relative_noise_stays_within_its_share_and_leaves_zero(kernel: Kernels, column: Columns) -> None:
    values = np.arange(-30_000, 30_000, dtype=np.int32)
    masks = kernel("mask.number", column("int4"))(pa.array(values)).to_numpy()
    assert (np.sign(masks) == np.sign(values)).all()
    assert (np.abs(masks - values) <= np.maximum(np.abs(values) * 0.1 + 0.5, 1)).all()
    assert (masks == values).sum() == 1
    assert abs(float((masks - values).mean())) < 10


def test_absolute_noise_stays_within_its_bound(kernel: Kernels, column: Columns) -> None:
    values = np.arange(-3000, 3000, dtype=np.int16)
    masks = kernel({"generator": "mask.number", "absolute": 7}, column("int2"))(pa.array(values)).to_numpy()
    change = np.abs(masks.astype(int) - values)
    assert change.min() == 1
    assert change.max() == 7


@pytest.mark.parametrize(("base", "bits"), [("int2", 16), ("int4", 32), ("int8", 64)])
def test_the_ends_of_integers_are_not_crossed(
    kernel: Kernels, column: Columns, typed: Typed, base: str, bits: int
) -> None:
    high = (1 << (bits - 1)) - 1
    values = [str(v) for v in (high, high - 1, high // 2, -high, -high - 1, -high // 2)]
    for rule in (
        "mask.number",
        {"generator": "mask.number", "absolute": 1e30},
        {"generator": "mask.number", "absolute": 1},
    ):
        masks = kernel(rule, column(base))(typed(column(base), values)).to_pylist()
        assert all(-high - 1 <= mask <= high and str(mask) != value for mask, value in zip(masks, values, strict=True))


def test_numerics_stay_in_precision_and_scale(kernel: Kernels, column: Columns, typed: Typed) -> None:
    for precision, scale in ((4, 2), (18, 18), (30, 4), (38, 0)):
        filled = column("numeric", precision=precision, scale=scale)
        top = f"{10**precision - 1:0{precision + 1}}"
        text = f"{top[:-scale]}.{top[-scale:]}" if scale else top.lstrip("0")
        for rule in ("mask.number", {"generator": "mask.number", "absolute": 3}):
            array = typed(filled, [text, f"-{text}", "0"])
            out = kernel(rule, filled)(array)
            assert out.type == array.type
            assert all(mask.copy_abs() < Decimal(10) ** (precision - scale) for mask in out.to_pylist())
            assert out.to_pylist()[:2] != array.to_pylist()[:2]


def test_floats_stay_finite_and_special_values_stay(kernel: Kernels, column: Columns) -> None:
    run = kernel("mask.number", column("float4"))
    masks = run(pa.array([3.4e38, -3.4e38, 0.0, float("inf")], pa.float32())).to_pylist()
    assert all(np.isfinite(masks[:3]))
    assert masks[2:] == [0.0, float("inf")]


def test_dates_move_by_at_most_the_days_and_never_by_none(kernel: Kernels, column: Columns) -> None:
    days = np.arange(-30_000, 60_000, dtype=np.int32)
    moved = kernel("mask.date", column("date"))(pa.array(days).view(pa.date32())).view(pa.int32()).to_numpy()
    change = moved - days
    assert set(np.unique(change)) == set(range(-30, 31)) - {0}
    assert np.bincount(change + 30).max() < 1800  # 1500 each are expected


def test_a_date_masks_alike_within_and_beyond_the_table(kernel: Kernels, column: Columns) -> None:
    run = kernel("mask.date", column("date"))
    near, far = date(2000, 1, 1), date(1600, 1, 1)
    assert run(pa.array([near, far]))[0].as_py() == run(pa.array([near]))[0].as_py()


def test_timestamps_keep_their_time_of_day_unless_told(kernel: Kernels, column: Columns) -> None:
    day = 86_400_000_000
    at = np.arange(0, 10**15, 10**12) + 12_345
    array = pa.array(at).view(pa.timestamp("us"))
    kept = kernel("mask.date", column("timestamp"))(array).view(pa.int64()).to_numpy()
    assert ((kept - at) % day == 0).all()
    moved = kernel({"generator": "mask.date", "keep_time": False, "days": 2}, column("timestamp"))(array)
    change = moved.view(pa.int64()).to_numpy() - at
    assert (np.abs(change) <= 2 * day).all()
    assert len(np.unique(change % day)) > 900


def test_times_stay_within_the_day(kernel: Kernels, column: Columns) -> None:
    at = np.arange(0, 86_400, 61) * 1_000_000
    moved = kernel("mask.date", column("time"))(pa.array(at).view(pa.time64("us"))).view(pa.int64()).to_numpy()
    assert moved.min() >= 0
    assert moved.max() < 86_400_000_000
    assert (moved != at).all()


@pytest.mark.parametrize(("base", "text"), [("date", "yesterday"), ("time", "noon"), ("timestamp", "now")])
def test_a_text_that_is_no_date_fails_without_being_named(
    kernel: Kernels, column: Columns, base: str, text: str
) -> None:
    with pytest.raises(TerminalError) as failure:
        kernel("mask.date", column(base))(pa.array([text]))
    assert text not in str(failure.value)


@given(st.dates())
def test_the_calendar_agrees_with_pythons(day: date) -> None:
    days = days_of(day.year, day.month, day.day)
    assert days == (day - date(1970, 1, 1)).days
    assert civil_of(days) == (day.year, day.month, day.day)


@given(st.integers(-2_000_000, 100_000_000))
def test_the_calendar_turns_back(days: int) -> None:
    assert days_of(*civil_of(days)) == days
