"""Keys: integers by region, uuids on their free bits, numerics within their digits. Bijections that agree across types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace_generator.kernels import Kernel, MaskSecret
from tailrace_generator.kernels.digits import NumberPermutation
from tailrace_generator.kernels.permute import IntegerPermutation
from tailrace_shared.errors import TerminalError
from tailrace_shared.generators import MaskColumn
from tailrace_shared.generators.regions import COMPLEMENT_STARTS, POSITIVE_STARTS, region_of

EDGES = sorted({s * x + d for x in (*POSITIVE_STARTS, *COMPLEMENT_STARTS) for s in (1, -1) for d in (-2, -1, 0, 1)})
INT8 = [x for x in EDGES if -(1 << 63) <= x < 1 << 63]
Columns = Callable[..., MaskColumn]
Kernels = Callable[..., Kernel]
Typed = Callable[[MaskColumn, Sequence[str | None]], pa.Array]


@pytest.fixture(scope="module")
def integers(secret: MaskSecret) -> IntegerPermutation:
    return IntegerPermutation(secret, "test")


def test_every_int2_has_its_own_mask_in_its_region(integers: IntegerPermutation) -> None:
    values = np.arange(-(1 << 15), 1 << 15)
    masks = integers.permute(values)
    assert (np.sort(masks) == values).all()
    assert masks[1 << 15] == 0
    assert (np.sign(masks) == np.sign(values)).all()
    assert (masks == values).sum() < 12


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(INT8) | st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=50, unique=True))
def test_integers_stay_in_their_region_and_never_collide(integers: IntegerPermutation, values: list[int]) -> None:
    masks = integers.permute(np.array(values, np.int64)).tolist()
    assert [region_of(mask) for mask in masks] == [region_of(value) for value in values]
    assert len(set(masks)) == len(values)
    assert masks == [int(integers.permute(np.array([value], np.int64))[0]) for value in values]


@pytest.mark.parametrize("low", [1 << 15, (1 << 30) - 50_000, 1 << 30, 1 << 31, 1 << 52, 1 << 53, -(1 << 31)])
def test_a_run_of_integers_has_no_collision(integers: IntegerPermutation, low: int) -> None:
    assert len(np.unique(integers.permute(np.arange(low, low + 50_000)))) == 50_000


def test_widths_and_integer_numerics_of_a_domain_agree(kernel: Kernels, column: Columns, typed: Typed) -> None:
    values = ["1", "-1", "0", "32767", "-32768", None, "77"]
    columns = [column(base) for base in ("int2", "int4", "int8")]
    columns += [column("numeric", precision=20, scale=2, family="integer"), column("numeric", family="integer")]
    masks = [[None if v is None else int(v) for v in kernel("key", c)(typed(c, values)).to_pylist()] for c in columns]
    assert masks == [masks[0]] * len(columns)


def test_a_numeric_key_that_leaves_its_digits_or_is_no_integer_fails(kernel: Kernels, column: Columns) -> None:
    narrow = kernel("key", column("numeric", precision=5, scale=0, family="integer"))
    with pytest.raises(TerminalError, match="too large"):
        narrow(pa.array([Decimal(40_000)], pa.decimal128(5, 0)))
    for text in ("1.5", "NaN", "1" * 30):
        with pytest.raises(TerminalError) as failure:
            kernel("key", column("numeric", family="integer"))(pa.array([text]))
        assert text not in str(failure.value)


def test_uuids_keep_version_and_variant_typed_and_as_text(kernel: Kernels, column: Columns, typed: Typed) -> None:
    values = [
        f"{i}1234567-1234-{v}abc-{a}def-0123456789ab" for i, (v, a) in enumerate(["18", "39", "4a", "7b", "00", "fc"])
    ]
    run = kernel("key", column("uuid"))
    masks = run(pa.array(values)).to_pylist()
    assert [(m[14], int(m[19], 16) >> 2) for m in masks] == [(v[14], int(v[19], 16) >> 2) for v in values]
    assert [str(UUID(bytes=m)) for m in run(typed(column("uuid"), values)).to_pylist()] == masks
    assert run(pa.array([v.upper() for v in values])).to_pylist() == masks
    assert not set(masks) & set(values)


def test_numerics_of_each_count_of_digits_are_permuted_as_a_whole(secret: MaskSecret) -> None:
    permutation = NumberPermutation(secret, "test")
    for values in (
        [str(i) for i in range(100, 1000)],
        [f"{i}.{j:02}" for i in range(1, 10) for j in range(1, 100) if j % 10],
        [f"-0.{i:03}" for i in range(1, 1000) if i % 10],
        [f"0.{i}" for i in range(1, 10)],
    ):
        assert sorted(permutation.permute(pa.array(values)).to_pylist()) == sorted(values)
    special = ["0", "NaN", "Infinity", "-Infinity"]
    assert permutation.permute(pa.array(special)).to_pylist() == special


def test_trailing_zeros_do_not_tell_numerics_apart(kernel: Kernels, column: Columns, typed: Typed) -> None:
    wide, narrow = column("numeric", precision=12, scale=4), column("numeric", precision=9, scale=2)
    values = ["1", "12.50", "-3.25", "1234567.89", "0"]
    masks = [kernel("key", c)(typed(c, values)).to_pylist() for c in (wide, narrow)]
    assert masks[0] == masks[1]
    as_text = kernel("key", column("numeric"))(pa.array(["1.000", "12.5", "-3.250", "1234567.8900", "0.0"]))
    assert [Decimal(text) for text in as_text.to_pylist()] == masks[0]
